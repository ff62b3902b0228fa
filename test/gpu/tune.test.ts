// The tuner on Dawn's null backend, where a script says how long each kernel takes: what is raced, what is kept and for whom, and that nothing
// that is wrong with the file or the clock costs a run.

import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tuneStore } from '../../app/tune.ts';
import { acquireInstance } from '../../gpu/host/binding.ts';
import { openWebGpuDevice } from '../../gpu/host/device.ts';
import type { TimedParts, TuneOptions } from '../../gpu/host/tune.ts';
import { parseTuneFile, type TuneRecord } from '../../gpu/host/tune-file.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { type Faults, faultyGpu } from '../support/faulty-gpu.ts';
import { tempFolder } from '../support/temp-folder.ts';

const model = buildModel('convmixer', { input: [32, 32, 3], classes: 4, dim: 128, depth: 2, kernel: 3, patch: 2 });
const graphs = trainingGraphs(model);
const CAPACITY = 16;
const CARD = { vendor: 'nvidia', architecture: 'ada', device: 'RTX 4070', description: 'driver 1', isFallbackAdapter: false };

let instance: Awaited<ReturnType<typeof acquireInstance>>;
beforeAll(async () => {
  instance = await acquireInstance({ backend: 'null' });
});
afterAll(() => instance?.release());

/** Milliseconds of a repeat, by the name of the site and the candidate. */
type Script = (site: string, candidate: string) => number;

/** Compiles the network on a GPU that keeps its choices in `folder`; `raced` are the sites that were, `text` is the program. */
async function compile(
  folder: string,
  script: Script,
  { faults = {}, info = {}, batch = CAPACITY, ...more }: Partial<TuneOptions> & { faults?: Faults; info?: object; batch?: number } = {},
) {
  let time = 0;
  const raced = new Set<string>();
  const notices: string[] = [];
  const { gpu, seen, lose } = faultyGpu(instance.gpu, { info: { ...CARD, ...info }, ...faults });
  const device = await openWebGpuDevice({ gpu, onNotice: (notice) => notices.push(notice) });
  device.tune({
    store: tuneStore(folder),
    now: () => time,
    timer:
      ({ site, candidate }: TimedParts) =>
      async (repeats) => {
        raced.add(site);
        const ms = repeats * script(site, candidate);
        if (ms === Number.POSITIVE_INFINITY) {
          lose();
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        time += ms;
        return ms;
      },
    results: async () => Uint8Array.of(1, 2), // the null backend leaves what was in memory
    ...more,
  });
  const executable = await device.compile(graphs, { capacity: batch, seed: 1n });
  const text = device.inspect(graphs, { capacity: batch, seed: 1n });
  await executable.close();
  await device.close();
  return { raced: [...raced], notices, text, seen, time };
}

const record = (folder: string): TuneRecord =>
  parseTuneFile(readFileSync(join(folder, 'tune', readdirSync(join(folder, 'tune'))[0]))) as TuneRecord;
const untuned: Script = () => 1;
/** What the tables do not take is twice as fast. */
const narrow: Script = (_, candidate) => (candidate.startsWith('128×32') ? 0.5 : 1);

describe('the tuner', () => {
  it('races the products with the most arithmetic once, and keeps what won', async () => {
    const folder = join(tempFolder(), 'tune');
    const before = await compile(folder, untuned, { budgetMs: 0 });
    const other = join(tempFolder(), 'tune');
    const first = await compile(other, narrow);
    expect(first.raced.length).toBe(5);
    expect(first.raced).toContain(`conv 1×1, ${CAPACITY * 256}×128×128, with sums`);
    expect(first.raced).toContain('convGradWeight 1×1, 128×1024×128 in 4 parts');
    expect(first.text).not.toBe(before.text);
    expect(first.notices).toEqual([
      expect.stringMatching(/^measured 5 of 5 products on RTX 4070 \(driver 1\) in 0\.\d\d s: [1-4] take another tile than the usual one$/),
    ]);
    const { gpu, sites } = record(other);
    expect(gpu).toMatchObject({ vendor: 'nvidia', description: 'driver 1', precision: 'f32', hybrid: expect.stringMatching(/^\d/) });
    expect(sites[`conv 1×1, ${CAPACITY * 256}×128×128, with sums`]).toEqual({
      choice: '128×32, 8×4 each',
      milliseconds: expect.objectContaining({ '128×32, 8×4 each': 0.5, '128×64, 8×4 each, prefetched': 1 }),
    });
    const second = await compile(other, untuned);
    expect(second.raced).toEqual([]);
    expect(second.notices).toEqual([]);
    expect(second.text).toBe(first.text);
    const renewed = await compile(other, untuned, { renew: true });
    expect(renewed.raced.length).toBe(5);
    expect(renewed.text).toBe(before.text);
  });

  it('takes nothing that does not give the same bits, however fast', async () => {
    const folder = tempFolder();
    const results = async ({ candidate }: TimedParts) => Uint8Array.of(1, candidate.startsWith('128×32') ? 3 : 2);
    const { text, raced } = await compile(folder, narrow, { results });
    expect(raced.length).toBe(5);
    expect(text).toBe((await compile(tempFolder(), untuned)).text);
    expect(Object.values(record(folder).sites).filter(({ choice }) => choice.startsWith('128×32'))).toEqual([]);
  });

  it('does not take what another driver, GPU or batch has shown, and keeps both', async () => {
    const folder = tempFolder();
    const first = await compile(folder, narrow);
    expect((await compile(folder, untuned, { info: { description: 'driver 2' } })).raced.length).toBe(5);
    expect((await compile(folder, untuned, { info: { device: 'RTX 4090' } })).raced.length).toBe(5);
    expect(readdirSync(join(folder, 'tune')).length).toBe(3);
    expect((await compile(folder, untuned, { batch: 32 })).raced.length).toBeGreaterThan(3);
    expect((await compile(folder, untuned)).text).toBe(first.text);
  });

  it('ends after half a second, and what was not raced stays as it is', async () => {
    const folder = tempFolder();
    const slow = await compile(folder, (_, candidate) => (candidate.startsWith('128×32') ? 20 : 40));
    expect(slow.time).toBeLessThan(560); // a measurement that has begun ends
    expect(slow.raced.length).toBeLessThan(3);
    const sites = Object.values(record(folder).sites);
    expect(sites.length).toBe(5);
    expect(sites.filter(({ milliseconds }) => Object.keys(milliseconds).length === 0).length).toBeGreaterThan(2);
    expect((await compile(folder, untuned)).raced).toEqual([]);
  });

  it.each([
    ['cut off', (text: string) => text.slice(0, text.length / 2)],
    ['of another kind', () => '[1, 2]'],
    ['empty', () => ''],
    ['of another version', (text: string) => text.replace('hybrid-tune 1', 'hybrid-tune 0')],
    ['of another GPU', (text: string) => text.replace('RTX 4070', 'RTX 4071')],
    ['with times that are none', (text: string) => text.replaceAll('0.5', '"fast"')],
    ['with tiles that are no longer', (text: string) => text.replaceAll('"choice": "', '"choice": "old ')],
  ])('races anew where the file is %s', async (_, spoil) => {
    const folder = tempFolder();
    const first = await compile(folder, narrow);
    const [name] = readdirSync(join(folder, 'tune'));
    writeFileSync(join(folder, 'tune', name), spoil(readFileSync(join(folder, 'tune', name), 'utf8')));
    const second = await compile(folder, narrow);
    expect(second.raced.length).toBe(5);
    expect(second.text).toBe(first.text);
    expect((await compile(folder, untuned)).text).toBe(first.text);
  });

  it('does without a folder that cannot be written, or be made', async () => {
    const folder = tempFolder();
    writeFileSync(join(folder, 'file'), '');
    const below = await compile(join(folder, 'file', 'tune'), narrow);
    expect(below.raced.length).toBe(5);
    expect(below.notices).toEqual([expect.stringMatching(/; they cannot be kept: /)]);
    const locked = join(folder, 'locked');
    mkdirSync(locked);
    chmodSync(locked, 0o500);
    expect((await compile(locked, narrow)).text).toBe(below.text);
  });

  it('does not run on software, nor where nothing is trained', async () => {
    const folder = join(tempFolder(), 'tune');
    expect((await compile(folder, narrow, { info: { isFallbackAdapter: true } })).raced).toEqual([]);
    expect(existsSync(join(folder, 'tune'))).toBe(false);
    const { gpu } = faultyGpu(instance.gpu, { info: CARD });
    const device = await openWebGpuDevice({ gpu });
    device.tune({ store: tuneStore(folder) });
    const { predict } = graphs;
    await (await device.compile({ ...graphs, predict }, { capacity: CAPACITY, seed: 1n, programs: ['predict'] })).close();
    await device.close();
    expect(existsSync(join(folder, 'tune'))).toBe(false);
  });

  it('goes on with a new device where a race has cost the GPU, and does not race again', async () => {
    const folder = tempFolder();
    const { raced, seen } = await compile(folder, () => Number.POSITIVE_INFINITY);
    expect(raced.length).toBe(1);
    expect(seen.devices).toBe(2);
  });

  it('takes the time by the clocks that there are', async () => {
    const folder = tempFolder();
    for (const noTimestamps of [false, true]) {
      const { gpu } = faultyGpu(instance.gpu, { info: CARD, noTimestamps });
      const device = await openWebGpuDevice({ gpu });
      device.tune({ store: tuneStore(folder), renew: true, budgetMs: 200 });
      const begin = performance.now();
      await (await device.compile(graphs, { capacity: CAPACITY, seed: 1n })).close();
      expect(performance.now() - begin).toBeLessThan(20_000);
      await device.close();
    }
    expect(Object.keys(record(folder).sites).length).toBe(5);
  });
});
