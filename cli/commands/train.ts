// hybrid train: one run, one that goes on, or one for each model of the script.

import type { Command } from 'commander';
import { readConfigFile } from '../config-file.ts';
import type { CliIo } from '../io.ts';
import { givenFlags } from '../options.ts';
import { inGroup } from '../ranks.ts';
import { ALL, trainAll } from '../train/all.ts';
import { openEarlier, shareEarlier } from '../train/earlier.ts';
import type { Flags } from '../train/flags.ts';
import { trainOne } from '../train/one.ts';
import { trainSeeds } from '../train/seeds.ts';

export async function trainCommand(command: Command, io: CliIo): Promise<number> {
  const flags = command.opts<Flags>();
  return inGroup(flags, io, async (group, io) => {
    const file = flags.config === undefined || flags.resume !== undefined ? undefined : await readConfigFile(flags.config, io);
    if (flags.seeds !== undefined) return trainSeeds(command, { ...flags, seeds: flags.seeds }, file, io, group);
    if ((givenFlags(command).get('arch') ?? file?.values.get('arch')) === ALL) return trainAll(command, flags, file, io, group);
    if (flags.resume === undefined) return trainOne(command, flags, file, io, null, group);
    const earlier = await shareEarlier(group, group.rank === 0 ? await openEarlier(flags, command, io) : null);
    try {
      return await trainOne(command, flags, undefined, io, earlier, group);
    } finally {
      await earlier.folder?.close().catch(() => {}); // where it matters, the run has closed it already and told
    }
  });
}
