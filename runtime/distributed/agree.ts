// What is compared before a group begins.

import { HybridError } from '../base/errors.ts';
import type { Communicator } from './communicator.ts';

/**
 * Whether all ranks are about to do the same. `facts`: what must be equal, by name. Throws E_RANK with the first differences
 * and their ranks, on every rank.
 */
export async function agree(communicator: Communicator, facts: Readonly<Record<string, string>>): Promise<void> {
  const all = await communicator.gather(new TextEncoder().encode(JSON.stringify(facts)));
  const told = all.map((bytes) => JSON.parse(new TextDecoder().decode(bytes)) as Record<string, string>);
  const differences = Object.keys(told[0]).flatMap((name) => {
    const other = told.findIndex((one) => one[name] !== told[0][name]);
    return other < 0 ? [] : [`${name} is ${told[0][name]} on rank 0, but ${told[other][name]} on rank ${other}`];
  });
  if (differences.length === 0) return;
  throw new HybridError(
    'E_RANK',
    `the ranks were started differently: ${differences.join('; ')}`,
    'Start all ranks with the same program, options and data.',
    { onAllRanks: true },
  );
}
