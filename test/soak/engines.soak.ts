// Processes that must not crash or hang on any engine: the engine's optimising compilers run in the background, so what goes wrong
// there goes wrong now and then. Run it with each Node: PATH/TO/node node_modules/vitest/vitest.mjs run --config vitest.soak.config.ts
// test/soak/engines.soak.ts. HYBRID_SOAK_SHARE=0.1 does a tenth of it.

import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { v8Flags } from '../../runtime/base/v8-flags.ts';
import { imageFile } from '../support/images.ts';
import { tempFolder } from '../support/temp-folder.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const MAIN = join(root, 'dist/cli/main.js');
const share = Number(process.env.HYBRID_SOAK_SHARE ?? 1);
/** Processes at a time: more than cores, so that threads are interrupted in the middle of things. */
const AT_A_TIME = 3;
const HANGS_MS = 120_000;

interface End {
  readonly status: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

function run(argv: readonly string[]): Promise<End> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'pipe'], timeout: HANGS_MS, killSignal: 'SIGKILL' });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (text) => {
      stdout += text;
    });
    child.stderr.on('data', (text) => {
      stderr += text;
    });
    child.on('close', (status, signal) => resolve({ status: status ?? signal ?? 'unknown', stdout, stderr }));
  });
}

/** Runs it so often, and gives the ends that were not like the first. */
async function repeat(times: number, argv: (i: number) => readonly string[], good: (end: End) => boolean): Promise<End[]> {
  const bad: End[] = [];
  let next = 0;
  const lane = async () => {
    while (next < times) {
      const end = await run(argv(next++));
      if (!good(end)) bad.push(end);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, lane));
  console.log(`Node ${process.version}: ${times} runs, ${bad.length} bad`);
  return bad;
}
const times = (all: number): number => Math.max(1, Math.round(all * share));

it('predict x.keras, 500 times', async () => {
  const folder = tempFolder();
  const keras = join(folder, 'x.keras');
  const image = join(folder, 'x.png');
  writeFileSync(image, await imageFile('png', 32, 32));
  const weights = join(root, 'models/convmixer-2stage-cifar10.safetensors');
  expect(await run([MAIN, 'export', weights, '--format', 'keras', '-o', keras])).toMatchObject({ status: 0 });
  const predict = [MAIN, 'predict', keras, image, '--device', 'wasm', '--json'];
  const first = await run(predict);
  expect(first).toMatchObject({ status: 0, stderr: '' });
  expect(
    await repeat(
      times(500),
      () => predict,
      ({ status, stdout, stderr }) => status === 0 && stderr === '' && stdout === first.stdout,
    ),
  ).toEqual([]);
});

const well = ({ status, stdout, stderr }: End) => status === 0 && stdout === 'well\n' && stderr === '';
/** Every other time as a program that was started without flags. */
const flags = (i: number) => (i % 2 === 0 ? v8Flags({ ...process, execArgv: [] }).own : []);

it('a host that compiles beside openDevice, 100 times', async () => {
  expect(await repeat(times(100), (i) => [...flags(i), join(root, 'test/compat/compiling-host.mjs')], well)).toEqual([]);
});

it('eight workers, 40 times', async () => {
  expect(await repeat(times(40), (i) => [...flags(i), join(root, 'test/compat/eight-workers.mjs')], well)).toEqual([]);
});
