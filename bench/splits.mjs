// Images a second of `hybrid train` with every split of the cores between compute threads and data workers, in turn in one run, as a
// Markdown table. Build first (npm run build), and leave the machine alone meanwhile.
//
//   node bench/splits.mjs [--node NODE] [--arch NAME,…] [--images 2000] [--rounds 3] [--threads 1,2] [--workers 0,1,2]

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const cores = availableParallelism();
const upTo = (n) => Array.from({ length: n + 1 }, (_, i) => i).join();
const { values } = parseArgs({
  options: {
    node: { type: 'string', default: process.execPath },
    arch: { type: 'string', default: 'convmixer-256-8,conv-pooling' },
    images: { type: 'string', default: '2000' },
    rounds: { type: 'string', default: '3' },
    threads: { type: 'string', default: upTo(cores).slice(2) },
    workers: { type: 'string', default: upTo(cores) },
  },
});
const main = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const out = mkdtempSync(join(tmpdir(), 'hybrid-splits-'));

/** Of the steps after the first, which compiles and warms up. */
function imagesPerSecond(arch, threads, workers) {
  const argv = [
    'train',
    '--arch',
    arch,
    '--data',
    'synthetic',
    '--limit',
    values.images,
    '--epochs',
    '1',
    '--no-figures',
    '--json',
    '--out',
    out,
  ];
  const text = execFileSync(values.node, [main, ...argv, '--threads', threads, '--workers', workers], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const steps = text
    .split('\n')
    .filter((line) => line.startsWith('{"type":"step"'))
    .map((line) => JSON.parse(line));
  // `imagesPerSecond` is the mean since the epoch began: from it, when each step ended.
  const [first, last] = [steps[0], steps.at(-2)]; // the last batch is smaller
  const batch = 128;
  const seconds = (last.step * batch) / last.imagesPerSecond - batch / first.imagesPerSecond;
  return ((last.step - 1) * batch) / seconds;
}

const median = (list) => {
  const sorted = [...list].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
};

const splits = values.threads.split(',').flatMap((threads) => values.workers.split(',').map((workers) => ({ threads, workers })));
const version = execFileSync(values.node, ['--version'], { encoding: 'utf8' }).trim();
process.stdout.write(`${cpus()[0].model.trim()}, ${cores} cores, Node ${version}, images/s, median of ${values.rounds} rounds\n\n`);
process.stdout.write(
  `| model | ${splits.map(({ threads, workers }) => `${threads} threads, ${workers} workers`).join(' | ')} |\n| --- |${' --- |'.repeat(splits.length)}\n`,
);
try {
  for (const arch of values.arch.split(',')) {
    const seen = splits.map(() => []);
    for (let round = 0; round < Number(values.rounds); round++)
      for (const [i, { threads, workers }] of splits.entries()) {
        seen[i].push(imagesPerSecond(arch, threads, workers));
        process.stderr.write(`${arch}: ${threads} threads, ${workers} workers: ${seen[i].at(-1).toFixed(1)} images/s\n`);
      }
    process.stdout.write(`| ${arch} | ${seen.map((rates) => median(rates).toFixed(1)).join(' | ')} |\n`);
  }
} finally {
  rmSync(out, { recursive: true, force: true });
}
