// What docs/stability.md promises: nothing but the downloads connects to a network, and the tests that it names are there.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { readDocument } from '../support/documents.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

test('one file of the program connects to a network: that of the downloads; and in a page those for its own files and for a model at an address', () => {
  const files = ['app', 'cli', 'runtime', 'asm/host', 'gpu/host'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).flatMap((name) =>
      name.endsWith('.ts') ? [`${folder}/${name.replaceAll('\\', '/')}`] : [],
    ),
  );
  expect(files.length).toBeGreaterThan(200);
  const connects =
    /from 'node:(?:https?|http2|net|tls|dgram|dns)'|import\('node:(?:https?|net|tls)|(?<![\w.])fetch\(|new (?:WebSocket|EventSource)\b/;
  const found = files.filter((file) => connects.test(readFileSync(join(ROOT, file), 'utf8').replace(/^\s*(?:\/\/|\*).*$/gm, '')));
  expect(found).toEqual(['app/named-model.browser.ts', 'app/sources/download.ts', 'runtime/hosts/page.ts']);
});

test('the tests that hold the promises are there', () => {
  const named = [...readDocument('docs/stability.md').matchAll(/`(test\/[^`]+)`/g)].map(([, name]) => name);
  expect(named.length).toBeGreaterThan(8);
  for (const name of named) expect(existsSync(join(ROOT, name)), name).toBe(true);
});
