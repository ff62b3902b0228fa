import { expect, it } from 'vitest';
import { killWhileSaving } from '../support/kill.ts';
import { Random } from '../support/random.ts';
import { tempFolder } from '../support/temp-folder.ts';

it('200 kills while an 8 MiB state is saved as fast as it can', async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const random = new Random(seed);
  const tally = await killWhileSaving(200, tempFolder(), () => random.fraction());
  process.stderr.write(`seed ${seed}: ${JSON.stringify(tally)}\n`);
  // Else the kills did not hit what they were meant to hit.
  expect(tally.orphans).toBeGreaterThan(20);
});
