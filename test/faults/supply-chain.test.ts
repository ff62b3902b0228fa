// Case 42: what is installed is what was built from these sources, and installing runs nothing. (That `npm ci --ignore-scripts` and an explicit
// build work is shown by test/soak/install.soak.ts, which needs the registry.) Needs dist.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { tempFolder } from '../support/temp-folder.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const json = (path: string) => JSON.parse(readFileSync(join(root, path), 'utf8'));

const hashes = (folder: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.wasm'))
      .map((name) => name.replaceAll('\\', '/'))
      .sort()
      .map((name) => [
        name,
        createHash('sha256')
          .update(readFileSync(join(folder, name)))
          .digest('hex'),
      ]),
  );

test('the WebAssembly files are rebuilt to the same bytes', () => {
  const folder = tempFolder();
  const { status, stderr } = spawnSync(process.execPath, [join(root, 'asm', 'build.mjs'), folder], { encoding: 'utf8', cwd: folder });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  const rebuilt = hashes(folder);
  expect(Object.keys(rebuilt).length).toBeGreaterThan(15);
  expect(rebuilt).toEqual(hashes(join(root, 'dist', 'asm')));
});

describe('the package', () => {
  const { scripts, dependencies, optionalDependencies, devDependencies } = json('package.json');

  test('has no script that its installation runs', () => {
    // npm runs `prepare` in a checkout and when it packs, never for a package from the registry or a tarball.
    expect(
      Object.keys(scripts).filter((name) => /^(pre|post)?install$|^(pre|post)prepare$|^prepublish$|^dependencies$/.test(name)),
    ).toEqual([]);
  });

  test('names exact versions, and the lock file has each with its hash', () => {
    for (const [name, version] of Object.entries({ ...dependencies, ...optionalDependencies, ...devDependencies })) {
      expect(version, name).toMatch(/^\d+\.\d+\.\d+$/);
    }
    const entries = Object.entries(json('package-lock.json').packages as Record<string, Record<string, unknown>>).filter(
      ([path]) => path !== '',
    );
    expect(entries.length).toBeGreaterThan(50);
    for (const [path, { integrity, version }] of entries) {
      expect(typeof version, path).toBe('string');
      expect(String(integrity), path).toMatch(/^sha512-/);
    }
  });
});
