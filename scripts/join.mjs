// Joins the modules that a start loads into a few files, dist/joined/: Node takes longer to find and open a module than to compile it, and a run has
// nearly four hundred. Every module stays at its place, as a line that hands on its names, so that paths, types and entries are as tsc wrote them, and
// there is one of each class. What is reached by the same starts lies in one file, so that none loads what it does not need; what threads load stays apart.
//
// `node scripts/join.mjs [DIST]`, right after tsc. The program works without, and starts more slowly.
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const THREADS = ['asm/host/thread.worker', 'runtime/data/data.worker', 'app/sources/folder-reader', 'app/sources/record-reader'];
/** Is first of all what sets the flags of V8, before anything else is loaded by name: it stays whole. */
const PROGRAM = 'cli/main';
/** Entries that a page uses. */
const PAGE = ['.', './data', './layers', './graph', './formats'];
/** What begins at once, by the name of its file. */
const STARTS = {
  library: ['runtime/index'],
  program: [PROGRAM],
  training: ['runtime/train/loop', 'runtime/data/pool', 'asm/host/device', 'gpu/host/auto', 'app/sources/open-place'],
  train: ['cli/commands/train'],
};

const dist = resolve(process.argv[2] ?? fileURLToPath(new URL('../dist', import.meta.url)));
const FOLDER = 'joined';
if (readFileSync(join(dist, 'runtime', 'index.js'), 'utf8').includes(`../${FOLDER}/`))
  throw new Error(`${dist} is joined already: compile first`);
rmSync(join(dist, FOLDER), { recursive: true, force: true });

const bundler = await import('rolldown').catch((error) => error);
if (!bundler.rolldown) {
  // It is compiled code, which not every platform has.
  process.stderr.write(`The modules of dist/ stay apart, and a start takes longer: ${bundler.message.split('\n')[0]}\n`);
  process.exit();
}

/** Without ending, with slashes. */
const nameOf = (path) => relative(dist, path).slice(0, -'.js'.length).split(sep).join('/');
const pathOf = (name) => join(dist, ...`${name}.js`.split('/'));

/** What modules import before they run, and what that imports; `late`: what they import when they run, too; `instead`: what stands for a module. */
function closure(roots, { late = false, instead = {} } = {}) {
  const imports = late
    ? /(?:^(?:import|export)\b[^;]*?\bfrom |\bimport\()['"](\.[^'"]+)['"]/gm
    : /^(?:import|export)\b[^;]*?\bfrom ['"](\.[^'"]+)['"];/gm;
  const found = new Set();
  const open = [...roots];
  for (let name = open.pop(); name; name = open.pop()) {
    if (found.has(name)) continue;
    found.add(name);
    for (const [, path] of readFileSync(pathOf(name), 'utf8').matchAll(imports)) {
      const imported = nameOf(join(dirname(pathOf(name)), path));
      open.push(instead[imported] ?? imported);
    }
  }
  return found;
}

// A page gets another module for each of some, by its path, and no module that only Node needs.
const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const inPackage = (path) => path.slice('./dist/'.length, -'.js'.length);
const instead = Object.fromEntries(Object.entries(manifest.browser).map((pair) => pair.map(inPackage)));
const page = closure(
  PAGE.map((entry) => inPackage(manifest.exports[entry].browser?.default ?? manifest.exports[entry].default)),
  { late: true, instead },
);

const apart = closure([...THREADS, ...Object.keys(instead)]).add(PROGRAM);
const starts = [...Object.entries(STARTS).map(([name, roots]) => [name, closure(roots)]), ['page', page]];
/** The joined file that a module is in. */
const joined = new Map();
for (const file of readdirSync(dist, { recursive: true }).filter((path) => path.endsWith('.js'))) {
  const name = nameOf(join(dist, file));
  const reached = starts.filter(([, modules]) => modules.has(name)).map(([start]) => start);
  // What only a page reaches is joined by what makes the page.
  if (reached.length > 0 && reached[0] !== 'page' && !apart.has(name)) joined.set(name, reached.join('-'));
}

const bundle = await bundler.rolldown({
  cwd: dist,
  input: Object.fromEntries([...joined.keys()].map((name) => [name, pathOf(name)])),
  platform: 'neutral',
  treeshake: false,
  preserveEntrySignatures: 'strict',
  external: (id, _, isResolved) => !(isResolved || /^[./]|^\w:/.test(id)) || (isResolved && !joined.has(nameOf(id))),
  plugins: [
    {
      // Modules that find others by where they lie.
      name: 'places',
      load: (id) => ({
        // A place that is written out is written out again, as a bundler looks for it, which takes the file along.
        code: readFileSync(id, 'utf8').replace(
          /new URL\((['"])(\.[^'"]+)\1, import\.meta\.url\)|\bimport\.meta\.url\b/g,
          (_, quote, path) =>
            path
              ? `new URL(${quote}${relative(join(dist, FOLDER), join(dirname(id), path))
                  .split(sep)
                  .join('/')}${quote}, import.meta.url)`
              : `new URL('../${nameOf(id)}.js', import.meta.url).href`,
        ),
        map: readFileSync(`${id}.map`, 'utf8'),
      }),
    },
  ],
});
const { output } = await bundle.write({
  dir: dist,
  format: 'esm',
  entryFileNames: '[name].js',
  chunkFileNames: `${FOLDER}/[name].js`,
  minifyInternalExports: false,
  sourcemap: true,
  codeSplitting: {
    // A group takes along what its modules import: what more starts reach comes first.
    groups: [...new Set(joined.values())].map((name) => ({
      name,
      test: (id) => joined.get(nameOf(id)) === name,
      priority: name.split('-').length,
    })),
  },
});
await bundle.close();
// Maps that tsc wrote are of what was there before; a module that stays whole has got one anew.
const written = new Set(output.map(({ fileName }) => fileName));
for (const name of joined.keys()) if (!written.has(`${name}.js.map`)) rmSync(`${pathOf(name)}.map`, { force: true });
