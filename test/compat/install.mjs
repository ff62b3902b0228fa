// The packed package as people get it: installed by npm, pnpm, Yarn (also Plug'n'Play) and Bun, read by TypeScript old and new, bundled, for a page
// too, and started under Node's restrictions. Needs npm's registry, or a cache that has the packages.
//
//   node test/compat/install.mjs [--report FILE] [NAME...]

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const here = join(root, 'test/compat');
const argv = process.argv.slice(2);
const report = argv[0] === '--report' ? argv.splice(0, 2)[1] : undefined;
const folder = mkdtempSync(join(tmpdir(), 'hybrid-install-'));
const counts = { passed: 0, failed: 0, skipped: 0 };

/** Runs a command to its end; throws with all that it said where it fails. */
function run(cwd, command, args, { env = {}, status = 0 } = {}) {
  const child = spawnSync(command, args, { cwd, encoding: 'utf8', timeout: 600_000, env: { ...process.env, NO_COLOR: '1', ...env } });
  const said = `${child.stdout ?? ''}${child.stderr ?? ''}`;
  if (child.error || child.status !== status)
    throw new Error(`${command} ${args.join(' ')}: ${child.error ?? `status ${child.status}`}\n${said}`);
  return said;
}
function assert(condition, what) {
  if (!condition) throw new Error(what);
}
class Skip extends Error {}
function check(name, body) {
  if (argv.length > 0 && !argv.some((one) => name.startsWith(one))) return;
  const begin = performance.now();
  const said = (word, more) =>
    console.log(`${word} ${name} (${((performance.now() - begin) / 1000).toFixed(0)} s)${more ? `: ${more}` : ''}`);
  try {
    const more = body();
    counts.passed++;
    said('ok', more);
  } catch (error) {
    if (error instanceof Skip) {
      counts.skipped++;
      said('skip', error.message);
    } else {
      counts.failed++;
      said('FAIL', String(error.message).slice(0, 3000));
    }
  }
}

run(root, 'npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder]);
const tarball = join(
  folder,
  readdirSync(folder).find((name) => name.endsWith('.tgz')),
);
const NAME = '@hybrid-train/hybrid';

/** A project of somebody's, empty but for what is given. */
function project(name, files = {}) {
  const path = join(folder, name);
  mkdirSync(path);
  writeFileSync(
    join(path, 'package.json'),
    JSON.stringify({ name, version: '1.0.0', private: true, type: 'module', ...files['package.json'] }),
  );
  writeFileSync(join(path, 'program.mjs'), PROGRAM);
  for (const [file, text] of Object.entries(files)) if (file !== 'package.json') writeFileSync(join(path, file), text);
  return path;
}
/** Trains with a data worker, so that threads of both kinds are started from where the package lies. */
const PROGRAM = `import { buildModel, openDevice, train } from '${NAME}';
import { syntheticSource } from '${NAME}/data';
const { train: images } = syntheticSource({ train: 32, test: 0 });
const model = buildModel('convmixer', { input: images.shape, classes: images.classes.length, dim: 8, depth: 1, patch: 4 });
const device = await openDevice('wasm', { threads: 2 });
const result = await train({ device, model, train: images, epochs: 1, batch: 16, workers: 1 }).result;
await device.close();
console.log(result.reason);
`;
/** Packages that bring a program: installed once. */
function tool(name) {
  const path = join(folder, `tool-${name.replace(/[^\w.-]/g, '-')}`);
  if (!existsSync(path)) {
    mkdirSync(path);
    writeFileSync(join(path, 'package.json'), '{"private":true}');
    execFileSync('npm', ['install', '--no-audit', '--no-fund', '--silent', ...name.split(' ')], { cwd: path, stdio: 'ignore' });
  }
  return join(path, 'node_modules');
}
/** An engine that run.mjs has. */
function engine(name) {
  const child = spawnSync(process.execPath, [join(here, 'run.mjs'), '--path', name], { encoding: 'utf8' });
  if (child.status !== 0) throw new Skip(`${name} cannot be had here`);
  return child.stdout.trim();
}
const trained = (said) => assert(said.trim().endsWith('completed'), said);
/** What the command line is asked: a run folder is written, with fsync, from wherever the installer put the package. */
const TRAIN = 'train --data synthetic --limit 64 --epochs 1 --batch 16 --arch convmixer --dim 8 --depth 1 --device wasm --name r'.split(
  ' ',
);
function recorded(path) {
  for (const file of ['runs/r/metrics.jsonl', 'runs/r/checkpoints/best', 'runs/r/checkpoints/last', 'runs/r/report.html'])
    assert(existsSync(join(path, file)), `there is no ${file}`);
}

check('npm install', () => {
  const path = project('npm');
  run(path, 'npm', ['install', '--no-audit', '--no-fund', tarball]);
  trained(run(path, process.execPath, ['program.mjs']));
  assert(/^\d+\.\d+\.\d+\n$/.test(run(path, join(path, 'node_modules/.bin/hybrid'), ['--version'])), 'no version');
  run(path, join(path, 'node_modules/.bin/hybrid'), TRAIN);
  recorded(path);
});

check('npm install --omit=optional', () => {
  const path = project('without');
  run(path, 'npm', ['install', '--no-audit', '--no-fund', '--omit=optional', tarball]);
  trained(run(path, process.execPath, ['program.mjs']));
});

// As docs/library.md says: pnpm wants to be told what becomes of the scripts of packages.
check('pnpm add', () => {
  const pnpm = join(tool('pnpm'), 'pnpm/bin', 'pnpm.mjs');
  const path = project('pnpm', { 'pnpm-workspace.yaml': 'allowBuilds:\n  koffi: false\n  webgpu: false\n' });
  run(path, engine('node24'), [pnpm, 'add', '--store-dir', join(folder, 'pnpm-store'), tarball]);
  trained(run(path, process.execPath, ['program.mjs']));
});

for (const [linker, start] of [
  ['node-modules', []],
  ['pnp', ['-r', './.pnp.cjs', '--loader', './.pnp.loader.mjs']],
]) {
  check(`yarn add, ${linker}`, () => {
    const yarn = join(tool('@yarnpkg/cli-dist'), '@yarnpkg/cli-dist/bin/yarn.js');
    const path = project(`yarn-${linker}`, {
      '.yarnrc.yml': `nodeLinker: ${linker}\nenableGlobalCache: false\nenableTelemetry: false\n`,
      'yarn.lock': '',
    });
    const env = { YARN_NPM_REGISTRY_SERVER: run(path, 'npm', ['config', 'get', 'registry']).trim() };
    run(path, process.execPath, [yarn, 'add', `${NAME}@${tarball}`], { env });
    trained(run(path, process.execPath, start.length > 0 ? [yarn, 'node', 'program.mjs'] : ['program.mjs'], { env }));
    run(path, process.execPath, [yarn, 'hybrid', ...TRAIN], { env });
    recorded(path);
  });
}

check('bun add', () => {
  const bun = engine('bun');
  const path = project('bun');
  run(path, bun, ['add', tarball]);
  trained(run(path, bun, ['program.mjs']));
});

const CONSUMER = `import { buildModel, type Dataset, type Device, openDevice, train } from '${NAME}';
import type { SharedImages } from '${NAME}/data';
export type Images = SharedImages;
declare const images: Dataset;
const device: Device = await openDevice('wasm', { threads: 1 });
const model = buildModel('convmixer', { input: [8, 8, 3], classes: 2 });
const run = train({ device, model, train: images, epochs: 1 });
for await (const event of run) if (event.type === 'epoch') console.log(event.train.accuracy);
`;
for (const [version, installed] of [
  ['5.4', 'npm'],
  ['5.6', 'without'],
  ['6', 'without'],
]) {
  check(`TypeScript ${version}, strict, libraries checked, ${installed === 'npm' ? 'with' : 'without'} the optional packages`, () => {
    const path = join(folder, installed);
    if (!existsSync(join(path, 'node_modules'))) throw new Skip('the installation failed');
    const tsc = join(tool(`typescript@${version}`), 'typescript/bin/tsc');
    const types = tool('@types/node@20');
    if (!existsSync(join(path, 'node_modules/@types'))) symlinkSync(join(types, '@types'), join(path, 'node_modules/@types'));
    writeFileSync(join(path, 'consumer.mts'), CONSUMER);
    run(path, process.execPath, [
      tsc,
      '--noEmit',
      '--strict',
      '--module',
      'nodenext',
      '--target',
      'es2022',
      '--types',
      'node',
      '--skipLibCheck',
      'false',
      'consumer.mts',
    ]);
  });
}

const BUNDLERS = {
  esbuild: (modules) => [
    join(modules, '.bin/esbuild'),
    '--bundle',
    '--platform=node',
    '--format=esm',
    `--external:${NAME}`,
    `--external:${NAME}/*`,
    '--outfile=bundled.mjs',
    'program.mjs',
  ],
  rollup: (modules) => [join(modules, '.bin/rollup'), '--external', `${NAME},${NAME}/data`, '--file', 'bundled.mjs', 'program.mjs'],
};
for (const [name, command] of Object.entries(BUNDLERS)) {
  check(`bundled by ${name}, the package external`, () => {
    const path = join(folder, 'npm');
    if (!existsSync(join(path, 'node_modules'))) throw new Skip('the installation failed');
    const [program, ...args] = command(tool(name));
    run(path, program, args);
    trained(run(path, process.execPath, ['bundled.mjs']));
  });
}

check('bundled with the package in it: says what is missing and what to do', () => {
  const path = join(folder, 'npm');
  if (!existsSync(join(path, 'node_modules'))) throw new Skip('the installation failed');
  const modules = tool('esbuild');
  const bundle = [
    '--bundle',
    '--platform=node',
    '--format=esm',
    '--outfile=whole.mjs',
    '--external:@resvg/resvg-js',
    '--external:webgpu',
    '--external:koffi',
    '--external:sharp',
    'program.mjs',
  ];
  run(path, join(modules, '.bin/esbuild'), [
    ...bundle,
    "--banner:js=import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
  ]);
  assert(/bundle.*external/is.test(run(path, process.execPath, ['whole.mjs'], { status: 1 })), 'not a word about bundling');
});

/** For pages: what bundlers make of the package, workers and kernels included. Vite's is in test/page/. */
const PAGE_BUNDLERS = {
  esbuild: (modules) => [join(modules, '.bin/esbuild'), '--bundle', '--format=esm', '--splitting', '--outdir=page-esbuild', 'program.mjs'],
  'webpack webpack-cli': (modules) => [
    join(modules, '.bin/webpack'),
    '--mode=production',
    '--target=web',
    '--entry=./program.mjs',
    '-o',
    'page-webpack',
  ],
};
for (const [names, command] of Object.entries(PAGE_BUNDLERS)) {
  const [name] = names.split(' ');
  check(`for a page, by ${name}`, () => {
    const path = join(folder, 'npm');
    if (!existsSync(join(path, 'node_modules'))) throw new Skip('the installation failed');
    const [program, ...args] = command(tool(names));
    run(path, program, args);
    const files = readdirSync(join(path, `page-${name}`));
    for (const file of files.filter((one) => one.endsWith('.js')))
      assert(!/["']node:/.test(readFileSync(join(path, `page-${name}`, file), 'utf8')), `${file} wants a module of Node`);
    assert(name !== 'webpack' || files.some((file) => file.endsWith('.pack')), 'the kernels were left behind');
  });
}

rmSync(folder, { recursive: true, force: true });
console.log(`installing: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
if (report)
  writeFileSync(
    report,
    JSON.stringify({ numPassedTests: counts.passed, numFailedTests: counts.failed, numPendingTests: counts.skipped, numTodoTests: 0 }),
  );
process.exitCode = counts.failed > 0 ? 1 : 0;
