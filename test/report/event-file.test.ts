import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { EventFile, maskedCrc } from '../../app/report/event-file.ts';
import { readEventFile } from '../support/event-reader.ts';
import { events, START, stepEvent } from '../support/run-events.ts';
import { tempFolder } from '../support/temp-folder.ts';

const PNG = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 1, 2, 3);

/** The file of a short run with a picture at its end. */
async function writeRun(folder: string): Promise<string> {
  const file = await EventFile.create(folder);
  for (const event of events()) await file.event(event);
  await file.picture({ name: 'confusion', width: 640, height: 480 }, PNG);
  await file.close();
  return file.path;
}

test('the checksum is the published one', () => {
  // CRC-32C of "123456789" is e3069283; turned by 15 bits and shifted by the constant of the format.
  expect(maskedCrc(new TextEncoder().encode('123456789'))).toBe(0xc78ab0e5);
});

test('an independent reader finds every scalar and the picture', async () => {
  const records = readEventFile(readFileSync(await writeRun(tempFolder())));
  expect(records[0]).toMatchObject({ version: 'brain.Event:2', step: 0 });
  const scalars = records.flatMap(({ step, values }) => values.map((value) => ({ step, ...value })));
  const of = (tag: string) => scalars.filter((scalar) => scalar.tag === tag).map(({ step, simple }) => [step, simple]);
  expect(of('step/loss')).toHaveLength(12);
  expect(of('step/loss')[5]).toEqual([6, Math.fround(stepEvent(2, 2).loss)]);
  expect(of('loss/validation')).toEqual([1, 2, 3].map((epoch) => [4 * epoch, Math.fround(2.2 / epoch)]));
  expect(of('accuracy/test')).toEqual([[12, Math.fround(0.5432)]]);
  expect(scalars.at(-1)).toMatchObject({ tag: 'figures/confusion', step: 12, image: { width: 640, height: 480, bytes: PNG } });
  for (const { wallTime } of records) expect(Math.abs(wallTime - Date.now() / 1000)).toBeLessThan(60);
});

test('a run that goes on voids what came later, in a file of its own', async () => {
  const file = await EventFile.create(tempFolder());
  await file.event(START);
  await file.event({ type: 'resume', reason: 'resumed', epoch: 2, step: 3 });
  await file.event(stepEvent(2, 4));
  await file.close();
  const records = readEventFile(readFileSync(file.path));
  expect(records.map(({ step, sessionStatus }) => [step, sessionStatus])).toEqual([
    [0, undefined],
    [8, 1],
    [8, undefined],
  ]);
});

test('a full disk is E_DISK', async () => {
  await expect(EventFile.create(join(tempFolder(), 'missing'))).rejects.toMatchObject({ code: 'E_DISK' });
});

// `HYBRID_TENSORBOARD_PYTHON`: a Python with the package tensorboard.
const python = process.env.HYBRID_TENSORBOARD_PYTHON ?? 'python3';
const hasTensorBoard = spawnSync(python, ['-c', 'import tensorboard'], { timeout: 60_000 }).status === 0;
if (!hasTensorBoard) process.stderr.write(`SKIPPED: TensorBoard's own reader, because ${python} has no package tensorboard\n`);

const READ = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
reader = EventAccumulator(sys.argv[1], size_guidance={'scalars': 0, 'images': 0}); reader.Reload()
tags = reader.Tags()
scalars = {tag: [[e.step, e.value] for e in reader.Scalars(tag)] for tag in tags['scalars']}
images = {tag: [[e.step, e.width, e.height, list(e.encoded_image_string)] for e in reader.Images(tag)] for tag in tags['images']}
print(json.dumps({'scalars': scalars, 'images': images}))
`;

describe.skipIf(!hasTensorBoard)("TensorBoard's own reader", () => {
  function read(folder: string) {
    const { stdout, stderr, status } = spawnSync(python, ['-c', READ, folder], { encoding: 'utf8', timeout: 100_000 });
    expect(status, stderr).toBe(0);
    return JSON.parse(stdout.trim().split('\n').at(-1) as string) as {
      scalars: Record<string, [number, number][]>;
      images: Record<string, [number, number, number, number[]][]>;
    };
  }

  test('finds the same', async () => {
    const folder = tempFolder();
    await writeRun(folder);
    const { scalars, images } = read(folder);
    expect(scalars['loss/train']).toEqual([1, 2, 3].map((epoch) => [4 * epoch, Math.fround(2 / epoch)]));
    expect(scalars['step/learning_rate']).toHaveLength(12);
    expect(images).toEqual({ 'figures/confusion': [[12, 640, 480, [...PNG]]] });
  });

  test('forgets what a resumed run does anew', async () => {
    const folder = tempFolder();
    await writeRun(folder);
    // Names sort by second; the second session comes a second later.
    await new Promise((resolve) => setTimeout(resolve, 1100));
    const again = await EventFile.create(folder);
    await again.event(START);
    await again.event({ type: 'resume', reason: 'resumed', epoch: 2, step: 2 });
    await again.event({ ...stepEvent(2, 3), loss: 0.25 });
    await again.close();
    expect(readdirSync(folder)).toHaveLength(2);
    expect(existsSync(again.path)).toBe(true);
    const { scalars } = read(folder);
    expect(scalars['step/loss'].map(([step]) => step)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(scalars['step/loss'][6]).toEqual([7, 0.25]);
  });
});
