// Training steps of hybrid and of its rivals in turn, A B A B, in one go, and the ratios of the medians as a Markdown table.
//
//   node bench/compare.mjs --keras PYTHON --torch PYTHON [--node NODE] [--arch NAME,NAME] [--batch 128] [--steps 4] [--rounds 2] [--no-revectorize]
//
// PYTHON: an interpreter with what the head of bench/peers/*.py asks for; a rival that is not named, or that fails, is left
// out. Build first (npm run build), and leave the machine alone meanwhile.

import { execFileSync } from 'node:child_process';
import { availableParallelism, cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    keras: { type: 'string' },
    torch: { type: 'string' },
    node: { type: 'string', default: process.execPath },
    arch: {
      type: 'string',
      default: 'convmixer-256-8,convmixer-2stage,convmixer-256-8-block-residual,convmixer-2stage-flatten,conv-pooling',
    },
    batch: { type: 'string', default: '128' },
    steps: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '2' },
    'no-revectorize': { type: 'boolean', default: false },
  },
});
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const TORCH_ARCHS = ['convmixer-256-8', 'convmixer-2stage'];
const { keras, torch, node, batch, steps } = values;
const extra = values['no-revectorize'] ? ['--no-revectorize'] : [];

/** Last JSON lines that a command prints. Variables that slow numerical libraries down are not passed on. */
function run(command, args) {
  const { OPENBLAS_CORETYPE, OPENBLAS_L2_SIZE, ...env } = process.env;
  const output = execFileSync(command, args, { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  return output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));
}

const hybrid = (arch) =>
  run(node, [here('../dist/cli/main.js'), 'bench', 'train', '--arch', arch, '--batch', batch, '--steps', steps, '--json', ...extra]);

/** Results of a rival; none, and a line that says so, where it cannot run: the others are still worth knowing. */
function peer(python, script, arch) {
  try {
    return run(python, [here(`peers/${script}`), '--arch', arch, '--batch', batch, '--steps', steps]);
  } catch (error) {
    process.stderr.write(`${arch}  ${script} failed and is left out: ${error.message}\n`);
    return [];
  }
}

const seen = new Map(); // arch → name → step times
const note = (arch, name, ms) => {
  const names = seen.get(arch) ?? seen.set(arch, new Map()).get(arch);
  names.set(name, [...(names.get(name) ?? []), ms]);
  process.stderr.write(`${arch}  ${name}  ${ms.toFixed(0)} ms\n`);
};
for (const arch of values.arch.split(',')) {
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const result of hybrid(arch)) note(arch, 'hybrid', result.stepMs.median);
    if (keras) for (const { peer: name, stepMs } of peer(keras, 'keras_train.py', arch)) note(arch, name, stepMs);
    if (torch && TORCH_ARCHS.includes(arch))
      for (const { peer: name, stepMs } of peer(torch, 'torch_train.py', arch)) note(arch, name, stepMs);
  }
}

function median(list) {
  const sorted = [...list].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}
const version = execFileSync(node, ['--version'], { encoding: 'utf8' }).trim();
console.log(
  `${cpus()[0].model}, ${availableParallelism()} cores, Node ${version}, batch ${batch}, median of ${values.rounds} × ${steps} steps\n`,
);
console.log('| model | system | ms a step | images/s | hybrid is faster by |\n| --- | --- | --- | --- | --- |');
for (const [arch, names] of seen) {
  const own = median(names.get('hybrid'));
  for (const [name, times] of names) {
    const ms = median(times);
    console.log(
      `| ${arch} | ${name} | ${ms.toFixed(0)} | ${((1000 * Number(batch)) / ms).toFixed(1)} | ${name === 'hybrid' ? '' : `${(ms / own).toFixed(2)}×`} |`,
    );
  }
}
