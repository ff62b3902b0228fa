// Modules of the tests' support for engines that run no TypeScript: without their types, over the built package.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const path = (name) => fileURLToPath(new URL(`../../${name}`, import.meta.url));

/** Imports test/support/<name>.ts; it and what it imports are written below `folder`. */
export async function support(name, folder) {
  const { default: ts } = await import('typescript');
  const seen = new Set();
  /** A file below test/, with those that it imports, in the same folders as there. */
  const write = (one) => {
    if (seen.has(one)) return;
    seen.add(one);
    const source = readFileSync(path(`test/${one}.ts`), 'utf8');
    const options = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext };
    const code = ts
      .transpileModule(source, { compilerOptions: options })
      .outputText.replace(/'\.\.\/\.\.\/([^']+)\.ts'/g, (_, file) => JSON.stringify(pathToFileURL(path(`dist/${file}.js`)).href))
      .replace(/'(\.\.?\/[^']+)\.ts'/g, (_, file) => {
        write(posix.join(posix.dirname(one), file));
        return `'${file}.mjs'`;
      })
      .replaceAll("'.cases.ts'", "'.cases.mjs'")
      .replace(
        /new URL\('\.\.\/\.\.\/(node_modules\/[^']+)', import\.meta\.url\)/g,
        (_, file) => `new URL(${JSON.stringify(pathToFileURL(path(file)).href)})`,
      );
    const to = join(folder, 'test', `${one}.mjs`);
    mkdirSync(dirname(to), { recursive: true });
    writeFileSync(to, code);
  };
  // Those of the ops are found by their names.
  for (const file of readdirSync(path('test/ops'))) if (file.endsWith('.cases.ts')) write(`ops/${file.slice(0, -'.ts'.length)}`);
  write(`support/${name}`);
  return import(pathToFileURL(join(folder, 'test/support', `${name}.mjs`)).href);
}
