// One run: settings → data, model, device, run folder → a training run whose events are shown and kept.

import { homedir } from 'node:os';
import { basename, dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import { classConcerns, splitOf } from '../../runtime/entries/data.ts';
import { type Communicator, trainInGroup } from '../../runtime/entries/distributed.ts';
import { modelLike, nodeFiles, shareCheckpoint, userCacheDir } from '../../runtime/entries/internal.ts';
import { checkRunName, featureStore, recordRun, SMALL_SET } from '../../runtime/entries/runs.ts';
import { ChromeTrace } from '../../runtime/entries/tools.ts';
import {
  buildModel,
  type DataSource,
  HybridError,
  type Model,
  openDevice,
  partsOf,
  RunFolder,
  type TrainResult,
  train,
} from '../../runtime/index.ts';
import { assumedData, classesText, openSettingsData, tellConcerns } from '../data.ts';
import { type CliIo, shown, stoppedStatus } from '../io.ts';
import { tellNotices } from '../model.ts';
import { givenFlags, type Key, type Settings, spelling } from '../options.ts';
import { count, Progress } from '../progress.ts';
import { threadsOfRank } from '../ranks.ts';
import {
  deviceSettings,
  type FileValues,
  imageSettings,
  modelOptions,
  preprocessingOf,
  resolveSettings,
  sourceSettings,
  toConfig,
  trainSettings,
  tuning,
} from '../settings.ts';
import { dryRun } from './dry-run.ts';
import { checkpointOf, type Earlier, refuseOtherModel } from './earlier.ts';
import type { Flags, Options } from './flags.ts';
import { adapted, beginning, fitting, networkOf, weightsFor } from './network.ts';
import { resultText, sayStopped, verdict, withWayOn } from './say.ts';

/** What is particular about one of several runs. */
export interface OneOfSeveral {
  /** Options that go before those of the command. */
  readonly own: ReadonlyMap<Key, string>;
  readonly note: (result: TrainResult, options: Options, run: string) => void;
}

/** One run, from what was given to its end. Returns the exit status. */
export async function trainOne(
  command: Command,
  flags: Flags,
  file: FileValues | undefined,
  io: CliIo,
  earlier: Earlier | null,
  group: Communicator,
  one?: OneOfSeveral,
): Promise<number> {
  const flagged = new Map([...givenFlags(command), ...(one?.own ?? [])]);
  const values = earlier?.values ?? file;
  const first = resolveSettings(flagged, values);
  const progress = new Progress(io);
  const talk = !flags.quiet && !flags.json;
  // Told before data and device have taken their time.
  if (first.name !== undefined && !earlier) checkRunName(first.name);
  if (flags.trace !== undefined && group.rank === 0) await checkFolderOf(flags.trace, io);

  const isGiven = (key: Key): boolean => flagged.has(key) || values?.values.has(spelling(key)) === true;
  const network = await networkOf(first, command, isGiven, earlier, io);
  if (network) tellNotices(network, io);
  const begun = earlier ? undefined : await beginning(first, isGiven, io);
  if (begun?.saved.trained) tellNotices(begun.saved.trained, io);
  // How pictures are prepared for weights belongs to them, whichever option names the file.
  const momentum = network?.bnMomentum !== undefined && !isGiven('recipe') && { bnMomentum: network.bnMomentum };
  const augment = network?.augment !== undefined && { augment: network.augment };
  const ofModel = begun?.ofModel ?? { ...(network && imageSettings(network)), ...momentum, ...augment };
  const given = resolveSettings(flagged, values, { ofModel });

  const source = (flags.dryRun && assumedData(given)) || (await openSettingsData(given, io, progress, talk));
  // What `auto` came to, so that the configuration of the run says what it really used.
  const data = given.data === 'auto' && source.train.name.startsWith('synthetic') ? 'synthetic' : given.data;
  const split = splitOf(source, given.split);
  const parts = partsOf(source, { valFraction: given.valFraction, limit: given.limit, seed: given.seed, split });
  const named = network
    ? begun
      ? modelLike(network.model, parts.train.shape, parts.train.classes.length)
      : fitting(network, parts.train)
    : begun?.isNetwork
      ? undefined
      : buildModel(given.arch, modelOptions(given, parts.train));
  const start = begun && adapted(begun, named, parts.train, given.seed, network?.kerasNames);
  const model = start?.model ?? (named as Model);
  if (talk) {
    progress.line(classesText(source.train.classes));
    for (const concern of classConcerns(source.train)) progress.line(concern);
  }
  // A search of pictures that nobody made would find nothing.
  if (talk && group.rank === 0 && !flags.dryRun && data !== 'synthetic') await tellConcerns(parts, { io, progress });
  if (start && talk) progress.line(start.summary);
  const images = parts.train.size;
  // By the size of the set, not by --limit: a trial is to have the recipe that the run will have.
  const isSmall = source.train.fileOf !== undefined && source.train.size <= SMALL_SET && !earlier;
  const recipe = start?.newHead ? 'tune' : isSmall ? 'small' : undefined;
  const settings = { ...resolveSettings(flagged, values, { ofModel, recipe, images }), data, split };
  if (talk && recipe === settings.recipe && !flagged.has('recipe')) {
    const why = recipe === 'tune' ? 'a trained network with a new last layer' : `a set of ${count(source.train.size)} images`;
    progress.line(`recipe ${recipe}, for ${why} (--recipe chooses another)`);
  }
  if (settings.limit !== undefined && talk) {
    const sizes = [parts.train.size, parts.validation?.size ?? 0, parts.test?.size ?? 0].map((size) => count(size));
    const which = settings.split === 'first' ? 'the first ' : '';
    const share = settings.split === 'first' ? '' : ', in proportion to the classes';
    progress.line(
      `limited to ${which}${sizes[0]} training, ${sizes[1]} validation and ${sizes[2]} test images${share}: accuracies are approximate`,
    );
  }
  if (earlier) refuseOtherModel(earlier.values, toConfig({ ...settings, ...measures(model) }));
  const { init: from } = settings;
  const init = earlier || from === 'none' ? undefined : (start?.weights ?? (network && weightsFor(network, parts.train)));
  let trace: ChromeTrace | undefined;
  let choice: string | undefined;
  let precision: string | undefined;
  const device = await openDevice(settings.device, {
    ...deviceSettings(settings),
    threads: settings.threads ?? threadsOfRank(group, io),
    v8Flags: true,
    ...tuning(io),
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
      origin: earlier
        ? undefined
        : {
            license: init && (begun?.saved.trained ?? network)?.license,
            preprocessing: source.train.fileOf ? preprocessingOf(settings) : undefined,
          },
      features: featureStore({
        ...{ files: io.files, cacheDir: userCacheDir(process.platform, io.env, homedir()) },
        memoryBudget: sourceSettings(settings).memoryBudget,
        onNotice: (text) => progress.warn(text),
      }),
      resume,
      allowChanged,
      trace,
      signal: io.signal,
    };
    return flags.dryRun
      ? await dryRun(options, settings, flags, io)
      : await run({ options, settings, flags, io, progress, earlier, group, choice, precision, skipped: source.skipped, note: one?.note });
  } finally {
    progress.clear();
    await device.close();
    // A timeline is no reason for a run to fail, nor to hide why it did.
    await trace?.close().catch((error: Error) => progress.warn(`the timeline ${flags.trace} is incomplete: ${error.message}`));
  }
}

async function checkFolderOf(file: string, io: CliIo): Promise<void> {
  const folder = dirname(resolve(io.cwd, file));
  const stat = await (io.files ?? nodeFiles).stat(folder).catch(() => null);
  if (stat?.kind === 'folder') return;
  throw new HybridError('E_DISK', `cannot write ${file}: the folder ${shown(folder, io)} does not exist`, 'Make it, or name another file.');
}

/** Of `convmixer`, with its defaults: the configuration of a run is complete. */
function measures({ config: { dim, depth, kernel, patch, activation, epsilon } }: Model) {
  return { dim, depth, kernel, patch, activation, epsilon };
}

interface Run {
  readonly options: Options;
  readonly settings: Settings;
  readonly flags: Flags;
  readonly io: CliIo;
  readonly progress: Progress;
  readonly earlier: Earlier | null;
  readonly group: Communicator;
  /** Why `auto` took the device. */
  readonly choice?: string;
  /** The tier, and why. */
  readonly precision?: string;
  /** Images that were left out. */
  readonly skipped?: DataSource['skipped'];
  readonly note?: OneOfSeveral['note'];
}

async function run({ options, settings, flags, io, progress, earlier, group, choice, precision, skipped, note }: Run): Promise<number> {
  if (group.rank > 0) return follow(options, settings, io, group);
  const config = toConfig({ ...settings, ...measures(options.model) });
  const folder =
    earlier?.folder ?? (await RunFolder.create({ out: resolve(io.cwd, settings.out), name: settings.name, config, files: io.files }));
  const talk = !flags.quiet && !flags.json;
  let hasBegun = false;
  const start = async () =>
    group.size > 1
      ? trainInGroup({ ...options, store: folder, communicator: group, syncBatchNorm: settings.syncBn })
      : train({ ...options, store: folder });
  try {
    const { result, saved, isKept } = await recordRun(start(), folder, {
      ...{ device: options.device, resume: options.resume, config, choice, precision, skipped },
      figures: flags.figures ? options : undefined,
      measured: options,
      tensorboard: flags.tensorboard,
      ...{ files: io.files, signal: io.signal },
      onEvent(event) {
        hasBegun = true;
        if (flags.json)
          io.stdout.write(`${JSON.stringify({ ...event, time: new Date().toISOString(), runId: basename(folder.location) })}\n`);
        else if (talk) progress.event(event);
        if (event.type === 'start' && talk) progress.line(`run folder ${shown(folder.location, io)}`);
      },
      onResult(result) {
        if (result.reason === 'aborted') return;
        note?.(result, options, folder.location);
        if (!flags.json) io.stdout.write(resultText(result, options, folder, io));
        const said = talk ? verdict(result, options) : null;
        if (said !== null) progress.line(said);
      },
      onProblem: (text) => progress.warn(text),
      onStatus(text) {
        if (text === null) progress.clear();
        else progress.status(text);
      },
    });
    if (result.reason !== 'aborted') return 0;
    return sayStopped({ saved: saved ?? undefined, run: folder.location, isKept }, io, flags);
  } catch (error) {
    throw hasBegun && group.size > 1 ? withWayOn(error, folder.location) : error;
  } finally {
    await folder.close();
  }
}

/** The part of a rank that has nothing to say. */
async function follow(options: Options, settings: Settings, io: CliIo, communicator: Communicator): Promise<number> {
  const training = await trainInGroup({ ...options, communicator, syncBatchNorm: settings.syncBn });
  const { reason } = await training.result;
  return reason === 'aborted' ? stoppedStatus(io) : 0;
}
