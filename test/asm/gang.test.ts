// The gang: its barrier, stopping, and what happens when threads fail.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { ARENA, SCRATCH_BYTES } from '../../asm/host/abi.ts';
import { Gang, type GangOptions, type Program } from '../../asm/host/gang.ts';
import { COMPLETE, RUN } from '../../asm/host/protocol.ts';
import { compileGangKernels } from '../support/gang-kernels.ts';

const { modules, kernels } = await compileGangKernels();
const PAGES = 16 + (5 * SCRATCH_BYTES) / 65536;
const N = 37;
const A = ARENA;
const B = ARENA + 4096;

const gangs: Gang[] = [];
afterEach(async () => {
  await Promise.all(gangs.splice(0).map((gang) => gang.close()));
});

async function start(
  threads: number,
  options: Partial<GangOptions> = {},
): Promise<{ gang: Gang; words: Int32Array; memory: WebAssembly.Memory }> {
  const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES, shared: true });
  const gang = await Gang.start({ memory, modules, kernels, threads, scratch: 16 * 65536, spins: 100, ...options });
  gangs.push(gang);
  return { gang, memory, words: new Int32Array(memory.buffer) };
}

/** Lays a program down: calls of [kernel, …args]. */
function write(words: Int32Array, calls: readonly (readonly [string, ...number[]])[], commit = calls.length): Program {
  const address = 128 << 10;
  let block = address + calls.length * 8;
  for (const [i, [kernel, ...args]] of calls.entries()) {
    words.set([kernels.indexOf(kernel), block], address / 4 + 2 * i);
    words.set(args, block / 4);
    block += args.length * 4;
  }
  return { address, calls: calls.length, commit, describe: (call) => `call ${call} (${calls[call][0]})` };
}

/** There and back `times` times: 2·times is added to every word at A. */
const mirrors = (times: number) => Array.from({ length: times }, () => [['mirror', A, B, N] as const, ['mirror', B, A, N] as const]).flat();
const slow = (calls: number, turns: number) => Array.from({ length: calls }, () => ['slow', B + 4096, turns] as const);

describe('barrier', () => {
  it.each([1, 2, 3, 5])('%i threads make every call together and once', async (threads) => {
    const { gang, words } = await start(threads);
    const program = write(words, mirrors(500));
    for (let run = 1; run <= 10; run++) {
      expect(await gang.run(program)).toBe('done');
      expect([...words.subarray(A / 4, A / 4 + N)]).toEqual(new Array(N).fill(1000 * run));
    }
  });

  it('runs a program without calls', async () => {
    const { gang, words } = await start(2);
    expect(await gang.run(write(words, []))).toBe('done');
  });
});

describe('abort', () => {
  it('stops after the current call; the gang goes on with the next program', async () => {
    const { gang, words } = await start(3);
    const running = gang.run(write(words, slow(10_000, 1_000_000)));
    await new Promise((resolve) => setTimeout(resolve, 20));
    gang.abort();
    expect(await running).toBe('stopped');
    const complete = Atomics.load(words, COMPLETE);
    expect(complete).toBeLessThan(9_000);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(Atomics.load(words, COMPLETE)).toBe(complete);
    expect(await gang.run(write(words, mirrors(100)))).toBe('done');
    expect([...words.subarray(A / 4, A / 4 + N)]).toEqual(new Array(N).fill(200));
  });

  it('does not stop in the update phase', async () => {
    const { gang, words } = await start(2);
    const running = gang.run(write(words, slow(30, 1_000_000), 0));
    gang.abort();
    expect(await running).toBe('done');
    expect(Atomics.load(words, COMPLETE)).toBe(30);
  });
});

describe('failure', () => {
  it('rejects the run of a kernel that traps, names it, and is over', async () => {
    const { gang, words } = await start(3);
    const failure = await gang.run(write(words, [['mirror', A, B, N], ['trap'], ['mirror', B, A, N]])).catch((error) => error);
    expect(failure).toMatchObject({
      code: 'E_INTERNAL',
      message: expect.stringMatching(/thread \d of 3 failed in kernel call 1 \(trap\): unreachable/),
    });
    await expect(gang.run(write(words, mirrors(1)))).rejects.toBe(failure);
  });

  it('rejects the run when a thread ends, and names the kernel', async () => {
    const script = new URL(`data:text/javascript,
      import { parentPort } from 'node:worker_threads';
      parentPort.once('message', ({ memory }) => {
        parentPort.postMessage({ type: 'ready' });
        Atomics.wait(new Int32Array(memory.buffer), ${RUN}, 0);
        process.exit(7);
      });`);
    const { gang, words } = await start(2, { script });
    await expect(gang.run(write(words, mirrors(1)))).rejects.toMatchObject({
      code: 'E_INTERNAL',
      message: expect.stringMatching(/thread \d of 2 ended with status 7 in kernel call 0 \(mirror\)/),
    });
  });

  it('rejects the run that is in flight when it is closed; closing twice is one closing', async () => {
    const { gang, words } = await start(2);
    const running = gang.run(write(words, slow(10_000, 1_000_000)));
    const closing = gang.close();
    expect(gang.close()).toBe(closing);
    await expect(running).rejects.toMatchObject({ message: 'the gang was closed during a run' });
    await closing;
  });
});

describe('start', () => {
  it('fails when a thread fails', async () => {
    const script = new URL('data:text/javascript,throw new Error("broken");');
    await expect(start(2, { script })).rejects.toMatchObject({ code: 'E_INTERNAL', message: expect.stringContaining('broken') });
  });

  it('fails when a thread ended before it was handed anything', async () => {
    const gang = new Gang({ threads: 2, script: new URL('data:text/javascript,process.exit(3);') });
    while (!gang.failure) await new Promise((resolve) => setTimeout(resolve, 5));
    const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES, shared: true });
    await expect(gang.equip({ memory, modules, kernels, scratch: 16 * 65536, spins: 100 })).rejects.toMatchObject({
      code: 'E_INTERNAL',
      message: expect.stringMatching(/threads .* did not start: .* ended with status 3/),
    });
  });

  it('fails when it is closed meanwhile', async () => {
    const starting = new Gang({ threads: 2 });
    const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES, shared: true });
    const equipped = starting.equip({ memory, modules, kernels, scratch: 16 * 65536, spins: 100 });
    void starting.close();
    await expect(equipped).rejects.toMatchObject({ message: expect.stringContaining('the gang was closed') });
  });

  it('fails when a thread does not report in time', async () => {
    const script = new URL('data:text/javascript,setInterval(() => {}, 1000);');
    await expect(start(2, { script, startLimitMs: 200 })).rejects.toMatchObject({
      code: 'E_INTERNAL',
      message: 'the threads of the wasm device did not start: 0 of 2 threads reported within 200 ms',
    });
  });
});

describe('life', () => {
  const dist = (file: string) => JSON.stringify(new URL(`../../dist/${file}`, import.meta.url).href);

  /** Runs a module in a process of its own; resolves with its output when it has ended by itself. */
  const inProcess = async (program: string): Promise<string> =>
    (await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], { timeout: 600_000 })).stdout;

  const withExecutable = (body: string): Promise<string> =>
    inProcess(`
      const { openWasmDevice } = await import(${dist('asm/host/device.js')});
      const { trainingGraphs } = await import(${dist('runtime/train/graphs.js')});
      const { buildModel } = await import(${dist('runtime/model/architectures.js')});
      const model = buildModel('convmixer', { input: [32, 32, 3], classes: 3, dim: 32, depth: 2, kernel: 3, patch: 2 });
      const device = await openWasmDevice({ threads: 2 });
      const executable = await device.compile(trainingGraphs(model), { capacity: 64, seed: 1n });
      const batch = { rows: 64, images: new Uint8Array(64 * 32 * 32 * 3), labels: new Int32Array(64), samples: new Int32Array(64) };
      ${body}`);

  it('lets the process end with an idle gang', async () => {
    expect(await withExecutable(`await executable.gradient(batch); console.log('trained');`)).toBe('trained\n');
  });

  it('keeps the process alive until runs in flight are over', async () => {
    const body = `for (let i = 0; i < 3; i++) executable.gradient(batch).then(() => console.log(i)); executable.update({ learningRate: 0, weightDecay: 0, bnMomentum: 1 }).then(() => console.log('updated'));`;
    expect(await withExecutable(body)).toBe('0\n1\n2\nupdated\n');
  });

  it('leaves nothing behind: 60 openings and closings', { timeout: 600_000 }, async () => {
    const output = await inProcess(`
      const { Gang } = await import(${dist('asm/host/gang.js')});
      const { loadKernels } = await import(${dist('asm/host/modules.js')});
      const kernels = await loadKernels();
      const memory = new WebAssembly.Memory({ initial: ${PAGES}, maximum: ${PAGES}, shared: true });
      const cycle = async () => (await Gang.start({ ...kernels, memory, threads: 2, scratch: 16 * 65536, spins: 100 })).close();
      await cycle();
      const before = process.getActiveResourcesInfo().sort();
      for (let i = 0; i < 60; i++) await cycle();
      console.log(JSON.stringify([before, process.getActiveResourcesInfo().sort()]));`);
    const [before, after] = JSON.parse(output);
    expect(after).toEqual(before);
  });
});
