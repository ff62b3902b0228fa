// Makes test/golden/run-0.1.0: a run folder that an earlier build left behind in the middle of an epoch, and what became of the run when
// that build went on with it. `node test/golden/make-run.mjs DIST`, where DIST is the dist/ of that build.

import { createHash } from 'node:crypto';
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { runOptions } from './run-options.mjs';

const { buildModel, memoryDataset, openDevice, RunFolder, train } = await import(
  pathToFileURL(resolve(process.argv[2], 'runtime/index.js')).href
);
const target = fileURLToPath(new URL('run-0.1.0', import.meta.url));
const scratch = `${target}.going-on`;
rmSync(target, { recursive: true, force: true });
rmSync(scratch, { recursive: true, force: true });

const device = await openDevice('wasm', { threads: 1 });
const options = { device, ...runOptions({ buildModel, memoryDataset }) };

const folder = await RunFolder.create({ out: join(target, '..'), name: 'run-0.1.0', config: { arch: options.model.arch } });
const controller = new AbortController();
let steps = 0;
for await (const event of train({ ...options, store: folder, signal: controller.signal })) {
  if (event.type === 'start') await folder.addEnvironment({ arithmetic: device.arithmetic });
  await folder.log(event);
  if (event.type === 'step' && ++steps === 24) controller.abort();
}
await folder.close();

cpSync(target, scratch, { recursive: true });
const again = await RunFolder.reopen(scratch);
const { checkpoint } = await again.newest();
const epochs = [];
const run = train({ ...options, store: again, resume: checkpoint });
for await (const { type, epoch, train, validation, lr, best } of run)
  if (type === 'epoch') epochs.push({ epoch, train, validation, lr, best });
const last = await again.load('last');
const hash = createHash('sha256');
for (const [name, { data }] of [...last.weights, ...last.optimizer])
  hash.update(name).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
const { run: _, ...result } = await run.result;
await again.close();
await device.close();
rmSync(scratch, { recursive: true });
writeFileSync(
  join(target, 'outcome.json'),
  `${JSON.stringify({ arithmetic: device.arithmetic, position: checkpoint.progress.epoch, digest: hash.digest('hex'), epochs, result }, null, 1)}\n`,
);
process.stdout.write(readFileSync(join(target, 'outcome.json'), 'utf8'));
