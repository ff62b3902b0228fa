// The package in a build for browsers: nothing of Node's is in it, and nothing but the names that a page has a use for.

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { allEntries, buildPage, type PageBuild } from '../support/page-build.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly browser: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string | { readonly browser?: { readonly default: string }; readonly default: string }>>;
};

/** Source files that a page has in the place of another one, by that one; workers and entries are asked for by their own names. */
const standIns = new Map(
  ['runtime', 'app', 'asm', 'gpu'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.browser.ts') && !file.endsWith('.worker.browser.ts'))
      .map((file) => `${folder}/${file.split(sep).join('/')}`)
      .map((file) => [file.replace('.browser.ts', '.ts'), file] as const),
  ),
);
const inDist = (file: string): string => `./dist/${file.replace(/\.ts$/, '.js')}`;
const entries = new Map(
  Object.values(manifest.exports).flatMap((target) =>
    typeof target === 'object' && target.browser !== undefined ? [[target.default, target.browser.default] as const] : [],
  ),
);

/** Names of the values that a file exports. */
function exportsOf(file: string): string[] {
  const source = ts.createSourceFile(file, readFileSync(join(root, file), 'utf8'), ts.ScriptTarget.Latest, true);
  return source.statements
    .flatMap((statement) => {
      if (ts.isExportDeclaration(statement)) {
        const { exportClause } = statement;
        if (statement.isTypeOnly || !exportClause || !ts.isNamedExports(exportClause)) return [];
        return exportClause.elements.filter((element) => !element.isTypeOnly).map((element) => element.name.text);
      }
      const isExported =
        ts.canHaveModifiers(statement) && ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword);
      if (!isExported) return [];
      if (ts.isVariableStatement(statement)) return statement.declarationList.declarations.map(({ name }) => name.getText());
      if (ts.isFunctionDeclaration(statement) || ts.isClassDeclaration(statement)) return [statement.name?.text ?? ''];
      return [];
    })
    .sort();
}

describe('what stands for files of Node in a page', () => {
  it('is named in package.json, all of it', () => {
    const named = [...Object.entries(manifest.browser), ...entries].map(([from, to]) => `${from} → ${to}`);
    expect(named.sort()).toEqual([...standIns].map(([from, to]) => `${inDist(from)} → ${inDist(to)}`).sort());
  });

  it.each(
    Object.keys(manifest.browser).map((file) => file.replace('./dist/', '').replace(/\.js$/, '.ts')),
  )('%s: has the same names', (file) => {
    expect(exportsOf(standIns.get(file) as string)).toEqual(exportsOf(file));
  });

  it.each([...entries])('%s: has some of its names, and those that a page alone has', (from, to) => {
    const names = exportsOf(from.replace('./dist/', '').replace(/\.js$/, '.ts'));
    const own = exportsOf(to.replace('./dist/', '').replace(/\.js$/, '.ts'));
    expect(own.filter((name) => !names.includes(name))).toEqual(
      from === './dist/runtime/index.js' ? ['originStore', 'useAssets'] : ['decodeFiles', 'decodePicture', 'labelledFiles'],
    );
  });
});

describe('a build for browsers', () => {
  let built: PageBuild;
  beforeAll(async () => {
    built = await buildPage(allEntries());
  });
  afterAll(() => built?.remove());

  it('imports nothing of Node, in the page and in its workers', () => {
    expect(built.nodeImports).toEqual([]);
    for (const { name, bytes } of built.files)
      if (name.endsWith('.js')) expect(new TextDecoder().decode(bytes), name).not.toMatch(/["'`]node:/);
  });

  it('takes both workers and the kernels along, and a worker can start no other one', () => {
    const assets = built.files.filter(({ kind }) => kind === 'asset');
    expect(assets.map(({ name }) => name.replace(/^assets\/|-[\w-]{8}(?=\.)/g, '')).sort()).toEqual([
      'data.worker.browser.js',
      'kernels.pack',
      'thread.worker.js',
    ]);
    for (const { name, bytes } of assets)
      if (name.endsWith('.js')) expect(new TextDecoder().decode(bytes), name).not.toMatch(/new Worker\(/);
  });

  it('needs none of the globals of Node to be imported, and asks for nothing', () => {
    const program = `
      const { log } = console;
      const main = ${JSON.stringify(pathToFileURL(join(built.folder, 'main.js')).href)};
      for (const name of ['process', 'Buffer', 'global', 'setImmediate', 'clearImmediate', 'navigator', 'SharedArrayBuffer', 'fetch', 'Worker'])
        delete globalThis[name];
      const { root, data, layers, graph, formats } = await import(main);
      const model = root.buildModel('convmixer', { input: [8, 8, 3], classes: 2, dim: 8, depth: 1, patch: 4, kernel: 3 });
      const { train } = data.syntheticSource({ train: 4, test: 0 });
      const arrays = formats.readNpz(formats.writeNpz(new Map([['x', { shape: [2], data: Float32Array.of(1, 2) }]])));
      log(JSON.stringify([model.variables.length > 5, train.size, typeof layers.layers.dense, typeof graph.verifyGraph, [...arrays.get('x').data]]));`;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual([true, 4, 'function', 'function', [1, 2]]);
  });

  it('has types for TypeScript: those of the names that a page alone has, as the example uses them', () => {
    const project = join(root, 'examples/browser');
    const { stdout } = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', project], { encoding: 'utf8' });
    expect(stdout).toBe('');
  });

  it('is silent about it', () => {
    expect(built.warnings).toEqual([]);
  });
});
