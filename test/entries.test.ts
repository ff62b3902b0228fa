// The entries of the package: which names each has, so that a growing surface shows in a diff (test/entries.json), and that they can be
// imported by whatever resolves modules. A new name goes to the entry that it belongs to (runtime/entries/), and to the list.

import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
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
const DEPRECATED = 'runtime/entries/deprecated.ts';

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

const namesOf = (file: string): Names => {
  const found = exportsOf(file);
  const names = (isType: boolean) =>
    found
      .filter((each) => each.isType === isType)
      .map(({ name }) => name)
      .sort((a, b) => (a < b ? -1 : 1));
  return { values: names(false), types: names(true) };
};

describe('entries of the package', () => {
  it.each([...entries, ['deprecated', DEPRECATED] as const])('%s has the names that are listed', (entry, file) => {
    expect(namesOf(file)).toEqual(listed[entry]);
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
    for (const { name, original, isType, from, comment } of exportsOf(DEPRECATED)) {
      const entry = [...entries].find(([, file]) => file === from)?.[0] as string;
      const target = `${manifest.name}${entry.slice(1)}`;
      const text =
        entry === './~internal'
          ? 'No part of the API any more.'
          : `Import ${name === original ? 'it' : `\`${original}\``} from \`${target}\`.`;
      expect(comment.trim(), name).toBe(`/** @deprecated ${text} */`);
      if (isType) continue;
      const module = (await import(pathToFileURL(join(root, from)).href)) as Record<string, unknown>;
      expect(library[name], name).toBe(module[original]);
    }
  });

  it('names of before that are other words now stand in the CHANGELOG, each with its new one', () => {
    const text = readFileSync(join(root, 'CHANGELOG.md'), 'utf8').replace(/\s+/g, ' ');
    const renamed = exportsOf(DEPRECATED).filter(({ name, original }) => name !== original);
    expect(renamed.length).toBeGreaterThan(5);
    for (const { name, original } of renamed) expect(text).toContain(`\`${name}\` → \`${original}\``);
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
