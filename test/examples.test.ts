// The examples, as somebody who has installed the package runs them: with Node, against dist.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { imageFile } from './support/images.ts';
import { hasSwiftShader, swiftShaderChild } from './support/swiftshader.ts';

const folder = fileURLToPath(new URL('../examples/', import.meta.url));

function start(name: string, { args = [], env = {} }: { args?: readonly string[]; env?: Readonly<Record<string, string>> } = {}) {
  const child = spawn(process.execPath, [...args, `${folder}${name}.mjs`], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const told = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) child[stream].setEncoding('utf8').on('data', (text) => (told[stream] += text));
  return { child, told };
}

async function exitOf(child: ChildProcess): Promise<number | null> {
  const [status] = child.exitCode === null ? await once(child, 'close') : [child.exitCode];
  return status;
}

async function run(name: string, options?: Parameters<typeof start>[1]): Promise<string> {
  const { child, told } = start(name, options);
  const status = await exitOf(child);
  expect(told.stderr).toBe('');
  expect(status).toBe(0);
  return told.stdout;
}

test('an own dataset is learned', async () => {
  expect(await run('own-dataset')).toMatch(/^(epoch \d: loss \d\.\d+\n){6}test accuracy (9\d|100)\.\d %\n$/);
});

test('an own model, built with the graph builder, learns', async () => {
  const told = await run('own-model');
  const losses = [...told.matchAll(/loss (\d\.\d+)/g)].map(([, loss]) => Number(loss));
  expect(losses).toHaveLength(8);
  expect(losses[7]).toBeLessThan(losses[0] - 0.3);
  // Ten classes: chance is 10 %.
  expect(Number(/test accuracy (\d+\.\d) %/.exec(told)?.[1])).toBeGreaterThan(20);
});

test('an own checkpoint store: the resumed run is the uninterrupted one', async () => {
  expect(await run('own-checkpoint-store')).toBe('stopped: aborted\nresumed: completed\nthe same bits as the run that was not stopped\n');
});

test('weights of the last epochs are averaged while the run goes on', async () => {
  const told = await run('average-weights');
  expect(told).toMatch(/^(epoch \d: loss \d\.\d+\n){4}test accuracy: \d+\.\d % by the best epoch, \d+\.\d % by the mean of the last 2\n$/);
});

test('predictions from a worker thread', async () => {
  expect(await run('predict-in-worker')).toMatch(/^(picture [0-3]: class \d, \d+\.\d %\n){4}$/);
});

test('an own graph on every device', async () => {
  const told = await run('own-graph', hasSwiftShader ? swiftShaderChild() : {});
  const devices = hasSwiftShader ? ['reference', 'wasm', 'webgpu'] : ['reference', 'wasm'];
  for (const name of devices) {
    const difference = new RegExp(`^${name}: 256 numbers, largest difference from the reference (\\S+)$`, 'm').exec(told)?.[1];
    expect(Number(difference), told).toBeLessThan(1e-5);
  }
  // The left edge of the bright square is where it becomes brighter to the right.
  expect(told).toContain('\n>>>.....\n');
});

test('a server that trains tells its progress, and stops when its client leaves', async () => {
  const { child, told } = start('train-in-server', { env: { PORT: '0' } });
  try {
    const until = async (pattern: RegExp): Promise<RegExpExecArray> => {
      for (let found: RegExpExecArray | null; ; await once(child.stdout, 'data')) if ((found = pattern.exec(told.stdout))) return found;
    };
    const [, port] = await until(/port: (\d+)/);
    const address = `http://127.0.0.1:${port}/train`;

    const leaving = new AbortController();
    const reader = (await fetch(`${address}?epochs=100000`, { signal: leaving.signal })).body?.pipeThrough(new TextDecoderStream());
    let read = '';
    await expect(async () => {
      for await (const text of reader ?? []) if ((read += text).includes('event: step')) leaving.abort();
    }).rejects.toMatchObject({ name: 'AbortError' });
    expect(read).toMatch(/^event: start\ndata: \{"type":"start".*\n\n/);
    const left = performance.now();
    await until(/run aborted after \d+ epochs/);
    expect(performance.now() - left).toBeLessThan(1000);

    // The device goes on to serve the next.
    const whole = await (await fetch(`${address}?epochs=2`)).text();
    const events = [...whole.matchAll(/^event: (\w+)\ndata: (.*)\n\n/gm)].map(([, name, data]) => ({ name, data: JSON.parse(data) }));
    expect(events.filter(({ name }) => name === 'epoch').map(({ data }) => data.epoch)).toEqual([1, 2]);
    expect(events.at(-1)).toMatchObject({ name: 'end', data: { reason: 'completed', epochs: 2 } });
    child.kill('SIGTERM');
    expect(await exitOf(child)).toBe(0);
    expect(told.stderr).toBe('');
  } finally {
    child.kill('SIGKILL');
  }
});

test('a server tells what pictures show, together, and refuses what is no picture', async () => {
  const { child, told } = start('classify-server', { env: { PORT: '0' } });
  try {
    let found: RegExpExecArray | null;
    while (!(found = /port: (\d+)/.exec(told.stdout))) await once(child.stdout, 'data');
    const address = `http://127.0.0.1:${found[1]}/`;
    const picture = new Uint8Array(await imageFile('jpeg', 40, 50));
    const answers = await Promise.all(
      Array.from({ length: 8 }, async () => (await fetch(address, { method: 'POST', body: picture })).json()),
    );
    for (const answer of answers) expect(answer).toEqual(answers[0]);
    expect(answers[0]).toEqual({ label: expect.any(String), probability: expect.any(Number), unsure: expect.any(Boolean) });
    expect((await fetch(address, { method: 'POST', body: 'no picture' })).status).toBe(400);
    child.kill('SIGTERM');
    expect(await exitOf(child)).toBe(0);
    expect(told.stderr).toBe('');
  } finally {
    child.kill('SIGKILL');
  }
});

test('docs/library.md tells of each', () => {
  const page = readFileSync(new URL('../docs/library.md', import.meta.url), 'utf8');
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }))
    if (name.endsWith('.mjs')) expect(page).toContain(`(../examples/${name})`);
});
