// The programs in TypeScript that documents show: each is checked by the compiler as a strict project would, and runs as it stands but for its epochs.

import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { expect, test } from 'vitest';
import { blocksOf, readDocument } from '../support/documents.ts';
import { tempFolder } from '../support/temp-folder.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const documents = ['README.md', ...readdirSync(join(ROOT, 'docs')).flatMap((name) => (name.endsWith('.md') ? [`docs/${name}`] : []))];
const snippets = documents.flatMap((document) =>
  blocksOf(readDocument(document))
    .filter(({ language }) => language === 'ts')
    .map(({ code, line }) => ({ place: `${document}:${line}`, code })),
);

test('there are those of the README, of the library and of Keras', () => {
  expect(snippets.map(({ place }) => place.split(':')[0])).toEqual(
    expect.arrayContaining(['README.md', 'docs/library.md', 'docs/from-keras.md']),
  );
});

/** A project of a user, with the package in its node_modules. */
function project(): string {
  const folder = tempFolder();
  mkdirSync(join(folder, 'node_modules/@hybrid-train'), { recursive: true });
  symlinkSync(ROOT, join(folder, 'node_modules/@hybrid-train/hybrid'));
  symlinkSync(join(ROOT, 'node_modules/@types'), join(folder, 'node_modules/@types'));
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  return folder;
}

test('they have no error of types', { timeout: 240_000 }, () => {
  const folder = project();
  // Of each a module: names may come twice.
  for (const [i, { code }] of snippets.entries()) writeFileSync(join(folder, `snippet-${i}.ts`), `${code}\nexport {};\n`);
  const compilerOptions = {
    ...{ strict: true, noEmit: true, target: 'es2022', lib: ['es2022', 'esnext.disposable'], types: ['node'] },
    ...{ module: 'nodenext', skipLibCheck: true },
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }));
  const { stdout, status } = spawnSync(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', folder], {
    encoding: 'utf8',
  });
  expect({ stdout, status }, snippets.map(({ place }, i) => `snippet-${i} is ${place}`).join('\n')).toEqual({ stdout: '', status: 0 });
});

test.each(snippets)('$place runs', { timeout: 240_000 }, ({ code }) => {
  const folder = project();
  // The compiler takes away what Node 20 does not know: `await using`.
  const compilerOptions = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext };
  const { outputText } = ts.transpileModule(code.replace(/epochs: \d+/, 'epochs: 1'), { compilerOptions });
  writeFileSync(join(folder, 'snippet.mjs'), outputText);
  const { status, stderr } = spawnSync(process.execPath, ['snippet.mjs'], { cwd: folder, encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
});
