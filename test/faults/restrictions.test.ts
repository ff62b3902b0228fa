// Node started with flags that forbid something: what can be done without is done without, and for the rest the error names the flag.

import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { remedyOfRestriction } from '../../runtime/base/restrictions.ts';
import { tempFolder } from '../support/temp-folder.ts';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const INDEX = new URL('../../dist/runtime/index.js', import.meta.url).href;
const PERMISSION = process.allowedNodeEnvironmentFlags.has('--permission') ? '--permission' : '--experimental-permission';
const TRAIN = [
  'train',
  '--data',
  'synthetic',
  '--arch',
  'convmixer',
  '--dim',
  '8',
  '--depth',
  '1',
  '--patch',
  '4',
  '--limit',
  '64',
  '--epochs',
  '1',
];

function node(flags: readonly string[], argv: readonly string[], cwd = tempFolder()) {
  return new Promise<{ status: number | null; stdout: string; stderr: string }>((resolve) => {
    const child = spawn(process.execPath, ['--no-warnings', ...flags, ...argv], { cwd, timeout: 60_000 });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (text) => {
      stdout += text;
    });
    child.stderr.on('data', (text) => {
      stderr += text;
    });
    child.on('close', (status) => resolve({ status, stdout, stderr }));
  });
}
const hybrid = (flags: readonly string[], ...argv: string[]) => node(flags, [MAIN, ...argv, '--quiet', '--device', 'wasm']);

describe('--permission', () => {
  it('trains where it may read, write and have threads: without fsync, which Node refuses there', async () => {
    const { status, stdout } = await hybrid([PERMISSION, '--allow-fs-read=*', '--allow-fs-write=*', '--allow-worker'], ...TRAIN);
    expect(stdout).toContain('test accuracy');
    expect(status).toBe(0);
  });

  it.each([
    ['threads', ['--allow-fs-read=*', '--allow-fs-write=*'], 'E_ENVIRONMENT', /--allow-worker/],
    ['a place to write', ['--allow-fs-read=*', '--allow-worker'], 'E_DISK', /--allow-fs-write=/],
  ])('without %s: names the flag', async (_, flags, code, remedy) => {
    const { status, stderr } = await hybrid([PERMISSION, ...flags], ...TRAIN);
    expect(stderr).toContain(`error[${code}]`);
    expect(stderr).toMatch(remedy);
    expect(status).not.toBe(0);
  });
});

it('--jitless: no WebAssembly', async () => {
  const { status, stderr } = await hybrid(['--jitless'], ...TRAIN);
  expect(stderr).toMatch(/error\[E_ENVIRONMENT\]: this process has no WebAssembly\nhelp: Start Node without --jitless/);
  expect(status).toBe(3);
});

describe('--disallow-code-generation-from-strings', () => {
  const FLAG = '--disallow-code-generation-from-strings';
  it('data workers cannot start; without them it trains', async () => {
    const folder = tempFolder();
    const { status, stderr } = await node([FLAG], [MAIN, ...TRAIN, '--quiet', '--device', 'wasm'], folder);
    expect(stderr).toMatch(new RegExp(`error\\[E_WORKER_BOOT\\][\\s\\S]*without ${FLAG}[\\s\\S]*--workers 0`));
    expect(status).toBe(3);
    const { stdout } = await node([FLAG], [MAIN, ...TRAIN, '--workers', '0', '--quiet', '--device', 'wasm', '--name', 'x'], folder);
    expect(stdout).toContain('test accuracy');
    const exported = await node([FLAG], [MAIN, 'export', 'x', '--format', 'onnx', '-o', 'x.onnx'], folder);
    expect(exported.stderr).toMatch(new RegExp(`error\\[E_ENVIRONMENT\\][\\s\\S]*protobufjs[\\s\\S]*without ${FLAG}`));
  });
});

describe('--no-addons', () => {
  it('trains, and says what images need', async () => {
    const { status, stdout } = await hybrid(['--no-addons'], ...TRAIN);
    expect(stdout).toContain('test accuracy');
    expect(status).toBe(0);
    const folder = tempFolder();
    for (const name of ['a', 'b']) {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, 'x.png'), Buffer.from('89504e470d0a1a0a0000', 'hex'));
    }
    const { stderr } = await hybrid(['--no-addons'], 'train', '--data', folder);
    expect(stderr).toMatch(/error\[E_ENVIRONMENT\]: .*sharp[\s\S]*help: Start Node without --no-addons/);
  });
});

it('frozen intrinsics, no __proto__, a small stack: nothing is missed', async () => {
  for (const flags of [
    ['--frozen-intrinsics'],
    ['--disable-proto=throw'],
    ['--stack-size=200'],
    ['--liftoff-only'],
    ['--disable-wasm-trap-handler'],
  ]) {
    if (flags[0] === '--disable-wasm-trap-handler' && !process.allowedNodeEnvironmentFlags.has(flags[0])) continue;
    const { stdout, stderr } = await hybrid(flags, ...TRAIN);
    expect(stdout, `${flags}: ${stderr}`).toContain('test accuracy');
  }
});

it.runIf(process.arch === 'x64')('a processor without the SIMD that is needed', async () => {
  const { status, stderr } = await hybrid(['--no-enable-sse4-1'], ...TRAIN);
  expect(stderr).toMatch(/error\[E_ENVIRONMENT\]: this processor has no 128-bit SIMD/);
  expect(status).toBe(3);
});

it('in a bundle the kernels are missing, and the remedy says how to bundle', async () => {
  // As a bundler leaves it: the code somewhere else, the kernels not beside it.
  const code = `import { syncBuiltinESMExports } from 'node:module';
    import promises from 'node:fs/promises';
    promises.readdir = () => Promise.reject(Object.assign(new Error('no such folder'), { code: 'ENOENT' }));
    syncBuiltinESMExports();
    const { openDevice } = await import(${JSON.stringify(INDEX)});
    await openDevice('wasm').catch(({ code, message, remedy }) => console.log(code, message, remedy));`;
  const { stdout } = await node([], ['--input-type=module', '-e', code]);
  expect(stdout).toMatch(/^E_ENVIRONMENT the compiled kernels in .* are missing .*bundled.*external.*npm run build/);
});

it('other errors have no such remedy', () => {
  expect(remedyOfRestriction(new Error('something else'))).toBeNull();
  expect(remedyOfRestriction('no error')).toBeNull();
  const denied = Object.assign(new Error('x'), { code: 'ERR_ACCESS_DENIED', permission: 'FileSystemRead', resource: '/data' });
  expect(remedyOfRestriction(denied)).toBe('Start Node with --allow-fs-read=/data.');
});
