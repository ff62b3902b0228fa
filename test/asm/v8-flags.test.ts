// Flags of V8: which ones are set, by whom, and that nothing is said or broken by it.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { loadKernels } from '../../asm/host/modules.ts';
import { type Engine, missingFlag, v8Flags } from '../../runtime/base/v8-flags.ts';

const RELAXED = '--experimental-wasm-relaxed-simd';
const REVECTORIZE = '--experimental-wasm-revectorize';
const dist = (path: string): string => JSON.stringify(new URL(`../../dist/${path}`, import.meta.url).href);

/** Runs code in a process of its own and gives all that it said. */
async function node(code: string, ...flags: string[]): Promise<{ stdout: string; stderr: string }> {
  return promisify(execFile)(process.execPath, [...flags, '--input-type=module', '-e', code], { timeout: 60_000 });
}
const OPEN = `const { openDevice } = await import(${dist('runtime/index.js')});
  const notices = [];
  const device = await openDevice('wasm', { threads: 1, v8Flags: true, onNotice: (text) => notices.push(text) });
  console.log(JSON.stringify({ description: device.description, notices }));
  await device.close();`;
const opened = async (...flags: string[]) => {
  const { stdout, stderr } = await node(OPEN, ...flags);
  expect(stderr).toBe('');
  return JSON.parse(stdout) as { description: string; notices: string[] };
};

const engine = (v8: string, more: Partial<Engine> = {}): Engine => ({ versions: { v8 }, arch: 'x64', execArgv: [], ...more });

describe('which flags', () => {
  it.each([
    ['11.3.244.8-node.38', [RELAXED], [RELAXED]],
    ['12.4.254.21-node.57', [], []],
    ['13.6.233.17-node.63', [REVECTORIZE], [REVECTORIZE]],
    ['14.1.146.11-node.25', [REVECTORIZE], []],
    ['14.6.202.34-node.40', [REVECTORIZE], []],
  ])('V8 %s: %j, as a library %j', (version, own, library) => {
    expect(v8Flags(engine(version))).toEqual({ own, library });
  });

  it.each([
    ['a version that nobody has tried', engine('15.2.10.1-node.3')],
    ['one between two that were', engine('13.7.1.1-node.1')],
    ["Deno's V8", engine('14.6.202.34-rusty')],
    ["Electron's V8", engine('13.6.233.17-electron.0')],
    ['Bun, which calls itself a Node', { ...engine('13.6.233.10-node.18'), versions: { v8: '13.6.233.10-node.18', bun: '1.4.0' } }],
    ['no V8 at all', { versions: {}, arch: 'x64', execArgv: [] }],
    ['frozen flags', engine('14.6.202.34-node.40', { execArgv: ['--freeze_flags_after_init'] })],
    ['a processor without a revectorizer', engine('14.6.202.34-node.40', { arch: 'arm64' })],
  ])('%s: none', (_, none) => {
    expect(v8Flags(none)).toEqual({ own: [], library: [] });
  });

  it('the last of two contradicting arguments counts', () => {
    const execArgv = ['--freeze-flags-after-init', '--no-freeze-flags-after-init'];
    expect(v8Flags(engine('14.6.202.34-node.40', { execArgv })).own).toEqual([REVECTORIZE]);
  });
});

describe('in this engine', () => {
  const { own, library } = v8Flags({ ...process, execArgv: [] });

  it('a library sets what it may and says what it may not', async () => {
    const { notices } = await opened();
    const told = own.filter((flag) => !library.includes(flag));
    expect(notices).toEqual(told.map((flag) => expect.stringMatching(new RegExp(`must be set when Node starts: node ${flag}$`))));
  });

  it('has nothing to say where the process was started with the flag', async () => {
    for (const flag of own) expect((await opened(flag)).notices).toEqual([]);
  });

  it('does without where flags are frozen: setting one would end the process', async () => {
    const { description, notices } = await opened('--freeze-flags-after-init');
    expect(description).not.toContain('revectorized');
    expect(notices).toEqual([]);
  });

  it('sets none from a worker thread', async () => {
    const code = `const { Worker } = await import('node:worker_threads');
      const body = \`import(${dist('runtime/base/v8-flags.js')}).then(async ({ setFlagsOfLibrary, revectorizerIsOn }) => {
        const { parentPort } = await import('node:worker_threads');
        setFlagsOfLibrary();
        const relaxed = WebAssembly.validate(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 8, 1, 96, 3, 123, 123, 123, 1, 123, 3, 2, 1, 0, 10, 13, 1, 11, 0, 32, 0, 32, 1, 32, 2, 253, 133, 2, 11));
        parentPort.postMessage({ revectorizes: revectorizerIsOn(), relaxed });
      })\`;
      new Worker(body, { eval: true }).on('message', (message) => console.log(JSON.stringify(message)));`;
    const { stdout, stderr } = await node(code);
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual({ revectorizes: false, relaxed: !own.includes(RELAXED) });
  });

  it('the command line has its flags, and V8 no reason to print anything', async () => {
    const main = new URL('../../dist/cli/main.js', import.meta.url).pathname;
    const run = promisify(execFile)(process.execPath, [main, 'doctor', '--json'], { timeout: 120_000 });
    const { stdout, stderr } = await run;
    expect(stderr).toBe('');
    const { wasm } = JSON.parse(stdout);
    expect(wasm.selfTest.passed).toBe(true);
    if (own.length === 0 || !own.includes(REVECTORIZE)) expect(wasm.description).not.toContain('revectorized');
  });

  it.runIf(process.arch === 'x64')('a processor without fused multiply-add is found out by trying', async () => {
    expect((await opened('--no-enable-fma3')).description).toContain('(multiply, then add)');
  });
});

it('kernels are compiled and tested once, however many devices are opened at a time', async () => {
  const all = await Promise.all(Array.from({ length: 8 }, () => loadKernels()));
  expect(new Set(all).size).toBe(1);
});

it('three devices at once, with flags, in a process that was started with them', async () => {
  const code = `const { openDevice } = await import(${dist('runtime/index.js')});
    const devices = await Promise.all([0, 1, 2].map(() => openDevice('wasm', { threads: 1, v8Flags: true })));
    console.log(new Set(devices.map(({ description }) => description)).size);
    await Promise.all(devices.map((device) => device.close()));`;
  expect(await node(code, ...v8Flags(process).own)).toEqual({ stdout: '1\n', stderr: '' });
});

it('names no flag where the engine has no use for one', () => {
  if (v8Flags(process).own.length === 0) expect(missingFlag()).toBeNull();
});
