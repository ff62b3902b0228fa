// hybrid inspect ARCH: the graph of an architecture, or of the model of a run or file, what fusion makes of it, its memory plan, and a device's program.

import type { Command } from 'commander';
import { FUSION_RULES } from '../../runtime/entries/graph.ts';
import { nearest } from '../../runtime/entries/internal.ts';
import { inspectModel, STAGES } from '../../runtime/entries/tools.ts';
import { HybridError, openDevice } from '../../runtime/index.ts';
import type { CliIo } from '../io.ts';
import { namedModel } from '../model.ts';
import { deviceSettings, quote, settingsOf } from '../settings.ts';

const PROGRAMS = ['train', 'calibrate', 'evaluate', 'predict'] as const;

export async function inspectCommand(given: string, command: Command, io: CliIo): Promise<number> {
  const settings = settingsOf(command);
  const { stage = 'graph', program = 'train', without } = command.opts<{ stage?: string; program?: string; without?: string }>();
  const checkedStage = oneOf('--stage', stage, STAGES);
  const checkedProgram = oneOf('--program', program, PROGRAMS);
  const withoutRules = without?.split(',').map((rule) => oneOf('--without', rule, ['all', ...FUSION_RULES.map(({ name }) => name)]));
  const model = await namedModel(given, command, io);
  // Only the program is the device's own; for the rest none needs to start its threads.
  const device =
    checkedStage === 'program'
      ? await openDevice(settings.device, { ...deviceSettings(settings), v8Flags: true })
      : await openDevice('reference');
  try {
    const text = inspectModel(model, checkedStage, {
      program: checkedProgram,
      capacity: settings.batch,
      withoutRules,
      device,
    });
    io.stdout.write(`${text.trimEnd()}\n`);
    return 0;
  } finally {
    await device.close();
  }
}

function oneOf<T extends string>(flag: string, value: string, known: readonly T[]): T {
  const found = known.find((candidate) => candidate === value);
  if (found !== undefined) return found;
  const near = nearest(value, known);
  throw new HybridError(
    'E_USAGE',
    `${flag} is ${quote(value)}${near ? `; did you mean ${near}?` : ''}`,
    `Choose one of ${known.join(', ')}.`,
  );
}
