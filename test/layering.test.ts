// The layer table of ARCHITECTURE.md, enforced: imports point down, nothing imports in a circle, kernels keep to themselves.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

interface Layer {
  readonly name: string;
  /** Folders (with a slash at the end) and files. */
  readonly paths: readonly string[];
}

/** From the top of the table in ARCHITECTURE.md to the bottom. */
const LAYERS: readonly Layer[] = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8')
  .split('## Layers')[1]
  .split('\n## ')[0]
  .split('\n')
  .filter((line) => line.startsWith('| ') && line.includes('`'))
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .map(([, name, where]) => ({ name, paths: [...where.matchAll(/`([^`]+)`/g)].map(([, path]) => path) }));
/** The only ways into another device: none. Each device is an island among its layer. */
const ISLANDS = [/^asm\//, /^gpu\//, /^runtime\/reference\.ts$/];
const KERNELS = /^asm\/(kernels|lib|data)\//;

const files = ['runtime', 'app', 'cli', 'bench', 'asm', 'gpu'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    // What the build writes for kernels (asm/abi/generate.mjs) is there only after it.
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.gen.ts'))
    .map((file) => `${folder}/${file.split(sep).join('/')}`),
);

/** Index of the layer whose path fits best: a file that is named wins over its folder. */
function layerOf(file: string): number {
  let best = { index: -1, length: 0 };
  for (const [index, { paths }] of LAYERS.entries()) {
    for (const path of paths) {
      const fits = path.endsWith('/') ? file.startsWith(path) : file === path;
      if (fits && path.length > best.length) best = { index, length: path.length };
    }
  }
  return best.index;
}

/** Relative imports of a file, static and dynamic, types included; comments do not count. */
function importsOf(file: string): { target: string; dynamic: boolean }[] {
  const source = readFileSync(join(root, file), 'utf8').replace(/\/\*[\s\S]*?\*\/|(^|\s)\/\/.*$/gm, '$1');
  const found: { target: string; dynamic: boolean }[] = [];
  for (const match of source.matchAll(/(?:import|export)\s[^'";]*?from\s*'(\.[^']+)'|import\(\s*'(\.[^']+)'\s*\)|import\s*'(\.[^']+)'/g)) {
    const path = posix.normalize(posix.join(dirname(file), match[1] ?? match[2] ?? match[3]));
    const target = files.includes(path) ? path : `${path}.ts`;
    if (target.endsWith('.gen.ts')) continue;
    found.push({ target, dynamic: match[2] !== undefined });
  }
  return found;
}

describe('layering', () => {
  it('sees the files and their imports', () => {
    expect(files.length).toBeGreaterThan(40);
    expect(LAYERS.map(({ name }) => name)).toEqual(expect.arrayContaining(['programs', 'app', 'training', 'contract', 'base']));
    expect(importsOf('runtime/compile/autodiff.ts').map(({ target }) => target)).toContain('runtime/ir/graph.ts');
  });

  it.each(files.filter((file) => !KERNELS.test(file)))('%s imports only from its own layer or below', (file) => {
    const layer = layerOf(file);
    expect(layer, `${file} belongs to no layer of the table`).toBeGreaterThanOrEqual(0);
    for (const { target } of importsOf(file)) {
      expect(KERNELS.test(target), `${file} imports ${target}: kernels are compiled by asc, not imported`).toBe(false);
      const below = layerOf(target);
      expect(below, `${file} (${LAYERS[layer].name}) imports ${target} (${LAYERS[below]?.name})`).toBeGreaterThanOrEqual(layer);
    }
  });

  it.each(files.filter((file) => /^(cli|bench)\//.test(file)))('%s reaches the library through its entries and app/ only', (file) => {
    for (const { target } of importsOf(file)) {
      // Flags of V8 come before everything, and the library is loaded by the commands that need it.
      const first = file === 'cli/main.ts' && target === 'runtime/base/v8-flags.ts';
      if (!/^(cli|bench|app)\//.test(target) && !first)
        expect(target).toMatch(/^runtime\/(index|settings|entries\/(?!deprecated)\w+)\.ts$/);
    }
  });

  it('has about 40 names in runtime/index.ts: others go to runtime/entries/, and all to test/entries.json', () => {
    const { values, types } = (
      JSON.parse(readFileSync(join(root, 'test/entries.json'), 'utf8')) as Record<string, Record<string, string[]>>
    )['.'];
    const source = readFileSync(join(root, 'runtime/index.ts'), 'utf8').replace(/\/\/.*$/gm, '');
    const names = [...source.matchAll(/export (?:type )?\{([^}]*)\}/g)].flatMap(([, body]) => body.split(',').map((name) => name.trim()));
    const own = names.filter((name) => name !== '').map((name) => name.replace(/^type |^\w+ as /g, ''));
    expect(own.sort()).toEqual([...values, ...types].sort());
  });

  it('keeps devices apart', () => {
    for (const file of files) {
      const island = ISLANDS.find((pattern) => pattern.test(file));
      if (!island) continue;
      for (const { target } of importsOf(file)) {
        for (const other of ISLANDS) if (other !== island) expect(other.test(target), `${file} imports ${target}`).toBe(false);
      }
    }
  });

  it.each(files.filter((file) => KERNELS.test(file)))('%s is AssemblyScript and imports only AssemblyScript', (file) => {
    for (const { target } of importsOf(file)) expect(target).toMatch(file.startsWith('asm/data/') ? /^asm\/(data|lib)\// : /^asm\/lib\//);
  });

  it('has no import cycle, not even of types', () => {
    const state = new Map<string, 'open' | 'done'>();
    const visit = (file: string, path: string[]): void => {
      if (state.get(file) === 'done') return;
      expect(state.get(file), [...path, file].join(' → ')).not.toBe('open');
      state.set(file, 'open');
      for (const { target } of importsOf(file)) visit(target, [...path, file]);
      state.set(file, 'done');
    };
    for (const file of files) visit(file, []);
  });

  it('names paths as they are on disk', () => {
    for (const file of files)
      for (const { target } of importsOf(file)) expect(files, `${file} imports ${relative('.', target)}`).toContain(target);
  });
});
