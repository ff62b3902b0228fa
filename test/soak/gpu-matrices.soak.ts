// Products by the matrix unit of the adapter that this machine has, if it has one: of a GPU, or of lavapipe from Mesa 26 on. Which driver
// that is, is up to the environment (VK_ICD_FILENAMES).

import { afterAll, describe, expect, it } from 'vitest';
import { describeAdapter, matrixUnit } from '../../gpu/host/adapter.ts';
import { type MatrixUnit, subgroupMatrices } from '../../gpu/kernels/matrices.ts';
import { DispatchRunner } from '../support/dispatch-runner.ts';
import { checkMatrices, MATRIX_CASES } from '../support/matrix-cases.ts';
import { tensorsOf } from '../support/test-node.ts';

const system = await DispatchRunner.openSystem().catch(() => null);
const unit = system && matrixUnit(system.adapter);
if (system && unit)
  process.stderr.write(`${system.adapter.info.description}: ${unit.m}×${unit.n}×${unit.k}, subgroups of ${unit.subgroupSize}\n`);
else process.stderr.write('skipped: products by matrix units; no adapter of this machine has one\n');

describe.runIf(unit)('products by the matrix unit of this machine', () => {
  afterAll(() => system?.runner.close());

  const runs = (['f16', 'f16x3'] as const).flatMap((precision) => MATRIX_CASES.map((one) => [precision, one.op, one.name, one] as const));
  it.each(runs)('%s: %s, %s', async (precision, _op, _name, one) => {
    if (!system || !unit) return;
    // A software adapter takes minutes to compile a large tile.
    const limits = {
      ...system.runner.context(1).limits,
      ...(describeAdapter(system.adapter).software ? { invocations: 4 * unit.subgroupSize } : {}),
    };
    await checkMatrices(system.runner, one, precision, subgroupMatrices(unit), limits);
  });

  it.each(
    MATRIX_CASES.map((one) => [one.op, one.name, one] as const),
  )('f16 in memory, %s, %s: the bits of a way over f32', async (op, _, one) => {
    if (!system || !unit) return;
    const made = one.make();
    const matrices = subgroupMatrices(unit);
    const codes: string[] = [];
    const run = async (subgroupMatrix: MatrixUnit) => {
      const limits = { ...system.runner.context(1).limits, invocations: 4 * unit.subgroupSize };
      const change = { precision: 'f16' as const, limits, features: { f16: true, subgroups: true, subgroupMatrix, barriers: true } };
      const rewrite = (code: string) => {
        codes.push(code);
        return code;
      };
      return (await system.runner.run(op, made, { change, halves: true, rewrite })).outputs;
    };
    const direct = await run(matrices);
    const byHalves = codes.splice(0).some((code) => /_half\(/.test(code));
    expect(direct).toEqual(await run({ ...matrices, words: { ...matrices.words, storesHalves: false } }));
    expect(codes.some((code) => /_half\(/.test(code))).toBe(false);
    const channels = tensorsOf(made.inputs)[0].spec.shape[2];
    if (channels % 4 === 0) expect(byHalves).toBe(true);
  });
});
