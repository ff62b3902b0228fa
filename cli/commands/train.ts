// hybrid train: settings → data, model, device, run folder → a training run whose events are shown and kept.

import { dirname, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { benchTrain } from '../../bench/train.ts';
import { splitOf } from '../../runtime/entries/data.ts';
import { type Communicator, trainInGroup } from '../../runtime/entries/distributed.ts';
import {
  type CompleteTrainOptions,
  checkGraph,
  completeProgress,
  modelOf,
  nodeFiles,
  readCard,
  readProgress,
  shareCheckpoint,
  weightsFor,
} from '../../runtime/entries/internal.ts';
import { checkRunName, describeEnvironment, type RunConfig } from '../../runtime/entries/runs.ts';
import { ChromeTrace, estimate, formatBytes } from '../../runtime/entries/tools.ts';
import {
  ARCHITECTURES,
  buildModel,
  type Checkpoint,
  type Dataset,
  HybridError,
  type Model,
  openDevice,
  partsOf,
  RunFolder,
  readWeights,
  type TrainEvent,
  type TrainedModel,
  type TrainResult,
  type TrainRun,
  train,
} from '../../runtime/index.ts';
import { readConfigFile } from '../config-file.ts';
import { assumedData, openSettingsData } from '../data.ts';
import { type CliIo, shown, stoppedStatus } from '../io.ts';
import { openModel, tellNotices } from '../model.ts';
import { givenFlags, type Key, MEASURES, type Settings } from '../options.ts';
import { count, duration, Progress, percent } from '../progress.ts';
import { inGroup, type RankFlags, threadsOfRank } from '../ranks.ts';
import { findModel, findRun } from '../run-names.ts';
import { RunReport } from '../run-report.ts';
import { selfCheck } from '../self-check.ts';
import { deviceSettings, type FileValues, modelOptions, resolveSettings, toConfig, trainSettings } from '../settings.ts';
import { table } from '../table.ts';

/** What the command line trains is made of layers, and has every setting. */
type Options = CompleteTrainOptions & { readonly model: Model };

interface Flags extends RankFlags {
  readonly config?: string;
  /** True: the newest. */
  readonly resume?: string | true;
  readonly allowChanged?: string;
  readonly dryRun?: boolean;
  readonly trace?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly figures: boolean;
  readonly tensorboard?: boolean;
}

export async function trainCommand(command: Command, io: CliIo): Promise<number> {
  const flags = command.opts<Flags>();
  return inGroup(flags, io, async (group, io) => {
    const file = flags.config === undefined || flags.resume !== undefined ? undefined : await readConfigFile(flags.config, io);
    if ((givenFlags(command).get('arch') ?? file?.values.get('arch')) === ALL) return trainAll(command, flags, file, io, group);
    if (flags.resume === undefined) return trainWith(command, flags, file, io, null, group);
    const earlier = await shareEarlier(group, group.rank === 0 ? await openEarlier(flags, command, io) : null);
    try {
      return await trainWith(command, flags, undefined, io, earlier, group);
    } finally {
      await earlier.folder?.close().catch(() => {}); // where it matters, `run` has closed it already and told
    }
  });
}

/** The name that stands for the five models of the script. */
const ALL = 'all';

/** A line of the table of `--arch all`. */
interface Outcome {
  readonly arch: string;
  readonly parameters: number;
  readonly test: TrainResult['test'];
  readonly best: TrainResult['best'];
  readonly epochs: number;
  readonly seconds: number;
  readonly run: string;
}

/** The script as one experiment: its models one after the other, each with its own preset, and one table at the end. */
async function trainAll(command: Command, flags: Flags, file: FileValues | undefined, io: CliIo, group: Communicator): Promise<number> {
  for (const name of ['resume', 'model', 'init', 'dim', 'depth', 'kernel', 'patch', 'trace', 'dryRun']) {
    const spelled = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    if (command.getOptionValueSource(name) !== 'cli' && !file?.values.has(spelled)) continue;
    throw new HybridError('E_USAGE', `--arch all and --${spelled} exclude each other`, 'Name one architecture with --arch.');
  }
  const name = command.opts<{ name?: string }>().name ?? file?.values.get('name');
  const outcomes: Outcome[] = [];
  const tell = () => io.stdout.write(flags.json ? `${JSON.stringify({ type: 'summary', runs: outcomes })}\n` : outcomesText(outcomes, io));
  let status = 0;
  for (const arch of ARCHITECTURES) {
    if (arch === 'convmixer') continue; // a family, not a model of the script
    const start = performance.now();
    const own = new Map<Key, string>([['arch', arch], ...(name === undefined ? [] : ([['name', `${name}-${arch}`]] as const))]);
    const note = (result: TrainResult, { model }: Options, run: string): void => {
      const parameters = model.variables.reduce((sum, { shape }) => sum + shape.reduce((product, n) => product * n, 1), 0);
      const { test, best, epochs } = result;
      outcomes.push({ arch, parameters, test, best, epochs, seconds: (performance.now() - start) / 1000, run });
    };
    try {
      const ended = await trainWith(command, flags, file, io, null, group, { own, note });
      if (ended !== 0) {
        status = ended;
        break; // stopped by its user
      }
    } catch (error) {
      // One that diverges does not take the others with it.
      if (!(error instanceof HybridError && error.code === 'E_DIVERGED')) {
        if (outcomes.length > 0) tell();
        throw error;
      }
      status = error.exitStatus;
      new Progress(io).warn(`${arch} failed: ${error.message}`);
    }
  }
  tell();
  return status;
}

function outcomesText(outcomes: readonly Outcome[], io: CliIo): string {
  const rows = outcomes.map(({ arch, parameters, test, best, epochs, seconds, run }) => [
    arch,
    test ? percent(test.accuracy) : '-',
    test ? test.loss.toFixed(4) : '-',
    `${best?.epoch ?? '-'} of ${epochs}`,
    duration(seconds),
    count(parameters),
    formatBytes(4 * parameters),
    shown(run, io),
  ]);
  const head = ['architecture', 'test accuracy', 'loss', 'best epoch', 'time', 'parameters', 'size', 'run folder'];
  return table([head, ...rows], [head.length - 1]);
}

/** What is particular about one of several runs. */
interface OneOfSeveral {
  /** Options that go before those of the command. */
  readonly own: ReadonlyMap<Key, string>;
  readonly note: (result: TrainResult, options: Options, run: string) => void;
}

async function trainWith(
  command: Command,
  flags: Flags,
  file: FileValues | undefined,
  io: CliIo,
  earlier: Earlier | null,
  group: Communicator,
  one?: OneOfSeveral,
): Promise<number> {
  const given = resolveSettings(new Map([...givenFlags(command), ...(one?.own ?? [])]), earlier?.values ?? file);
  const progress = new Progress(io);
  const talk = !flags.quiet && !flags.json;
  // Told before data and device have taken their time.
  if (given.name !== undefined && !earlier) checkRunName(given.name);
  if (flags.trace !== undefined && group.rank === 0) await checkFolderOf(flags.trace, io);

  const network = await networkOf(given, command, file, earlier, io);
  if (network) tellNotices(network, io);

  const source = (flags.dryRun && assumedData(given)) || (await openSettingsData(given, io, progress, talk));
  // What `auto` came to, so that the configuration of the run says what it really used.
  const data = given.data === 'auto' && source.train.name.startsWith('synthetic') ? 'synthetic' : given.data;
  const settings = { ...given, data, split: splitOf(source, given.split) };
  const parts = partsOf(source, settings);
  if (settings.limit !== undefined && talk) {
    const sizes = [parts.train.size, parts.validation?.size ?? 0, parts.test?.size ?? 0].map((size) => count(size));
    const which = settings.split === 'first' ? 'the first ' : '';
    const share = settings.split === 'first' ? '' : ', of every class its share';
    progress.line(
      `limited to ${which}${sizes[0]} training, ${sizes[1]} validation and ${sizes[2]} test images${share}: accuracies are rough`,
    );
  }
  const model = network ? fitting(network.model, parts.train) : buildModel(settings.arch, modelOptions(settings, parts.train));
  if (earlier) refuseOtherModel(earlier.values, toConfig({ ...settings, ...measures(model) }));
  const { init: from } = settings;
  const init =
    earlier || from === 'none'
      ? undefined
      : from === undefined
        ? network?.weights
        : await initialWeights(from, settings.out, model, parts.train, io);
  let trace: ChromeTrace | undefined;
  let choice: string | undefined;
  let precision: string | undefined;
  const device = await openDevice(settings.device, {
    ...deviceSettings(settings),
    threads: settings.threads ?? threadsOfRank(group, io),
    v8Flags: true,
    onNotice: (text) => progress.line(text),
    onChoice: (reason) => {
      choice = reason;
    },
    onPrecision: (reason) => {
      precision = reason;
      if (talk && group.rank === 0) progress.line(`precision ${reason}`);
    },
  });
  try {
    if (flags.trace !== undefined && group.rank === 0) trace = await ChromeTrace.create(resolve(io.cwd, flags.trace), io.files);
    const found = earlier?.folder ? await checkpointOf(earlier.folder, earlier.values, progress) : null;
    const resume = earlier ? ((await shareCheckpoint(group, found)) ?? undefined) : undefined;
    const allowChanged = flags.allowChanged?.split(',');
    const options: Options = {
      ...trainSettings(settings),
      ...parts,
      device,
      model,
      init,
      resume,
      allowChanged,
      trace,
      signal: io.signal,
    };
    return flags.dryRun
      ? await dryRun(options, flags, io)
      : await run(options, settings, flags, io, progress, earlier, group, { choice, precision, note: one?.note });
  } finally {
    progress.clear();
    await device.close();
    // A timeline is no reason for a run to fail, nor to hide why it did.
    await trace?.close().catch((error: Error) => progress.warn(`the timeline ${flags.trace} is not whole: ${error.message}`));
  }
}

/** The network that --model names, or that an earlier run has; undefined: an architecture is trained. */
async function networkOf(
  { model, init }: Settings,
  command: Command,
  file: FileValues | undefined,
  earlier: Earlier | null,
  io: CliIo,
): Promise<(Pick<TrainedModel, 'model' | 'notices'> & Partial<Pick<TrainedModel, 'weights'>>) | undefined> {
  if (model === undefined) {
    if (init === 'none')
      throw new HybridError('E_USAGE', '--init none is for --model, whose file has weights', 'Leave it out: an architecture begins anew.');
    return undefined;
  }
  if (earlier) {
    if (earlier.network) return { model: earlier.network };
    throw new HybridError('E_CHECKPOINT', 'the run has no checkpoint that says which network it trains', 'Begin it again.');
  }
  for (const key of ['arch', ...MEASURES, 'dropout'] as const) {
    if (command.getOptionValueSource(key) !== 'cli' && !file?.values.has(key)) continue;
    throw new HybridError('E_USAGE', `--model and --${key} exclude each other`, 'The file says what the network is.');
  }
  return (await openModel(model, command, io)).trained;
}

/** The network, if it is for such images. */
function fitting(model: Model, { shape, classes, name }: Dataset): Model {
  if (`${shape}` === `${model.input}` && classes.length === model.classes) return model;
  throw new HybridError(
    'E_USAGE',
    `${model.arch} takes ${model.input.join('×')} images of ${model.classes} classes; those of ${name} are ${shape.join('×')} of ${classes.length} classes`,
    'Name other data with --data, or give folders of images their size with --image-size.',
  );
}

async function checkFolderOf(file: string, io: CliIo): Promise<void> {
  const folder = dirname(resolve(io.cwd, file));
  const stat = await (io.files ?? nodeFiles).stat(folder).catch(() => null);
  if (stat?.kind === 'folder') return;
  throw new HybridError('E_DISK', `cannot write ${file}: the folder ${shown(folder, io)} does not exist`, 'Make it, or name another file.');
}

/** A run to go on with. */
interface Earlier {
  /** Of rank 0 only. */
  readonly folder: RunFolder | null;
  /** Its configuration, as if it were given with -c. */
  readonly values: FileValues;
  /** The network that it trains, where that is no architecture. */
  readonly network?: Model;
}

async function openEarlier(flags: Flags, command: Command, io: CliIo): Promise<Earlier> {
  for (const [given, name] of [
    [flags.config, '--config'],
    [flags.dryRun, '--dry-run'],
    [command.getOptionValueSource('name'), '--name'],
  ] as const) {
    if (given === undefined) continue;
    throw new HybridError('E_USAGE', `--resume and ${name} exclude each other`, 'A resumed run keeps its folder and its configuration.');
  }
  const out = resolve(io.cwd, command.opts<{ out?: string }>().out ?? 'runs');
  const path = flags.resume === true ? await newestRun(out, io) : await findRun(flags.resume as string, out, io);
  const folder = await RunFolder.reopen(path, io.files);
  return {
    folder,
    network: folder.config.model === undefined ? undefined : readCard(JSON.stringify((await folder.load('last'))?.card ?? null)).model,
    values: { path: `the configuration of ${shown(path, io)}`, values: partsKept(folder.config) },
  };
}

/** The configuration as a file has it. Runs from before there was a choice have the first images as validation. */
const partsKept = (config: RunConfig): Map<unknown, unknown> => new Map<unknown, unknown>(Object.entries({ split: 'first', ...config }));

/** In the words of the options: the loop knows models by their graphs only. */
function refuseOtherModel({ values }: FileValues, config: ReturnType<typeof toConfig>): void {
  const differing = ['arch', ...MEASURES].filter((key) => values.has(key) && `${values.get(key)}` !== `${config[key]}`);
  if (differing.length === 0) return;
  throw new HybridError(
    'E_CHECKPOINT',
    `the run was begun with another model: ${differing.map((key) => `${key} is ${config[key]}, but was ${values.get(key)}`).join('; ')}`,
    'Go on with the same one, or begin a new run, which may have these weights where they fit: --init.',
  );
}

/** What rank 0 has opened, on all ranks; the folder stays with it. */
async function shareEarlier(group: Communicator, earlier: Earlier | null): Promise<Earlier> {
  const own = earlier && { path: earlier.values.path, values: [...earlier.values.values], network: earlier.network?.config };
  const text = await group.broadcast(own && new TextEncoder().encode(JSON.stringify(own)));
  if (earlier) return earlier;
  const { path, values, network } = JSON.parse(new TextDecoder().decode(text)) as {
    path: string;
    values: [unknown, unknown][];
    network?: unknown;
  };
  return { folder: null, values: { path, values: new Map(values) }, network: modelOf(network) };
}

/** The run in which something was saved last. */
async function newestRun(out: string, io: CliIo): Promise<string> {
  const files = io.files ?? nodeFiles;
  let newest: { path: string; modified: number } | undefined;
  for (const name of (await files.stat(out)) ? await files.readdir(out) : []) {
    const path = join(out, name);
    const saved = await files.stat(join(path, 'checkpoints'));
    if (saved && (await files.stat(join(path, 'config.json'))) && saved.modified > (newest?.modified ?? 0)) newest = { path, ...saved };
  }
  if (newest) return newest.path;
  throw new HybridError('E_CHECKPOINT', `there is no run with a checkpoint in ${shown(out, io)}`, 'Name the run folder: --resume RUN.');
}

/** The state to go on from, completed where an older version wrote it. */
async function checkpointOf(folder: RunFolder, values: FileValues, progress: Progress): Promise<Checkpoint> {
  const newest = await folder.newest();
  if (!newest) {
    throw new HybridError(
      'E_CHECKPOINT',
      `the run ${folder.location} has no checkpoint to go on from`,
      'Begin it again, from its configuration: -c.',
    );
  }
  for (const problem of newest.damaged) progress.warn(problem);
  if (newest.damaged.length > 0) progress.warn(`going on from ${newest.path}, which is older, but whole`);
  const events = await folder.events();
  return completeProgress(newest.checkpoint, { options: trainSettings(resolveSettings(new Map(), values)), events });
}

/** Of `convmixer`, with its defaults: the configuration of a run is complete. */
function measures({ config: { dim, depth, kernel, patch } }: Model) {
  return { dim, depth, kernel, patch };
}

async function initialWeights(
  given: string,
  out: string,
  model: Model,
  data: Dataset,
  io: CliIo,
): Promise<ReadonlyMap<string, Float32Array>> {
  const saved = await readWeights(await findModel(given, out, io), io.files);
  checkGraph(saved, model);
  return weightsFor(saved, model, data);
}

async function run(
  options: Options,
  settings: Settings,
  flags: Flags,
  io: CliIo,
  progress: Progress,
  earlier: Earlier | null,
  group: Communicator,
  {
    choice,
    precision,
    note,
  }: { /** Why `auto` took the device. */ choice?: string /** The tier, and why. */; precision?: string; note?: OneOfSeveral['note'] },
): Promise<number> {
  if (group.rank > 0) return follow(options, settings, io, group);
  const config = toConfig({ ...settings, ...measures(options.model) });
  const folder =
    earlier?.folder ?? (await RunFolder.create({ out: resolve(io.cwd, settings.out), name: settings.name, config, files: io.files }));
  const talk = !flags.quiet && !flags.json;
  let begun = false;
  /** Stopped before there was anything to keep. */
  let isEmpty = false;
  let saved: Extract<TrainEvent, { type: 'checkpoint' }> | undefined;
  let report: RunReport | undefined;
  let examined: Promise<void> | undefined;
  const start = () =>
    group.size > 1
      ? trainInGroup({ ...options, store: folder, communicator: group, syncBatchNorm: settings.syncBn })
      : train({ ...options, store: folder });
  let training: TrainRun | undefined;
  try {
    training = await start();
    for await (const event of training) {
      // Not before the checkpoint was accepted: a run that cannot go on leaves everything as it was.
      if (event.type === 'start') {
        if (options.resume) await folder.begin(jointOf(options.resume), config);
        await folder.addEnvironment(describeEnvironment(options.device, choice, precision));
      }
      begun ||= event.type === 'start';
      if (event.type === 'start') report = await RunReport.open({ folder, tensorboard: flags.tensorboard === true, io, progress });
      if (event.type === 'checkpoint') saved = event;
      await folder.log(event);
      await report?.event(event);
      if (flags.json) io.stdout.write(`${JSON.stringify(event)}\n`);
      else if (talk) progress.event(event);
      if (event.type === 'start' && talk) progress.line(`run folder ${shown(folder.location, io)}`);
      // Last, and in the shadow of the second step: its reference takes this thread a tenth of a second.
      if (event.type === 'step') examined ??= selfCheck(options.device, folder, progress);
    }
    const result = await training.result;
    isEmpty = result.reason === 'aborted' && !saved && !earlier;
    progress.clear();
    if (result.reason !== 'aborted') note?.(result, options, folder.location);
    if (!flags.json && result.reason !== 'aborted') io.stdout.write(resultText(result, options, folder, io));
    await report?.finish(flags.figures && result.best && result.reason !== 'aborted' ? options : null);
    return result.reason === 'aborted' ? sayStopped({ saved, removed: isEmpty ? folder.location : undefined }, io, flags) : 0;
  } catch (error) {
    await training?.[Symbol.asyncDispose]();
    if (begun) {
      await folder.reportCrash(error);
      await report?.fail(error);
    } else if (!earlier) await folder.discard();
    throw begun && group.size > 1 ? withWayOn(error, folder.location) : error;
  } finally {
    await examined;
    await report?.close();
    if (isEmpty) await folder.discard();
    await folder.close();
  }
}

/** The part of a rank that has nothing to say. */
async function follow(options: Options, settings: Settings, io: CliIo, communicator: Communicator): Promise<number> {
  const training = await trainInGroup({ ...options, communicator, syncBatchNorm: settings.syncBn });
  const { reason } = await training.result;
  return reason === 'aborted' ? stoppedStatus(io) : 0;
}

function jointOf(checkpoint: Checkpoint) {
  const { epoch, step, history } = readProgress(checkpoint);
  return { epoch, step, epochs: history.length };
}

/** Of a rank that was lost: the command to go on with, for any number of ranks. */
function withWayOn(error: unknown, location: string): unknown {
  if (!(error instanceof HybridError && error.code === 'E_RANK')) return error;
  const command = `hybrid train --resume ${location} --distributed mpi`;
  return error.withMessage(error.message, `The last checkpoint is intact: go on with \`${command}\` under mpiexec.`);
}

function sayStopped(
  { saved, removed }: { saved?: Extract<TrainEvent, { type: 'checkpoint' }>; removed?: string },
  io: CliIo,
  flags: Flags,
): number {
  const nothing = removed ? `no step was completed; ${shown(removed, io)} was removed` : 'no further step was completed, nothing was saved';
  const where = saved ? `the state after its last completed step is in ${shown(saved.path ?? 'memory', io)}` : nothing;
  if (!flags.quiet && io.signal?.reason !== 'EPIPE') io.stderr.write(`stopped by ${io.signal?.reason ?? 'its user'}: ${where}\n`);
  return stoppedStatus(io);
}

function resultText({ test, best, reason, epochs }: TrainResult, options: Options, folder: RunFolder, io: CliIo): string {
  const lines = [
    test
      ? `test accuracy ${percent(test.accuracy)}, loss ${test.loss.toFixed(4)} (${options.test?.name}, ${count(options.test?.size ?? 0, 'image')})`
      : 'test accuracy not measured: the data has no test images',
    best
      ? `best weights of epoch ${best.epoch} of ${epochs}${reason === 'early-stopped' ? ', stopped early' : ''}: ` +
        `${options.validation ? 'validation' : 'training'} loss ${best.loss.toFixed(4)}`
      : `no epoch of ${epochs} had a finite loss`,
    `run folder ${shown(folder.location, io)}`,
  ];
  return `${lines.join('\n')}\n`;
}

const DRY_STEPS = 2;

/** Says what the run would take. The time is measured: a few steps on made-up images, which change nothing. */
async function dryRun(options: Options, flags: Flags, io: CliIo): Promise<number> {
  const { model, device, epochs, train: images, validation, test } = options;
  const batch = Math.min(options.batch, images.size);
  const { memoryBytes, memoryLimit, flopsPerStep, bytesPerStep } = estimate(model, device, batch);
  const { stepMs } = await benchTrain({ device, model, batch, steps: DRY_STEPS, warmup: 1, signal: io.signal });
  const stepsPerEpoch = Math.ceil(images.size / batch);
  const plan = {
    type: 'plan',
    arch: model.arch,
    device: device.description,
    epochs,
    batch,
    stepsPerEpoch,
    trainImages: images.size,
    validationImages: validation?.size ?? 0,
    testImages: test?.size ?? 0,
    memoryBytes,
    memoryLimit,
    flopsPerStep,
    bytesPerStep,
    stepSeconds: stepMs.median / 1000,
    // A validation step is the forward pass, about a third of a training step.
    estimatedSeconds: (epochs * (stepsPerEpoch + Math.ceil((validation?.size ?? 0) / batch) / 3) * stepMs.median) / 1000,
  };
  io.stdout.write(flags.json ? `${JSON.stringify(plan)}\n` : planText(plan));
  return 0;
}

function planText(
  plan: {
    readonly [key in 'arch' | 'device']: string;
  } & { readonly [key in 'epochs' | 'batch' | 'stepsPerEpoch' | 'trainImages' | 'validationImages' | 'testImages']: number } & {
    readonly [key in 'memoryBytes' | 'memoryLimit' | 'flopsPerStep' | 'bytesPerStep' | 'stepSeconds' | 'estimatedSeconds']: number;
  },
): string {
  const rows = [
    ['architecture', plan.arch],
    ['device', plan.device],
    ['images', `${count(plan.trainImages)} training, ${count(plan.validationImages)} validation, ${count(plan.testImages)} test`],
    ['steps', `at most ${count(plan.epochs, 'epoch')} of ${count(plan.stepsPerEpoch, 'step')}, ${count(plan.batch, 'image')} each`],
    ['memory', `${formatBytes(plan.memoryBytes)} of at most ${formatBytes(plan.memoryLimit)}`],
    [
      'one step',
      `${(plan.flopsPerStep / 1e9).toFixed(1)} GFLOP, ${formatBytes(plan.bytesPerStep)} of memory traffic, ${plan.stepSeconds.toFixed(2)} s measured`,
    ],
    ['time', `about ${duration(plan.estimatedSeconds)} for all epochs`],
  ];
  return `${rows.map(([name, value]) => `${name.padEnd(13)} ${value}`).join('\n')}\n`;
}
