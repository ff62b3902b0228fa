// Every device against the golden tensors of test/golden: single ops, and the five models at reduced width, each with and
// without fusion. The models at full width are in golden-table.test.ts.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openWasmDevice } from '../asm/host/device.ts';
import { hasFma } from '../asm/host/modules.ts';
import type { Device } from '../runtime/device.ts';
import { openDevice } from '../runtime/devices.ts';
import { buildModel } from '../runtime/model/architectures.ts';
import { trainingGraphs } from '../runtime/train/graphs.ts';
import { GOLDEN_VERSION, GoldenComparison, parseGolden, readGolden } from './support/golden.ts';
import { GOLDEN_MODELS, GOLDEN_TOLERANCES, initialState, reducedSteps, results } from './support/golden-models.ts';
import { GOLDEN_OPS, type GoldenOpCase, runGoldenOp } from './support/golden-ops.ts';
import { readExactly } from './support/golden-steps.ts';
import { hasSwiftShader, useSwiftShader } from './support/swiftshader.ts';

describe('the file', () => {
  const bytes = (edit: (view: DataView) => void): Uint8Array => {
    const header = new TextEncoder().encode(
      '{"versions":{},"metadata":{},"tensors":[{"name":"a","dtype":"float64","shape":[2],"offset":0}]}'.padEnd(96),
    );
    const file = new Uint8Array(16 + header.length + 16);
    file.set(new TextEncoder().encode('HYBGOLD\0'));
    const view = new DataView(file.buffer);
    view.setUint32(8, GOLDEN_VERSION, true);
    view.setUint32(12, header.length, true);
    file.set(header, 16);
    view.setFloat64(16 + header.length + 8, 2.5, true);
    edit(view);
    return file;
  };

  test('is read', () => {
    expect(
      parseGolden(
        bytes(() => {}),
        'x.bin',
      ).tensors.get('a'),
    ).toEqual({ shape: [2], data: Float64Array.of(0, 2.5) });
  });

  test.each([
    ['a wrong magic', (view: DataView) => view.setUint8(0, 0), 'wrong magic'],
    ['another version', (view: DataView) => view.setUint32(8, 99, true), 'format version 99'],
  ])('with %s says how to write it anew', (_, edit, message) => {
    expect(() => parseGolden(bytes(edit), 'x.bin')).toThrow(message);
    expect(() => parseGolden(bytes(edit), 'x.bin')).toThrow('make_golden.py');
  });

  test.each([10, 50, 16 + 96 + 15])('cut off after %i bytes says how to write it anew', (length) => {
    expect(() => parseGolden(bytes(() => {}).subarray(0, length), 'x.bin')).toThrow('make_golden.py');
  });

  test('tells the versions it was made with', () => {
    for (const name of ['ops', ...GOLDEN_MODELS]) expect(readGolden(name).versions).toEqual({ tensorflow: '2.21.0', keras: '3.15.1' });
  });

  test('must be compared in full, and no difference or NaN passes', () => {
    const file = parseGolden(
      bytes(() => {}),
      'x.bin',
    );
    const compare = (...values: number[]) => {
      const comparison = new GoldenComparison(file, ['a']);
      if (values.length) comparison.check('a', values, 1e-3);
      comparison.finish();
    };
    expect(() => compare()).toThrow('never compared: a');
    expect(() => compare(0, 2.51)).toThrow('4.00e-3 (allowed 1e-3)  a');
    expect(() => compare(Number.NaN, 2.5)).toThrow('NaN');
    compare(0.001, 2.5);
  });
});

const open = (name: string, threads?: number): Promise<Device> =>
  name === 'reference' || name === 'webgpu'
    ? openDevice(name)
    : openWasmDevice({ threads, v8Flags: true, fma: name === 'wasm, fused multiply-add' });
const has = (name: string): boolean =>
  name === 'webgpu' ? hasSwiftShader : name !== 'wasm, fused multiply-add' || hasFma({ v8Flags: true });
const DEVICES = Object.keys(GOLDEN_TOLERANCES).filter(has);

describe.each(DEVICES)('%s', (name) => {
  const tolerances = GOLDEN_TOLERANCES[name];
  let device: Device;
  let single: Device;
  beforeAll(async () => {
    if (name === 'webgpu') useSwiftShader();
    device = await open(name);
    single = await open(name, 1);
  });
  afterAll(async () => {
    await device?.close();
    await single?.close();
  });

  // A software adapter takes a tenth of a second for each shader that it compiles: there only whole models, as they run.
  // (Single ops are in gpu/kernels.test.ts.)
  const whole = name === 'webgpu';
  const fusions: [name: string, withoutRules: string[]][] = [
    ['with fusion', []],
    ['without fusion', ['all']],
  ];
  describe.each(whole ? fusions.slice(0, 1) : fusions)('%s', (_, withoutRules) => {
    if (!whole) singleOps(withoutRules);
    if (!whole) smallStatistics(withoutRules);

    test.each(GOLDEN_MODELS)('three steps of %s', async (arch) => {
      // Layers by themselves are compared once; with fusion they are at full width, in golden-table.test.ts.
      await reducedSteps(device, arch, { withoutRules, tolerances, layersOn: withoutRules.length ? single : undefined });
    });
  });

  function singleOps(withoutRules: string[]): void {
    test.each(GOLDEN_OPS.metadata.cases as GoldenOpCase[])('$name', async (one) => {
      const names = [...GOLDEN_OPS.tensors].filter(
        ([tensor, { data }]) => tensor.startsWith(`${one.name}/`) && data instanceof Float64Array,
      );
      const golden = new GoldenComparison(
        GOLDEN_OPS,
        names.map(([tensor]) => tensor),
      );
      await runGoldenOp(device, golden, one, withoutRules, tolerances.ops);
      golden.finish();
    });
  }

  function smallStatistics(withoutRules: string[]): void {
    test.each(GOLDEN_MODELS)('moving statistics of %s where a channel has eight values', async (arch) => {
      const file = readGolden(arch);
      const { image, width } = file.metadata.eight;
      const model = buildModel(arch, { input: [image, image, 3], classes: 10, dropout: 0, width });
      const golden = new GoldenComparison(file, results(file, 'eight'));
      const executable = await device.compile(trainingGraphs(model), { capacity: 2, seed: 0n, withoutRules });
      for (const [variable, data] of initialState(file, 'eight')) await executable.write(variable, data);
      const images = file.tensors.get('eight/images')?.data as Uint8Array;
      const labels = file.tensors.get('eight/labels')?.data as Int32Array;
      const { loss } = await executable.gradient({ rows: 2, images, labels });
      golden.check('eight/step/loss', [loss], tolerances.losses[0]);
      await executable.update({ learningRate: 2e-3, weightDecay: 1e-4, bnMomentum: 0.99 });
      for (const { name: variable, kind } of model.variables) {
        if (kind === 'statistic')
          golden.check(`eight/step/statistics/${variable}`, await readExactly(executable, variable), tolerances.forward);
      }
      await executable.close();
      golden.finish();
    });
  }
});
