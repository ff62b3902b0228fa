// The entries of the package: which names each has, so that a growing surface shows in a diff (test/entries.json), and that they can be
// imported by whatever resolves modules. A new name goes to the entry that it belongs to (runtime/entries/), and to the list.

import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, relative, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { tempFolder } from './support/temp-folder.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly name: string;
  readonly exports: Readonly<Record<string, { readonly types: string; readonly default: string } | string>>;
};
interface Names {
  readonly values: readonly string[];
  readonly types: readonly string[];
}
const listed = JSON.parse(readFileSync(join(root, 'test/entries.json'), 'utf8')) as Readonly<Record<string, Names>>;

/** Source files by entry. */
const entries = new Map(
  Object.entries(manifest.exports).flatMap(([entry, target]) =>
    typeof target === 'string' ? [] : [[entry, target.default.replace('./dist/', '').replace(/\.js$/, '.ts')] as const],
  ),
);
const DEPRECATED = ['runtime/entries/deprecated.ts', 'runtime/entries/deprecated-types.ts'];

interface Export {
  readonly name: string;
  /** In the file that it comes from. */
  readonly original: string;
  readonly isType: boolean;
  readonly from: string;
  readonly comment: string;
}

function exportsOf(file: string): Export[] {
  const text = readFileSync(join(root, file), 'utf8');
  return ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true).statements.flatMap((statement) => {
    if (!ts.isExportDeclaration(statement) || !statement.exportClause || !ts.isNamedExports(statement.exportClause)) return [];
    const from = join(dirname(file), (statement.moduleSpecifier as ts.StringLiteral).text);
    return statement.exportClause.elements.map((element) => ({
      name: element.name.text,
      original: (element.propertyName ?? element.name).text,
      isType: statement.isTypeOnly || element.isTypeOnly,
      from,
      comment: text.slice(element.getFullStart(), element.getStart()),
    }));
  });
}

const namesOf = (files: readonly string[]): Names => {
  const found = files.flatMap(exportsOf);
  const names = (isType: boolean) =>
    found
      .filter((each) => each.isType === isType)
      .map(({ name }) => name)
      .sort((a, b) => (a < b ? -1 : 1));
  return { values: names(false), types: names(true) };
};

/** Of the root entry, joined as the package has them (scripts/join.mjs): each is half a millisecond that every program waits for at its start. */
const MOST_FILES = 40;

/** Files that importing one loads, from the root of the package on; an address where it is of something else. */
function loadedBy(file: string): string[] {
  const hook = `import { writeSync } from 'node:fs';
    export const load = (url, context, next) => { if (!url.startsWith('node:')) writeSync(1, url + '\\n'); return next(url, context); };`;
  const program = `import { register } from 'node:module';
    register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(hook)}));
    await import(${JSON.stringify(pathToFileURL(isAbsolute(file) ? file : join(root, file)).href)});`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
  expect(stdout, stderr).not.toBe('');
  const lines = stdout.trim().split('\n');
  return lines.map((url) => (url.startsWith('file:') ? relative(root, fileURLToPath(url)).split(sep).join('/') : url));
}

/** Modules that importing a source file runs, itself among them. */
function modulesOf(file: string, found = new Set<string>()): Set<string> {
  if (found.has(file)) return found;
  found.add(file);
  const text = readFileSync(join(root, file), 'utf8');
  for (const [, path] of text.matchAll(/^(?:import|export) (?!type\b)[^;]*?\bfrom '(\.[^']+)';/gm))
    modulesOf(join(dirname(file), path), found);
  return found;
}

/** dist/ as `npm run build` leaves it: tsc alone leaves the modules apart. */
function joinedFolder(): string {
  const dist = join(root, 'dist');
  if (readFileSync(join(dist, 'runtime/index.js'), 'utf8').includes('../joined/')) return dist;
  const copy = join(tempFolder(), 'dist');
  cpSync(dist, copy, { recursive: true });
  const { status, stderr } = spawnSync(process.execPath, [join(root, 'scripts/join.mjs'), copy], { encoding: 'utf8' });
  expect(status, stderr).toBe(0);
  return copy;
}

/** The entry that a name of before is in now, and its name there. Types come from the entry, values from the file that has them. */
function placeNow({ name, original, from }: Export): { readonly entry: string; readonly name: string } {
  for (const [entry, file] of entries) {
    if (entry === '.') continue;
    const found = exportsOf(file).find((each) => (from === file ? each.name : each.from === from && each.original) === original);
    if (found) return { entry, name: found.name };
  }
  throw new Error(`${name} is in no entry`);
}

describe('entries of the package', () => {
  it.each([
    ...[...entries].map(([entry, file]) => [entry, [file]] as const),
    ['deprecated', DEPRECATED] as const,
  ])('%s has the names that are listed', (entry, files) => {
    expect(namesOf(files)).toEqual(listed[entry]);
  });

  it('are those that are listed, and the root one is small', () => {
    expect([...entries.keys(), 'deprecated'].sort()).toEqual(Object.keys(listed).sort());
    expect(listed['.'].values.length + listed['.'].types.length).toBeLessThanOrEqual(45);
  });

  it('have no name twice: what is in the root one is nowhere else', () => {
    const seen = new Map<string, string>();
    for (const [entry, file] of entries)
      for (const { name } of exportsOf(file)) {
        expect(seen.get(name), `${name} of ${entry}`).toBeUndefined();
        seen.set(name, entry);
      }
  });

  it('names of before are in the root one still, are said to be deprecated, and where they went', async () => {
    const library = (await import(pathToFileURL(join(root, 'runtime/index.ts')).href)) as Record<string, unknown>;
    for (const before of DEPRECATED.flatMap(exportsOf)) {
      const { name, isType, comment } = before;
      const now = placeNow(before);
      const text =
        now.entry === './~internal'
          ? 'No part of the API any more.'
          : `Import ${name === now.name ? 'it' : `\`${now.name}\``} from \`${manifest.name}${now.entry.slice(1)}\`.`;
      expect(comment.trim(), name).toBe(`/** @deprecated ${text} */`);
      if (isType) continue;
      const module = (await import(pathToFileURL(join(root, entries.get(now.entry) as string)).href)) as Record<string, unknown>;
      expect(library[name], name).toBe(module[now.name]);
    }
  });

  it('names of before that are other words now stand in the CHANGELOG, each with its new one', () => {
    const text = readFileSync(join(root, 'CHANGELOG.md'), 'utf8').replace(/\s+/g, ' ');
    const renamed = DEPRECATED.flatMap(exportsOf)
      .map((before) => ({ name: before.name, now: placeNow(before).name }))
      .filter(({ name, now }) => name !== now);
    expect(renamed.length).toBeGreaterThan(5);
    for (const { name, now } of renamed) expect(text).toContain(`\`${name}\` → \`${now}\``);
  });

  it('the root one needs no module that only a run, a set of images or a report needs', () => {
    const modules = [...modulesOf('runtime/index.ts')];
    expect(modules).toContain('runtime/train/run.ts');
    const late =
      /train\/(loop|session|features)\.|data\/(pool|loader|preparer)\.|sources\/(locate|open-place|parquet)\.|report\/html\.|^(asm|gpu)\//;
    expect(modules.filter((module) => late.test(module))).toEqual([]);
  });

  it('the root one loads few files, none of a package; what it does not begin with is joined apart', () => {
    const dist = joinedFolder();
    const files = loadedBy(join(dist, 'runtime/index.js')).map((file) =>
      file.startsWith('node:') ? file : relative(dist, join(root, file)),
    );
    expect(files).toContain('runtime/index.js');
    expect(files.filter((file) => file.startsWith('..'))).toEqual([]);
    const joined = files.filter((file) => dirname(file) === 'joined').map((file) => basename(file, '.js').split('-'));
    expect(joined.length).toBeGreaterThan(1);
    expect(joined.filter((starts) => !starts.includes('library') && starts[0] !== 'rolldown')).toEqual([]);
    expect(files.length).toBeLessThanOrEqual(MOST_FILES);
  });

  it('each map that a built file names is there, and each that is there is named', () => {
    const dist = joinedFolder();
    const files = readdirSync(dist, { recursive: true, encoding: 'utf8' });
    const maps = files.filter((file) => file.endsWith('.js.map'));
    const named = files
      .filter((file) => file.endsWith('.js'))
      .flatMap((file) => {
        const map = /^\/\/# sourceMappingURL=(\S+)\s*$/m.exec(readFileSync(join(dist, file), 'utf8'))?.[1];
        return map ? [join(dirname(file), map)] : [];
      });
    expect(maps.length).toBeGreaterThan(100);
    expect(named.sort()).toEqual(maps.sort());
  });

  it.each([
    { module: 'nodenext' },
    { module: 'esnext', moduleResolution: 'bundler' },
  ])('have types for a strict project of $module, without those of browsers or of WebGPU', (resolution) => {
    const folder = tempFolder();
    mkdirSync(join(folder, 'node_modules/@hybrid-train'), { recursive: true });
    symlinkSync(root, join(folder, 'node_modules/@hybrid-train/hybrid'));
    symlinkSync(join(root, 'node_modules/@types'), join(folder, 'node_modules/@types'));
    const lines = [...entries.keys()].map((entry, i) => {
      const { values, types } = listed[entry];
      const specifier = `'${manifest.name}${entry.slice(1)}'`;
      return `import * as e${i} from ${specifier};\nexport const v${i} = [${values.map((name) => `e${i}.${name}`)}];\nexport type { ${types} } from ${specifier};`;
    });
    writeFileSync(join(folder, 'own.ts'), `${lines.join('\n')}\nexport const device: Promise<e0.Device> = e0.openDevice('wasm');\n`);
    const compilerOptions = {
      ...{ strict: true, noEmit: true, target: 'es2022', lib: ['es2022', 'esnext.disposable'], types: ['node'] },
      ...{ skipLibCheck: false, ...resolution },
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['own.ts'] }));
    const { stdout } = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder], { encoding: 'utf8' });
    expect(stdout).toBe('');
  });
});
