// docs/file-formats.md names what is in the files, and nothing else: its tables are held to what a run leaves behind.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readSafetensors } from '../../runtime/formats/safetensors.ts';
import { cli } from '../support/cli.ts';
import { readDocument } from '../support/documents.ts';
import { tempFolder } from '../support/temp-folder.ts';

const text = readDocument('docs/file-formats.md');

const section = (title: string): string => text.split(/^## /m).find((part) => part.startsWith(`${title}\n`)) ?? '';
const words = (line: string): string[] => [...line.matchAll(/`([^`]+)`/g)].map(([, word]) => word);
/** The first cells of a table, or the words in the paragraph that begins with one. */
const rows = (title: string): string[][] =>
  section(title)
    .split('\n')
    .filter((line) => /^\| `/.test(line))
    .map((line) => line.split(/(?<!\\)\|/).map((cell) => cell.trim()));
const paragraph = (begins: string): string => {
  const found = text.split('\n\n').find((part) => part.startsWith(begins));
  expect(found, begins).toBeDefined();
  return String(found);
};

const json = (...path: string[]) => JSON.parse(readFileSync(join(...path), 'utf8'));

test('a run is as the page says', async () => {
  const cwd = tempFolder();
  const model = ['--arch', 'convmixer', '--dim', '4', '--depth', '1', '--kernel', '3', '--patch', '8', '--device', 'reference'];
  const data = ['--data', 'synthetic', '--limit', '40', '--batch', '16', '--bn-momentum', '0.5', '--augment', 'none'];
  const output = ['--name', 'r', '--keep-every', '1', '--tensorboard', '--quiet'];
  const { status, stderr } = await cli(['train', ...model, ...data, '--epochs', '1', ...output], { cwd });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect((await cli(['train', '--resume', 'r', '--epochs', '2', '--no-figures', '--quiet'], { cwd })).status).toBe(0);
  const run = join(cwd, 'runs', 'r');

  const files = rows('A run').flatMap(([, cell]) => words(cell));
  const there = readdirSync(run).map((name) => name.replace(/tfevents\..*/, 'tfevents.*'));
  const named = files.map((name) => name.replace(/\/.*/, ''));
  expect(there.filter((name) => !named.includes(name))).toEqual([]);
  // Those a run has only while it goes on, or when it failed.
  expect(named.filter((name) => !there.includes(name)).sort()).toEqual(['crash.json', 'lock.json']);
  expect(readdirSync(join(run, 'checkpoints')).sort()).toEqual(['best', 'epoch-0001', 'epoch-0002', 'last']);

  const [environment] = json(run, 'environment.json');
  const told = words(paragraph('An entry of `environment.json`'));
  for (const key of [...Object.keys(environment), ...Object.keys(environment.device)]) expect(told).toContain(key);

  const events = readFileSync(join(run, 'metrics.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  const kinds = new Map(rows('Events').map(([, type, keys]) => [words(type)[0], words(keys)]));
  // `key?` is not in every event.
  const keysOf = (event: object, names: readonly string[]) =>
    names.filter((name) => !name.endsWith('?') || name.slice(0, -1) in event).map((name) => name.replace('?', ''));
  for (const event of events) expect(['type', ...keysOf(event, kinds.get(event.type) ?? [])], event.type).toEqual(Object.keys(event));
  expect(new Set(events.map(({ type }) => type))).toEqual(new Set(kinds.keys()));

  const last = join(run, 'checkpoints', 'last');
  expect(readdirSync(last).sort()).toEqual(
    rows('Checkpoints')
      .flatMap(([, cell]) => words(cell))
      .sort(),
  );
  const { progress, versions } = json(last, 'state.json');
  expect(versions.format).toBe(1);
  for (const key of Object.keys(progress)) expect(words(paragraph('`progress` has'))).toContain(key);
  const graph = json(last, 'graph.json');
  expect(Object.keys(graph)).toEqual(['version', 'inputs', 'outputs', 'values', 'nodes', 'gradients']);
  const { tensors, metadata } = readSafetensors(readFileSync(join(last, 'model.safetensors')), 'it');
  expect([...metadata.keys()].sort()).toEqual(['config', 'format', 'graph', 'hybrid']);
  expect(tensors.get('layers/conv2d/vars/0')?.shape).toEqual([8, 8, 3, 4]);
  const card = JSON.parse(String(metadata.get('hybrid')));
  for (const key of [...Object.keys(card), ...Object.keys(card.input)]) expect(words(section('The card'))).toContain(key);
  const optimizer = readSafetensors(readFileSync(join(last, 'optimizer.safetensors')), 'it').tensors;
  expect(optimizer.get('optimizer/vars/0')).toMatchObject({ shape: [1], data: expect.any(BigInt64Array) });
  expect(optimizer.get('optimizer/vars/1')?.shape).toEqual([]);
});

test('exported and packed files are as the page says', async () => {
  const cwd = tempFolder();
  expect((await cli(['data', 'convert', 'synthetic', 'set.safetensors'], { cwd })).status).toBe(0);
  const { tensors, metadata } = readSafetensors(readFileSync(join(cwd, 'set.safetensors')), 'it');
  expect([...tensors.keys()].sort()).toEqual(['sha256', 'test.images', 'test.labels', 'train.images', 'train.labels']);
  expect(metadata.get('format')).toBe('hybrid-images-1');
  for (const key of metadata.keys()) expect(words(section('Data'))).toContain(key);
  expect(rows('Exported files').flatMap(([, format]) => words(format))).toEqual(['keras', 'h5', 'onnx', 'safetensors', 'npz']);
});
