// Images a second of hybrid's data pipeline and of its rivals, in turn in one run, and the ratios per core as a Markdown table.
//
//   node bench/compare-data.mjs --keras PYTHON --torch PYTHON [--node NODE] [--batch 128] [--rounds 3] [--seconds 3]
//
// PYTHON: an interpreter with what the head of bench/peers/data_*.py asks for; a rival that is not named is left out. All do the same:
// 50,000 images of 32 × 32 × 3 bytes in memory, shuffled, zero padding of 4, random crop, random flip, batches. Build first
// (npm run build), and leave the machine alone meanwhile.

import { execFileSync } from 'node:child_process';
import { availableParallelism, cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    keras: { type: 'string' },
    torch: { type: 'string' },
    node: { type: 'string', default: process.execPath },
    batch: { type: 'string', default: '128' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
  },
});
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const { keras, torch, node, batch, seconds } = values;

/** JSON lines that a command prints. */
function run(command, args) {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));
}

const seen = new Map(); // name → rates
const note = (name, { imagesPerSecond, imagesPerCoreSecond }) => {
  seen.set(name, [...(seen.get(name) ?? []), { imagesPerSecond, imagesPerCoreSecond }]);
  process.stderr.write(`${name}  ${Math.round(imagesPerCoreSecond)} a core\n`);
};
for (let round = 0; round < Number(values.rounds); round++) {
  const [{ pipeline }] = run(node, [
    here('../dist/cli/main.js'),
    'bench',
    'data',
    '--rows',
    batch,
    '--workers',
    '2',
    '--seconds',
    '1',
    '--json',
  ]);
  for (const entry of pipeline) if (entry.handOver) note(`hybrid, ${entry.workers} workers`, entry);
  if (torch) for (const entry of run(torch, [here('peers/data_torch.py'), '--batch', batch, '--seconds', seconds])) note(entry.peer, entry);
  if (keras) for (const entry of run(keras, [here('peers/data_tf.py'), '--batch', batch, '--seconds', seconds])) note(entry.peer, entry);
}

const median = (list) => {
  const sorted = [...list].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
};
const middle = (rates, key) => median(rates.map((rate) => rate[key]));
const version = execFileSync(node, ['--version'], { encoding: 'utf8' }).trim();
const own = middle(seen.get('hybrid, 1 workers'), 'imagesPerCoreSecond');
console.log(`${cpus()[0].model}, ${availableParallelism()} cores, Node ${version}, batch ${batch}, median of ${values.rounds} rounds\n`);
console.log('| pipeline | images/s | images/s a core | hybrid (1 worker) is faster a core by |\n| --- | --- | --- | --- |');
for (const [name, rates] of seen) {
  const perCore = middle(rates, 'imagesPerCoreSecond');
  const ratio = name.startsWith('hybrid') ? '' : `${(own / perCore).toFixed(1)}×`;
  const thousands = (n) => `${(n / 1000).toFixed(1)} k`;
  console.log(`| ${name} | ${thousands(middle(rates, 'imagesPerSecond'))} | ${thousands(perCore)} | ${ratio} |`);
}
