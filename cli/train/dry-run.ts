// hybrid train --dry-run: what the run would take.

import { benchTrain } from '../../bench/train.ts';
import { estimate, formatBytes } from '../../runtime/entries/tools.ts';
import type { CliIo } from '../io.ts';
import type { Settings } from '../options.ts';
import { count, roughly } from '../progress.ts';
import { factTable } from '../table.ts';
import type { Flags, Options } from './flags.ts';

const DRY_STEPS = 2;

/** Says what the run would take. The time is measured: a few steps on made-up images, which change nothing. */
export async function dryRun(options: Options, settings: Settings, flags: Flags, io: CliIo): Promise<number> {
  const { model, device, epochs, train: images, validation, test } = options;
  const batch = Math.min(options.batch, images.size);
  const part = Math.ceil(batch / options.accumulate);
  const parts = Math.ceil(batch / part);
  const { memoryBytes, memoryLimit, flopsPerStep, bytesPerStep } = estimate(model, device, part);
  const { stepMs } = await benchTrain({ device, model, batch: part, steps: DRY_STEPS, warmup: 1, signal: io.signal });
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
    recipe: settings.recipe,
    optimizer: settings.optimizer,
    lr: settings.lr,
    schedule: settings.schedule,
    plateau: options.plateau,
    patience: settings.patience,
    augment: settings.augment,
    memoryBytes,
    memoryLimit,
    flopsPerStep: parts * flopsPerStep,
    bytesPerStep: parts * bytesPerStep,
    stepSeconds: (parts * stepMs.median) / 1000,
    // A validation step is the forward pass, about a third of a training step.
    estimatedSeconds: (epochs * (stepsPerEpoch + Math.ceil((validation?.size ?? 0) / batch) / 3) * parts * stepMs.median) / 1000,
  };
  if (flags.json) {
    io.stdout.write(`${JSON.stringify(plan)}\n`);
    return 0;
  }
  const rows: [string, string][] = [
    ['architecture', plan.arch],
    ['device', plan.device],
    ['images', `${count(plan.trainImages)} training, ${count(plan.validationImages)} validation, ${count(plan.testImages)} test`],
    ['steps', `at most ${count(plan.epochs, 'epoch')} of ${count(plan.stepsPerEpoch, 'step')}, ${count(plan.batch, 'image')} each`],
    ['recipe', plan.recipe],
    ['rate', `${plan.lr} (${plan.optimizer}), ${courseOf(options)}`],
    ['early end', plan.patience > 0 ? `after ${count(plan.patience, 'epoch')} without improvement` : 'none'],
    ['augmentation', plan.augment],
    ['memory', `${formatBytes(plan.memoryBytes)} of at most ${formatBytes(plan.memoryLimit)}`],
    [
      'one step',
      `${(plan.flopsPerStep / 1e9).toFixed(1)} GFLOP, ${formatBytes(plan.bytesPerStep)} of memory traffic, ${plan.stepSeconds.toFixed(2)} s measured`,
    ],
    ['time', `about ${roughly(plan.estimatedSeconds)} for all epochs`],
  ];
  io.stdout.write(factTable(rows, io.stdout));
  return 0;
}

/** How the learning rate goes on from where it begins. */
function courseOf({ schedule, plateau }: Options): string {
  if (schedule.name !== 'constant') return `schedule ${schedule.name}`;
  return plateau ? `times ${plateau.factor} after ${count(plateau.patience, 'epoch')} without improvement` : 'constant';
}
