// The cases of all ops: what the files test/ops/*.cases.ts say, one for each family. A new file is found by its name.

import { readdirSync } from 'node:fs';
import { type KernelOpName, type OpName, opTable } from '../../runtime/ops/index.ts';
import { type Maker, type OpCase, type OpFamily, type OpTests, ROUNDING, type Tolerances, UPDATED } from './op-case.ts';

const folder = new URL('../ops/', import.meta.url);
const files = readdirSync(folder).filter((file) => file.endsWith('.cases.ts'));
const families = await Promise.all(files.map(async (file) => ((await import(new URL(file, folder).href)) as { family: OpFamily }).family));

/** What tests know of each op; in the order of the table of ops. */
export const opTests = Object.fromEntries(
  Object.keys(opTable).flatMap((op): [string, OpTests][] => {
    const found = families.flatMap((family) => family[op as OpName] ?? []);
    if (found.length > 1) throw new Error(`two families have ${op}`);
    return found.map((one) => [op, one]);
  }),
) as Partial<Record<OpName, OpTests>>;

for (const op of families.flatMap((family) => Object.keys(family)))
  if (!(op in opTable)) throw new Error(`there are cases of ${op}, and no such op`);

/** Operands for every op that a device has kernels for. Tests of a device run all of them against the reference. */
export const opCases = Object.fromEntries(
  Object.entries(opTests).flatMap(([op, { cases }]) => (cases ? [[op, cases]] : [])),
) as unknown as Readonly<Record<KernelOpName, () => OpCase[]>>;

export const tolerancesOf = (op: OpName): Tolerances => opTests[op]?.tolerance ?? ROUNDING;
export const updateTolerancesOf = (op: OpName): Tolerances => opTests[op]?.updates ?? UPDATED;

/** How random graphs get an op, by its name. */
export const makers = Object.fromEntries(Object.entries(opTests).flatMap(([op, { maker }]) => (maker ? [[op, maker]] : []))) as Readonly<
  Record<string, Maker>
>;

/** Every case of every op with kernels, for tests that go over all. */
export const allCases = (): { readonly op: OpName; readonly case: OpCase }[] =>
  (Object.keys(opCases) as KernelOpName[]).flatMap((op) => opCases[op]().map((one) => ({ op, case: one })));
