// hybrid bench: compares the devices of this machine. hybrid bench train: times training steps. hybrid bench kernels: times every kernel of a step. hybrid bench data: images a second. hybrid bench compare: other systems beside it.

import { parse, resolve } from 'node:path';
import type { Command } from 'commander';
import { compareTraining, findRivals, formatComparison } from '../../bench/compare.ts';
import { benchData, formatData } from '../../bench/data.ts';
import { benchDevices, formatDevices } from '../../bench/devices.ts';
import { benchKernels, formatKernels } from '../../bench/kernels.ts';
import { benchTrain } from '../../bench/train.ts';
import { architectureName } from '../../runtime/entries/internal.ts';
import { ARCHITECTURES, buildModel, HybridError, type Model, openDevice } from '../../runtime/index.ts';
import type { CliIo } from '../io.ts';
import { openModel } from '../model.ts';
import { givenFlags, MEASURES, type Settings } from '../options.ts';
import { count, Progress } from '../progress.ts';
import { CIFAR10, deviceSettings, modelOptions, quote, resolveSettings, settingsOf, tuning } from '../settings.ts';
import { networkOf } from '../train/network.ts';

/** The network that --model names, or else an architecture for images as CIFAR-10 has them. */
export async function measuredModel(command: Command, settings: Settings, io: CliIo): Promise<Model> {
  const given = givenFlags(command);
  const network = await networkOf(settings, command, (key) => given.has(key), null, io);
  return network?.model ?? buildModel(settings.arch, modelOptions(settings, CIFAR10));
}

export async function benchDevicesCommand(command: Command, io: CliIo): Promise<number> {
  const settings = settingsOf(command);
  const options = command.opts<{ rounds?: string; software?: boolean; json?: boolean }>();
  const result = await benchDevices({
    model: await measuredModel(command, settings, io),
    batch: settings.batch,
    rounds: wholeNumber('--rounds', options.rounds ?? '3'),
    software: options.software === true,
    precision: settings.precision,
    signal: io.signal,
  });
  io.stdout.write(options.json ? `${JSON.stringify(result)}\n` : formatDevices(result));
  return 0;
}

export async function benchTrainCommand(command: Command, io: CliIo): Promise<number> {
  const settings = settingsOf(command);
  const options = command.opts<{ steps?: string; warmup?: string; json?: boolean }>();
  const steps = wholeNumber('--steps', options.steps ?? '10');
  const warmup = wholeNumber('--warmup', options.warmup ?? '2');
  const model = await measuredModel(command, settings, io);
  const device = await openDevice(settings.device, {
    ...deviceSettings(settings),
    v8Flags: true,
    ...tuning(io),
  });
  try {
    if (!options.json)
      io.stdout.write(
        `${model.arch}, batch ${settings.batch}, ${device.description}: ${count(warmup, 'step')} to warm up, then ${steps}\n`,
      );
    const result = await benchTrain({ device, model, batch: settings.batch, steps, warmup, signal: io.signal });
    const { median, min, max } = result.stepMs;
    io.stdout.write(
      options.json
        ? `${JSON.stringify(result)}\n`
        : `step ${median.toFixed(1)} ms (${min.toFixed(1)} to ${max.toFixed(1)}), ${count(Number(result.imagesPerSecond.toPrecision(3)))} images/s, ` +
            `first step after ${result.firstStepSeconds.toFixed(2)} s, peak memory ${count(Math.round(result.peakRssMiB))} MiB\n`,
    );
    return 0;
  } finally {
    await device.close();
  }
}

export async function benchKernelsCommand(command: Command, io: CliIo): Promise<number> {
  const settings = settingsOf(command);
  const options = command.opts<{ steps?: string; json?: boolean }>();
  const steps = wholeNumber('--steps', options.steps ?? '5');
  const model = await measuredModel(command, settings, io);
  const device = await openDevice(settings.device, {
    ...deviceSettings(settings),
    v8Flags: true,
    ...tuning(io),
  });
  try {
    const result = await benchKernels({ device, model, batch: settings.batch, steps, signal: io.signal });
    io.stdout.write(options.json ? `${JSON.stringify(result)}\n` : formatKernels(result));
    return 0;
  } finally {
    await device.close();
  }
}

export async function benchCompareCommand(command: Command, io: CliIo): Promise<number> {
  // Its --arch and --model take lists, and its --device is one that is compared: none of the settings.
  const given = [...givenFlags(command)].filter(([key]) => key !== 'arch' && key !== 'model' && key !== 'device');
  const { batch, revectorize } = resolveSettings(new Map(given));
  const measures = given.flatMap(([key, value]) => ((MEASURES as readonly string[]).includes(key) ? [`--${key}`, value] : []));
  const options = command.opts<
    Partial<Record<'device' | 'arch' | 'model' | 'python' | 'npm' | 'steps' | 'rounds', string>> & { json?: boolean }
  >();
  const { device = 'wasm' } = options;
  if (device !== 'wasm' && device !== 'webgpu')
    throw new HybridError('E_USAGE', `--device is ${quote(device)}`, 'Give wasm to compare on the CPU, webgpu to compare on the GPU.');
  const progress = new Progress(io);
  const files = options.model?.split(',') ?? [];
  const archs =
    options.arch?.split(',').map(architectureName) ?? (files.length > 0 ? [] : ARCHITECTURES.filter((arch) => arch !== 'convmixer'));
  for (const file of files) await openModel(file, command, io); // what cannot be read is told before anything is timed
  const networks = [
    ...archs.map((arch) => ({ name: arch, options: ['--arch', arch, ...measures] })),
    ...files.map((file) => ({ name: parse(file).name, options: ['--model', resolve(io.cwd, file)] })),
  ];
  const steps = wholeNumber('--steps', options.steps ?? '4');
  const rounds = wholeNumber('--rounds', options.rounds ?? '2');
  const onLine = (line: string): void => progress.line(line);
  const pythons = (options.python ?? 'python3').split(',');
  const rivals = await findRivals(pythons, resolve(io.cwd, options.npm ?? '.'), { signal: io.signal, onLine });
  const names = rivals.map(({ name }) => name).join(', ');
  progress.line(rivals.length > 0 ? `comparing with ${names}` : 'no other framework is installed here: see --python and --npm');
  const result = await compareTraining({
    device,
    networks,
    batch,
    steps,
    rounds,
    rivals,
    revectorize,
    signal: io.signal,
    onLine,
  });
  io.stdout.write(options.json ? `${JSON.stringify(result)}\n` : formatComparison(result));
  return 0;
}

export async function benchDataCommand(command: Command, io: CliIo): Promise<number> {
  const options = command.opts<{ images?: string; workers?: string; rows?: string; seconds?: string; json?: boolean }>();
  const result = await benchData({
    images: wholeNumber('--images', options.images ?? '50000'),
    workers: wholeNumber('--workers', options.workers ?? '2'),
    rows: (options.rows ?? '128,512').split(',').map((rows) => wholeNumber('--rows', rows)),
    seconds: wholeNumber('--seconds', options.seconds ?? '1'),
    signal: io.signal,
  });
  io.stdout.write(options.json ? `${JSON.stringify(result)}\n` : formatData(result));
  return 0;
}

function wholeNumber(flag: string, value: string): number {
  if (/^[1-9]\d{0,8}$/.test(value)) return Number(value);
  throw new HybridError(
    'E_USAGE',
    `${flag} is ${quote(value)}, but must be a whole number from 1 on`,
    `Give a whole number from 1 on, such as ${flag} 10.`,
  );
}
