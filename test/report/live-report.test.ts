import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { LiveReport } from '../../app/report/live-report.ts';
import { RunRecord, thinned, timeShares } from '../../app/report/record.ts';
import { type Files, nodeFiles } from '../../runtime/base/files.ts';
import type { TrainEvent } from '../../runtime/train/events.ts';
import { events, START, stepEvent } from '../support/run-events.ts';
import { tempFolder } from '../support/temp-folder.ts';

test('the page follows the run: at once, after epochs, else at most every 15 seconds; never two writes at a time', async () => {
  const folder = tempFolder();
  const clock = { ms: 0 };
  let writes = 0;
  let settle = () => {};
  const files: Files = {
    ...nodeFiles,
    async rename(from, to) {
      writes++;
      await nodeFiles.rename(from, to);
      settle();
    },
  };
  const report = new LiveReport(new RunRecord(folder, { batch: 100 }), {
    files,
    onProblem: (error) => expect.unreachable(`${error}`),
    now: () => clock.ms,
  });
  /** Until the write that the events ask for is done, and what follows it. */
  const written = async (...list: TrainEvent[]) => {
    const done = new Promise<void>((resolve) => {
      settle = resolve;
    });
    for (const event of list) report.event(event);
    await done;
    await new Promise((resolve) => setTimeout(resolve, 50));
    return readFileSync(join(folder, 'report.html'), 'utf8');
  };
  const [, , , , , epoch] = events();
  // Many events while the first page is being written: none of them begins another.
  // (The page is drawn as soon as what draws it is loaded, and so may have the epoch already.)
  expect(await written(START, stepEvent(1, 1), stepEvent(1, 2), epoch)).toMatch(/running, (0 epochs|1 epoch) of 3 done/);
  expect(writes).toBe(1);
  clock.ms += 1000;
  report.event(epoch); // too soon after the page before
  clock.ms += 2000;
  report.event(stepEvent(2, 1)); // a step alone is no reason yet
  expect(await written(epoch)).toContain('running, 1 epoch of 3 done');
  expect(writes).toBe(2);
  clock.ms += 15_000;
  expect(await written(stepEvent(2, 2))).toContain('epoch 2');
  await report.finish();
  expect(writes).toBe(4);
  expect(readFileSync(join(folder, 'report.html'), 'utf8')).not.toContain('refresh');
});

test('a living run writes its page where no events come, a dead one does not', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  try {
    for (const end of ['finish', 'stop'] as const) {
      let writes = 0;
      const files: Files = { ...nodeFiles, rename: (from, to) => nodeFiles.rename(from, to).then(() => void writes++) };
      const report = new LiveReport(new RunRecord(tempFolder(), { batch: 100 }), {
        files,
        onProblem: (error) => expect.unreachable(`${error}`),
      });
      vi.advanceTimersByTime(15_000);
      await vi.waitFor(() => expect(writes).toBe(1), { timeout: 30_000 });
      await report[end]();
      const before = writes;
      vi.advanceTimersByTime(60_000);
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(writes, end).toBe(before);
    }
  } finally {
    vi.useRealTimers();
  }
});

test('what goes wrong is told once', async () => {
  const problems: unknown[] = [];
  const report = new LiveReport(new RunRecord('/nowhere/at/all', {}), { onProblem: (error) => problems.push(error) });
  for (const event of events()) report.event(event);
  await report.finish();
  expect(problems).toEqual([expect.objectContaining({ code: 'E_DISK' })]);
});

test('the trace holds means of the steps, not of the epoch so far, whichever steps were told', () => {
  const record = new RunRecord('/r', { batch: 100 });
  record.add(START);
  // Batches of 100, 100, 100 and 90 images with losses 4, 2, 3, 1: means since the beginning of the epoch are told.
  const told = (step: number, loss: number) => record.add({ ...stepEvent(1, step), loss });
  told(1, 4);
  told(2, 3);
  told(4, (400 + 200 + 300 + 90) / 390);
  expect(record.trace.map(({ at }) => at)).toEqual([0.25, 0.5, 1]);
  expect(record.trace.map(({ loss }) => loss)).toEqual([4, 2, expect.closeTo(390 / 190, 12)]);
  record.add({ ...stepEvent(2, 1), loss: 1.5 });
  expect(record.trace[3].loss).toBeCloseTo(1.5, 12);
});

test('going back forgets what came later', () => {
  const record = RunRecord.from('/r', { batch: 100 }, events({ epochs: 3, end: true }));
  record.add({ type: 'resume', reason: 'rolled back', epoch: 2, step: 4 });
  expect(record.epochs).toHaveLength(2);
  record.add({ type: 'resume', reason: 'rolled back', epoch: 2, step: 2 });
  expect(record.epochs).toHaveLength(1);
  expect(record.trace.at(-1)?.at).toBe(1.5);
  expect(record.state).toBe('unfinished');
  record.add(stepEvent(2, 3));
  record.add({ ...events()[10], epoch: 2 } as never);
  expect(record.epochs.map(({ epoch }) => epoch)).toEqual([1, 2]);
});

test('lines that are no events, or of other versions, are passed over', () => {
  const record = RunRecord.from('/r', {}, [null, 1, 'x', {}, { type: 7 }, { type: 'of another version' }, ...events()]);
  expect(record.epochs).toHaveLength(3);
  expect(record.state).toBe('completed');
});

test('a long run keeps a bounded trace', () => {
  const record = new RunRecord('/r', { batch: 1 });
  record.add({ ...START, stepsPerEpoch: 20_000, trainImages: 20_000 });
  for (let step = 1; step <= 20_000; step++) record.add({ ...stepEvent(1, step), loss: 1 });
  expect(record.trace.length).toBeLessThanOrEqual(4096);
  expect(record.trace.at(-1)?.at).toBe(1);
  for (const { loss } of record.trace) expect(loss).toBeCloseTo(1, 9);
  expect(thinned(record.trace, 10)).toHaveLength(10);
});

test('shares of the time add up to that of the epochs', () => {
  const { computing, dataWait, validation } = timeShares(RunRecord.from('/r', {}, events()));
  expect(computing).toBeCloseTo(5.4, 9);
  expect(dataWait).toBeCloseTo(0.6, 9);
  expect(validation).toBeCloseTo(1.5, 9);
});
