// hybrid runs list|show|compare|delete: what there is to know of runs on the disk, without opening data or device.

import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { nodeFiles, writeAtomically } from '../../runtime/entries/internal.ts';
import {
  compareFigure,
  epochsTable,
  MOST_CURVES,
  RunRecord,
  renderFigure,
  type SeedGroup,
  type Spread,
  seedGroups,
  timeShares,
} from '../../runtime/entries/runs.ts';
import { HybridError, RunFolder } from '../../runtime/index.ts';
import { csv } from '../csv.ts';
import { type CliIo, shown } from '../io.ts';
import { count, duration, Progress, percent } from '../progress.ts';
import { findRun } from '../run-names.ts';
import { inFlags } from '../spelling.ts';
import { factTable, table } from '../table.ts';

interface Flags {
  readonly out?: string;
  readonly sort?: string;
  readonly figure?: string;
  readonly csv?: string;
  readonly json?: boolean;
}

const SORTS = ['date', 'name', 'accuracy', 'loss'] as const;

export async function runsListCommand(command: Command, io: CliIo): Promise<number> {
  const flags = command.opts<Flags>();
  const sort = SORTS.find((name) => name === (flags.sort ?? 'date'));
  if (!sort) throw new HybridError('E_USAGE', `--sort is ${JSON.stringify(flags.sort)}`, `Give one of ${SORTS.join(', ')}.`);
  const out = outOf(flags, io);
  const files = io.files ?? nodeFiles;
  const names = (await files.stat(out))?.kind === 'folder' ? await files.readdir(out) : [];
  const records: RunRecord[] = [];
  for (const name of names) {
    const path = join(out, name);
    try {
      records.push(await RunRecord.read(path, files));
    } catch (error) {
      // A folder that is no run, or is damaged, must not hide the others. One that looks like a run is missed.
      const parts = await Promise.all(['checkpoints', 'metrics.jsonl'].map((part) => files.stat(join(path, part)).catch(() => null)));
      if (parts.some(Boolean)) new Progress(io).warn(`${name} is skipped: ${error instanceof Error ? error.message : error}`);
    }
  }
  const summaries = records.map(summaryOf).sort(order(sort));
  if (flags.json) io.stdout.write(`${JSON.stringify(summaries)}\n`);
  else if (summaries.length > 0) io.stdout.write(listText(summaries));
  else io.stderr.write(`there are no runs in ${shown(out, io)}\n`);
  return 0;
}

export async function runsShowCommand(given: string, command: Command, io: CliIo): Promise<number> {
  const flags = command.opts<Flags>();
  const record = await RunRecord.read(await findRun(given, outOf(flags, io), io), io.files);
  io.stdout.write(flags.json ? `${JSON.stringify(detailsOf(record))}\n` : detailsText(record, io));
  return 0;
}

export async function runsCompareCommand(given: readonly string[], command: Command, io: CliIo): Promise<number> {
  const flags = command.opts<Flags>();
  if (given.length < 2) throw new HybridError('E_USAGE', 'runs compare needs at least two runs, got one', 'Pass two or more run names.');
  const format = flags.figure === undefined ? undefined : formatOf(flags.figure);
  if (format && given.length > MOST_CURVES) {
    throw new HybridError(
      'E_USAGE',
      `--figure draws at most ${MOST_CURVES} runs, and these are ${given.length}`,
      'Name fewer runs, or write --csv, which holds any number.',
    );
  }
  const out = outOf(flags, io);
  const records: RunRecord[] = [];
  for (const name of given) records.push(await RunRecord.read(await findRun(name, out, io), io.files));
  const settings = differingSettings(records);
  const groups = seedGroups(records);
  if (flags.json) io.stdout.write(`${JSON.stringify({ runs: records.map(summaryOf), settings, seeds: groups })}\n`);
  else io.stdout.write(compareText(records, settings) + seedsText(groups));
  if (flags.figure !== undefined && format) await write(flags.figure, await renderFigure(compareFigure(records), format), io);
  if (flags.csv !== undefined) {
    const lines = epochsTable(records).map((cells) => `${cells.map((cell) => csv(`${cell}`)).join(',')}\n`);
    await write(flags.csv, new TextEncoder().encode(lines.join('')), io);
  }
  return 0;
}

/** By full name or path alone: what is gone is gone. All are looked for before the first is deleted. */
export async function runsDeleteCommand(given: readonly string[], command: Command, io: CliIo): Promise<number> {
  const flags = command.opts<Flags>();
  const paths: string[] = [];
  for (const name of given) {
    const path = await findRun(name, outOf(flags, io), io, 'of that name');
    if (!paths.includes(path)) paths.push(path);
  }
  for (const path of paths) {
    await RunFolder.delete(path, io.files);
    if (!flags.json) io.stdout.write(`deleted ${shown(path, io)}\n`);
  }
  if (flags.json) io.stdout.write(`${JSON.stringify({ deleted: paths })}\n`);
  return 0;
}

function formatOf(file: string): 'svg' | 'png' {
  const format = (['svg', 'png'] as const).find((name) => file.toLowerCase().endsWith(`.${name}`));
  if (format) return format;
  throw new HybridError('E_USAGE', `--figure is ${JSON.stringify(file)}`, 'Give the name of a file that ends in .svg or .png.');
}

async function write(file: string, bytes: Uint8Array, io: CliIo): Promise<void> {
  const path = resolve(io.cwd, file);
  await writeAtomically(io.files ?? nodeFiles, path, [bytes]);
  io.stderr.write(`wrote ${shown(path, io)}\n`);
}

const outOf = ({ out = 'runs' }: Flags, io: CliIo): string => resolve(io.cwd, out);

/** A run in a line. Accuracies are shares of one, times seconds. */
function summaryOf(record: RunRecord) {
  const { name, location, state, config, epochs, best, end, environment, start } = record;
  const times = timeShares(record);
  const trained = times.computing + times.dataWait;
  return {
    name,
    path: location,
    state,
    arch: start?.arch ?? String(config.arch ?? ''),
    began: typeof environment.time === 'string' ? environment.time : null,
    epochs: epochs.length,
    validation: best?.validation ?? null,
    train: epochs.at(-1)?.train ?? null,
    test: end?.test ?? null,
    seconds: trained + times.validation,
    imagesPerSecond: trained > 0 ? (epochs.length * (start?.trainImages ?? 0)) / trained : null,
    dataWait: trained > 0 ? times.dataWait / trained : null,
  };
}

type Summary = ReturnType<typeof summaryOf>;

/** The best first, the newest first; runs without the value last. */
function order(sort: (typeof SORTS)[number]): (a: Summary, b: Summary) => number {
  const value = ({ began, test, validation, train }: Summary): number => {
    const metrics = test ?? validation ?? train;
    if (sort === 'date') return -Date.parse(began ?? '');
    return sort === 'accuracy' ? -(metrics?.accuracy ?? Number.NaN) : (metrics?.loss ?? Number.NaN);
  };
  const known = (x: number) => (Number.isNaN(x) ? Number.POSITIVE_INFINITY : x);
  return (a, b) => {
    const [x, y] = sort === 'name' ? [0, 0] : [known(value(a)), known(value(b))];
    return x === y ? a.name.localeCompare(b.name) : x - y;
  };
}

const none = '–';
const accuracy = (metrics: { readonly accuracy: number } | null): string => (metrics ? percent(metrics.accuracy) : none);
const loss = (metrics: { readonly loss: number } | null): string => (metrics ? metrics.loss.toFixed(4) : none);
const speed = (value: number | null): string => (value === null ? none : count(Number(value.toPrecision(3))));
const day = (time: string | null): string => (time ? time.slice(0, 16).replace('T', ' ') : none);

function listText(summaries: readonly Summary[]): string {
  return table(
    [
      ['run', 'architecture', 'state', 'began (UTC)', 'epochs', 'validation', 'test', 'images/s', 'time'],
      ...summaries.map((run) => [
        ...[run.name, run.arch, run.state, day(run.began), `${run.epochs}`],
        ...[accuracy(run.validation), accuracy(run.test), speed(run.imagesPerSecond), duration(run.seconds)],
      ]),
    ],
    [1, 2, 3],
  );
}

function detailsOf(record: RunRecord) {
  const { config, environment, epochs, warnings, failure, failureCode } = record;
  const error = failure === null ? null : { code: failureCode, message: failure };
  return { ...summaryOf(record), error, timeShares: timeShares(record), config, environment, epochMetrics: epochs, warnings };
}

function detailsText(record: RunRecord, io: CliIo): string {
  const { start, epochs, config, environment, warnings } = record;
  const run = summaryOf(record);
  const times = timeShares(record);
  const share = (seconds: number) => `${((100 * seconds) / (run.seconds || 1)).toFixed(1)} %`;
  const device = typeof environment.cpu === 'string' ? `${start?.device ?? ''}; ${environment.cpu}` : (start?.device ?? none);
  const facts: [string, string][] = [
    ['run', `${run.name} (${run.state})`],
    ...(record.failure === null
      ? []
      : [['error', `${record.failureCode ? `${record.failureCode}: ` : ''}${record.failure}`] as [string, string]]),
    ['folder', shown(run.path, io)],
    ['model', `${run.arch}${start ? `, ${count(start.parameters)} parameters` : ''}`],
    ['device', device],
    ['test', run.test ? `accuracy ${accuracy(run.test)}, loss ${loss(run.test)}` : 'not measured'],
    [
      'time',
      `${duration(run.seconds)}: computing ${share(times.computing)}, data wait ${share(times.dataWait)}, validation ${share(times.validation)}`,
    ],
    ['throughput', run.imagesPerSecond === null ? none : `${speed(run.imagesPerSecond)} images/s`],
    [
      'settings',
      Object.entries(config)
        .map(([key, value]) => `${key}=${value}`)
        .join(' '),
    ],
    ...warnings.map((text): [string, string] => ['warning', inFlags(text)]),
  ];
  const rows = [
    ['epoch', 'loss', 'accuracy', 'val. loss', 'val. accuracy', 'lr', 'images/s', 'data wait', 'time'],
    ...epochs.map(({ epoch, train, validation, lr, imagesPerSecond, dataWait, seconds, best }) => [
      ...[`${epoch}${best ? ' *' : ''}`, loss(train), accuracy(train), loss(validation), accuracy(validation)],
      ...[`${Number(lr.toPrecision(3))}`, speed(imagesPerSecond), `${(100 * dataWait).toFixed(1)} %`, duration(seconds)],
    ]),
  ];
  const head = factTable(facts, io.stdout);
  return epochs.length > 0 ? `${head}\n${table(rows)}` : head;
}

/** Settings that are not the same in all runs: values by name, one a run. */
function differingSettings(records: readonly RunRecord[]): Record<string, unknown[]> {
  const keys = new Set(records.flatMap(({ config }) => Object.keys(config)));
  const entries = [...keys]
    .filter((key) => key !== 'name' && key !== 'out')
    .map((key) => [key, records.map(({ config }) => (Object.hasOwn(config, key) ? config[key] : null))] as const)
    .filter(([, values]) => values.some((value) => value !== values[0]));
  return Object.fromEntries(entries);
}

function compareText(records: readonly RunRecord[], settings: Readonly<Record<string, unknown[]>>): string {
  const runs = records.map(summaryOf);
  return table([
    ['', ...runs.map(({ name }) => name)],
    ['state', ...runs.map(({ state }) => state)],
    ...Object.entries(settings).map(([key, values]) => [key, ...values.map((value) => (value === null ? none : `${value}`))]),
    ['epochs done', ...runs.map(({ epochs }) => `${epochs}`)],
    ['validation accuracy', ...runs.map(({ validation }) => accuracy(validation))],
    ['validation loss', ...runs.map(({ validation }) => loss(validation))],
    ['test accuracy', ...runs.map(({ test }) => accuracy(test))],
    ['test loss', ...runs.map(({ test }) => loss(test))],
    ['images/s', ...runs.map(({ imagesPerSecond }) => speed(imagesPerSecond))],
    ['data wait', ...runs.map(({ dataWait }) => (dataWait === null ? none : `${(100 * dataWait).toFixed(1)} %`))],
    ['time', ...runs.map(({ seconds }) => duration(seconds))],
  ]);
}

/** What runs come to that differ in their seed alone; empty where there are none. */
function seedsText(groups: readonly SeedGroup[]): string {
  if (groups.length === 0) return '';
  const text = (spread: Spread | null): string =>
    spread ? `${percent(spread.mean)} ± ${percent(spread.deviation)} (${spread.count})` : none;
  return `\n${table(
    [
      ['runs that differ in their seed alone', 'validation accuracy', 'test accuracy'],
      ...groups.map(({ runs, validation, test }) => [runs.join(', '), text(validation), text(test)]),
    ],
    [],
  )}`;
}
