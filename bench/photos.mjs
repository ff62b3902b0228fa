// Makes pictures that look like photographs of three things, and measures what `hybrid train` makes of a few of them.
//
//   node bench/photos.mjs make DIR [--each 60] [--test 60] [--seed 1]     class folders train/ and test/ of JPEG files of mixed sizes
//   node bench/photos.mjs measure DIR [--seeds 3] [-- OPTIONS]            trains on them with the given options of `hybrid train`, a run a seed
//   node bench/photos.mjs pixels DIR                                      what a linear classifier on the raw pixels makes of them
//
// The things are ladybirds, leaves and wheels, drawn with other colours, sizes, places and turns each time, on grounds of any colour, with
// clutter of the same colours around and partly before them, in any light, with noise. Needs sharp, and a build (npm run build).

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import sharp from 'sharp';

/** mulberry32: numbers from 0 to 1 that a seed decides. */
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const SIDE = 200;

function painter(next) {
  const between = (low, high) => low + (high - low) * next();
  const colour = (hue = between(0, 360), saturation = between(15, 85), light = between(20, 75)) =>
    `hsl(${hue.toFixed(0)},${saturation.toFixed(0)}%,${light.toFixed(0)}%)`;
  const things = {
    ladybird(size) {
      const hue = between(-40, 130);
      const spots = Array.from({ length: 6 }, (_, i) => {
        const [x, y] = [(i % 2 ? 1 : -1) * between(0.25, 0.55), -0.45 + 0.42 * Math.floor(i / 2) + between(-0.08, 0.08)];
        return `<circle cx="${x * size}" cy="${y * size}" r="${between(0.12, 0.2) * size}" fill="#15110f"/>`;
      });
      return `<ellipse rx="${0.9 * size}" ry="${size}" fill="${colour(hue, between(30, 95), between(25, 60))}"/>
        <path d="M0 ${-size} V${size}" stroke="#15110f" stroke-width="${0.07 * size}"/>${spots.join('')}
        <ellipse cy="${-0.95 * size}" rx="${0.5 * size}" ry="${0.32 * size}" fill="#1c1816"/>`;
    },
    leaf(size) {
      const hue = between(-40, 130);
      const veins = Array.from({ length: 5 }, (_, i) => {
        const y = (-0.6 + 0.3 * i) * size;
        return `M0 ${y} L${0.45 * size} ${y - 0.3 * size} M0 ${y} L${-0.45 * size} ${y - 0.3 * size}`;
      });
      return `<path d="M0 ${-size} C${0.9 * size} ${-0.5 * size} ${0.7 * size} ${0.6 * size} 0 ${size} C${-0.7 * size} ${0.6 * size} ${-0.9 * size} ${-0.5 * size} 0 ${-size}Z"
        fill="${colour(hue, between(30, 95), between(25, 60))}"/>
        <path d="M0 ${-size} V${1.3 * size} ${veins.join(' ')}" fill="none" stroke="${colour(hue, between(20, 60), between(60, 85))}" stroke-width="${0.07 * size}"/>`;
    },
    wheel(size) {
      const count = Math.round(between(5, 9));
      const spokes = Array.from({ length: count }, (_, i) => {
        const angle = (2 * Math.PI * i) / count;
        return `M0 0 L${0.9 * size * Math.cos(angle)} ${0.9 * size * Math.sin(angle)}`;
      });
      const inside = next() < 0.6 ? colour(between(-40, 130), between(30, 95), between(25, 60)) : 'none';
      return `<circle r="${0.9 * size}" fill="${inside}" stroke="${colour(undefined, between(0, 40), between(10, 35))}" stroke-width="${0.22 * size}"/>
        <path d="${spokes.join(' ')}" stroke="${colour(undefined, between(0, 40), between(55, 90))}" stroke-width="${0.08 * size}"/>
        <circle r="${0.2 * size}" fill="${colour(undefined, between(0, 60), between(20, 60))}"/>`;
    },
  };
  const clutter = (count) =>
    Array.from({ length: count }, () => {
      const [x, y, w, h] = [between(0, SIDE), between(0, SIDE), between(8, 60), between(8, 60)];
      const turned = `transform="translate(${x} ${y}) rotate(${between(0, 360)})" opacity="${between(0.4, 1)}"`;
      return [
        `<rect ${turned} width="${w}" height="${h}" fill="${colour()}"/>`,
        `<ellipse ${turned} rx="${w / 2}" ry="${h / 2}" fill="${colour()}"/>`,
        `<path ${turned} d="M0 0 L${2 * w} ${h / 4}" stroke="${colour()}" stroke-width="${between(1, 8)}"/>`,
        `<path ${turned} d="M0 0 L${w} ${h / 3} L${w / 3} ${h} Z" fill="${colour()}"/>`,
      ][Math.floor(between(0, 4))];
    }).join('');
  return { between, colour, things, clutter };
}

const CLASSES = ['ladybird', 'leaf', 'wheel'];

async function picture(name, next) {
  const { between, colour, things, clutter } = painter(next);
  const size = between(0.2, 0.42) * SIDE;
  const place = () => between(0.9 * size, SIDE - 0.9 * size);
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${SIDE}" height="${SIDE}">
    <defs><linearGradient id="g" gradientTransform="rotate(${between(0, 90)})"><stop stop-color="${colour()}"/><stop offset="1" stop-color="${colour()}"/></linearGradient></defs>
    <rect width="${SIDE}" height="${SIDE}" fill="url(#g)"/>${clutter(Math.round(between(5, 14)))}
    <g transform="translate(${place()} ${place()}) rotate(${between(0, 360)}) scale(${between(0.75, 1)} 1)">${things[name](size)}</g>
    ${clutter(Math.round(between(0, 3)))}</svg>`;
  const [width, height] = [Math.round(between(90, 260)), Math.round(between(90, 260))];
  const { data, info } = await sharp(Buffer.from(svg))
    .resize(width, height, { fit: 'cover' })
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  // Light: brighter or darker, warmer or colder, from one side.
  const [gain, tint, slope, noise] = [between(0.55, 1.35), between(-0.18, 0.18), between(-0.45, 0.45), between(4, 22)];
  for (let i = 0; i < data.length; i++) {
    const x = (Math.floor(i / 3) % width) / width - 0.5;
    const warm = 1 + (i % 3 === 0 ? tint : i % 3 === 2 ? -tint : 0);
    data[i] = Math.max(0, Math.min(255, data[i] * gain * warm * (1 + slope * x) + noise * (next() + next() - 1)));
  }
  return sharp(data, { raw: info })
    .jpeg({ quality: Math.round(between(60, 92)) })
    .toBuffer();
}

async function make(folder, { each, test, seed }) {
  for (const [part, count, k] of [
    ['train', each, 0],
    ['test', test, 1],
  ]) {
    for (const [label, name] of CLASSES.entries()) {
      mkdirSync(join(folder, part, name), { recursive: true });
      for (let i = 0; i < count; i++) {
        const bytes = await picture(name, random(1_000_003 * seed + 100_003 * k + 10_007 * label + i));
        writeFileSync(join(folder, part, name, `${String(i).padStart(4, '0')}.jpg`), bytes);
      }
    }
  }
}

/** Logistic regression on pixels, by gradient descent with momentum to the end. */
async function linear(folder) {
  const side = 32;
  const read = async (part) => {
    const samples = [];
    for (const [label, name] of CLASSES.entries()) {
      for (const file of readdirSync(join(folder, part, name))) {
        const data = await sharp(join(folder, part, name, file))
          .resize(side, side, { fit: 'cover' })
          .removeAlpha()
          .raw()
          .toBuffer();
        samples.push({ label, x: Float64Array.from(data, (value) => value / 127.5 - 1) });
      }
    }
    return samples;
  };
  const [train, test] = [await read('train'), await read('test')];
  const features = side * side * 3;
  const weights = CLASSES.map(() => new Float64Array(features + 1));
  const logits = ({ x }) => weights.map((w) => x.reduce((sum, value, i) => sum + value * w[i], w[features]));
  const best = (list) => list.indexOf(Math.max(...list));
  const accuracy = (set) => set.filter((sample) => best(logits(sample)) === sample.label).length / set.length;
  let most = 0;
  for (let epoch = 0; epoch < 300; epoch++) {
    const gradients = weights.map(() => new Float64Array(features + 1));
    for (const sample of train) {
      const z = logits(sample);
      const top = Math.max(...z);
      const e = z.map((value) => Math.exp(value - top));
      const sum = e.reduce((a, b) => a + b);
      for (const [c, gradient] of gradients.entries()) {
        const d = e[c] / sum - (c === sample.label ? 1 : 0);
        for (let i = 0; i < features; i++) gradient[i] += d * sample.x[i];
        gradient[features] += d;
      }
    }
    for (const [c, w] of weights.entries())
      for (let i = 0; i <= features; i++) w[i] -= (0.002 / train.length) * gradients[c][i] + 1e-5 * w[i];
    most = Math.max(most, accuracy(test));
  }
  return { train: accuracy(train), test: accuracy(test), best: most };
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    each: { type: 'string', default: '60' },
    test: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '3' },
  },
});
const [command, folder, ...options] = positionals;
if (command === 'make') {
  await make(folder, { each: Number(values.each), test: Number(values.test), seed: Number(values.seed) });
} else if (command === 'pixels') {
  console.log(JSON.stringify(await linear(folder)));
} else if (command === 'measure') {
  const out = mkdtempSync(join(tmpdir(), 'hybrid-photos-'));
  const accuracies = [];
  for (let seed = 0; seed < Number(values.seeds); seed++) {
    const start = performance.now();
    const main = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
    const args = [main, 'train', '--data', folder, '--seed', `${seed}`, '--out', out, '--no-figures', '--json', ...options];
    const lines = execFileSync(process.execPath, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 2 ** 28 });
    const end = lines
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line))
      .findLast(({ type }) => type === 'end');
    accuracies.push(end.test.accuracy);
    console.log(
      JSON.stringify({
        seed,
        accuracy: end.test.accuracy,
        epochs: end.epochs,
        best: end.best,
        seconds: Math.round((performance.now() - start) / 1000),
      }),
    );
  }
  console.log(JSON.stringify({ mean: accuracies.reduce((a, b) => a + b) / accuracies.length }));
  rmSync(out, { recursive: true });
} else {
  console.error('make DIR, pixels DIR or measure DIR');
  process.exitCode = 2;
}
