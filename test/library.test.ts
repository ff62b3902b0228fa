// The package in a program that embeds it: importing does nothing but that, and using it leaves nothing behind.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

/** Runs a module in a process of its own and returns what it printed, as JSON. */
function embedding(source: string) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', source], {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    encoding: 'utf8',
    timeout: 60_000,
  });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return JSON.parse(stdout);
}

/** What a library might change of the process around it. Threads are those of the system: Node has some of its own. */
const LOOK = `
  import { existsSync, readdirSync } from 'node:fs';
  import { readFile } from 'node:fs/promises';
  // What Node itself brings up when files are read and workers started.
  await readFile('package.json');
  void [process.stdout, process.stderr];
  const settled = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  await settled(50);
  const threads = () => existsSync('/proc/self/task') ? readdirSync('/proc/self/task').length : 0;
  const look = () => ({
    listeners: Object.fromEntries(process.eventNames().map((name) => [String(name), process.listenerCount(name)])),
    resources: process.getActiveResourcesInfo().sort(),
    globals: Object.getOwnPropertyNames(globalThis).sort(),
    prototypes: [Object, Array, Uint8Array, Promise, Error].map(({ prototype }) => Reflect.ownKeys(prototype).length),
    environment: JSON.stringify(process.env),
    folder: process.cwd(),
    exitCode: process.exitCode ?? null,
    traceLimit: Error.stackTraceLimit,
    threads: threads(),
  });
`;

test.each([
  'index',
  ...['data', 'layers', 'graph', 'runs', 'formats', 'distributed', 'tools', 'internal'].map((entry) => `entries/${entry}`),
])('importing runtime/%s.ts loads no other package: each is loaded by what needs it', (entry) => {
  const seen = new Set<string>();
  const packages: string[] = [];
  const visit = (file: string): void => {
    if (seen.has(file)) return;
    seen.add(file);
    for (const [, target] of readFileSync(file, 'utf8').matchAll(/^(?:import|export)\s(?!type\b)[^'";]*?from '([^']+)';/gm)) {
      if (target.startsWith('.')) visit(join(dirname(file), target));
      else if (!target.startsWith('node:')) packages.push(`${target} (${file})`);
    }
  };
  visit(fileURLToPath(new URL(`../runtime/${entry}.ts`, import.meta.url)));
  expect(seen.size).toBeGreaterThan(entry === 'index' ? 100 : 1);
  expect(packages).toEqual([]);
});

test('importing it adds no listeners, globals, handles or threads', () => {
  const { before, after, names } = embedding(`${LOOK}
    const before = look();
    const library = await import('@hybrid-train/hybrid');
    await settled(50);
    console.log(JSON.stringify({ before, after: look(), names: Object.keys(library).length }));
  `);
  expect(names).toBeGreaterThan(50);
  expect(after).toEqual(before);
});

test('so does training, once the device is closed: the process ends by itself', () => {
  const { before, during, after } = embedding(`${LOOK}
    import { buildModel, openDevice, train } from '@hybrid-train/hybrid';
    import { syntheticSource } from '@hybrid-train/hybrid/data';
    const { train: data } = syntheticSource({ train: 64, test: 0 });
    const model = buildModel('convmixer', { input: [32, 32, 3], classes: 10, dim: 8, depth: 1, patch: 4 });
    const before = look();
    const device = await openDevice('wasm', { threads: 2 });
    const run = train({ device, model, train: data, epochs: 1, batch: 32 });
    await run.result;
    const during = look();
    await device.close();
    await settled(200);
    console.log(JSON.stringify({ before, during, after: look() }));
  `);
  expect(during.listeners).toEqual(before.listeners);
  expect(after).toEqual(before);
});
