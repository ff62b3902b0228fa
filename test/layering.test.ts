// The layer table of ARCHITECTURE.md, enforced: imports point down, nothing imports in a circle, kernels keep to themselves.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

/** From the top of the table to the bottom; a file belongs to the first pattern that matches. */
const LAYERS: readonly { readonly name: string; readonly files: RegExp }[] = [
  { name: 'programs', files: /^(cli|bench)\// },
  { name: 'public API', files: /^runtime\/(index|devices|inspect|doctor)\.ts$/ },
  { name: 'reports', files: /^runtime\/report\// },
  { name: 'training', files: /^runtime\/train\// },
  { name: 'distribution', files: /^runtime\/distributed\// },
  { name: 'interop', files: /^runtime\/interop\// },
  { name: 'models, data', files: /^runtime\/(model|data)\// },
  { name: 'devices', files: /^(asm\/(host|lowering)|gpu)\/|^runtime\/reference\.ts$/ },
  { name: 'compile', files: /^runtime\/compile\// },
  { name: 'contract', files: /^runtime\/device\.ts$/ },
  { name: 'ops', files: /^runtime\/ops\// },
  { name: 'graph', files: /^runtime\/ir\// },
  { name: 'formats', files: /^runtime\/formats\// },
  { name: 'base', files: /^runtime\/base\// },
];
/** The only ways into another device: none. Each device is an island among its layer. */
const ISLANDS = [/^asm\//, /^gpu\//, /^runtime\/reference\.ts$/];
const KERNELS = /^asm\/(kernels|lib|data)\//;

const files = ['runtime', 'cli', 'bench', 'asm', 'gpu'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => `${folder}/${file.split(sep).join('/')}`),
);

const layerOf = (file: string): number => LAYERS.findIndex((layer) => layer.files.test(file));

/** Relative imports of a file, static and dynamic, types included; comments do not count. */
function importsOf(file: string): { target: string; dynamic: boolean }[] {
  const source = readFileSync(join(root, file), 'utf8').replace(/\/\*[\s\S]*?\*\/|(^|\s)\/\/.*$/gm, '$1');
  const found: { target: string; dynamic: boolean }[] = [];
  for (const match of source.matchAll(/(?:import|export)\s[^'";]*?from\s*'(\.[^']+)'|import\(\s*'(\.[^']+)'\s*\)|import\s*'(\.[^']+)'/g)) {
    const path = posix.normalize(posix.join(dirname(file), match[1] ?? match[2] ?? match[3]));
    const target = files.includes(path) ? path : `${path}.ts`;
    found.push({ target, dynamic: match[2] !== undefined });
  }
  return found;
}

describe('layering', () => {
  it('sees the files and their imports', () => {
    expect(files.length).toBeGreaterThan(40);
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

  it.each(files.filter((file) => /^(cli|bench)\//.test(file)))('%s reaches the library through runtime/index.ts only', (file) => {
    for (const { target } of importsOf(file)) {
      if (!/^(cli|bench)\//.test(target)) expect(target).toBe('runtime/index.ts');
    }
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
      for (const { target, dynamic } of importsOf(file)) if (!dynamic) visit(target, [...path, file]);
      state.set(file, 'done');
    };
    for (const file of files) visit(file, []);
  });

  it('names paths as they are on disk', () => {
    for (const file of files)
      for (const { target } of importsOf(file)) expect(files, `${file} imports ${relative('.', target)}`).toContain(target);
  });
});
