// No option of the library is ignored because its name is wrong: E_USAGE names the nearest one.

import { describe, expect, test } from 'vitest';
import { openClassifier } from '../app/classifier.ts';
import { decodeFiles } from '../app/sources/decoded-files.ts';
import { readWeightsFile } from '../app/weights-in-file.ts';
import * as data from '../runtime/entries/data.ts';
import * as distributed from '../runtime/entries/distributed.ts';
import * as formats from '../runtime/entries/formats.ts';
import * as graph from '../runtime/entries/graph.ts';
import * as layers from '../runtime/entries/layers.ts';
import * as runs from '../runtime/entries/runs.ts';
import * as tools from '../runtime/entries/tools.ts';
import { useAssets } from '../runtime/hosts/page.ts';
import * as root from '../runtime/index.ts';
import { openReferenceDevice } from '../runtime/reference.ts';
import { train } from '../runtime/train/run.ts';
import { smallModels } from './support/models.ts';
import { shapesDataset } from './support/shapes-dataset.ts';

const device = openReferenceDevice();
const model = smallModels()[0];
const set = shapesDataset(8);
const source = { train: set, test: null };
const weights = layers.initialize(model, 1n);
const trained = { model, weights, classes: set.classes };
const record = runs.RunRecord.from('/nowhere', {}, []);
/** As a program in JavaScript gives it. */
// biome-ignore lint/suspicious/noExplicitAny: the types would refuse it
const wrong = (options: unknown): any => options;

/** Function, option as it is written wrongly, option that is meant, call. */
const CALLS: readonly (readonly [string, string, string, (given: object) => unknown])[] = [
  ['openDevice', 'thread', 'threads', (given) => root.openDevice('reference', wrong(given))],
  ['openData', 'imagesize', 'imageSize', (given) => root.openData('synthetic', wrong(given))],
  ['locateData', 'cachedir', 'cacheDir', (given) => data.locateData('synthetic', wrong(given))],
  ['verifyData', 'onprogress', 'onProgress', (given) => data.verifyData('synthetic', wrong(given))],
  ['convertData', 'paths', 'path', (given) => data.convertData(source, wrong({ path: 'a.npz', name: 'a', ...given }))],
  ['decodeImage', 'maxPixel', 'maxPixels', (given) => data.decodeImage(new Uint8Array(8), wrong({ shape: [1, 1, 3], ...given }))],
  ['previewPicture', 'row', 'rows', (given) => data.previewPicture(set, wrong({ columns: 1, seed: 1n, ...given }))],
  ['describeDataset', 'onprogress', 'onProgress', (given) => data.describeDataset(set, wrong(given))],
  ['duplicateConcerns', 'signals', 'signal', (given) => data.duplicateConcerns(source, wrong(given))],
  ['splitDataset', 'valfraction', 'valFraction', (given) => data.splitDataset(set, wrong(given))],
  ['partsOf', 'limits', 'limit', (given) => root.partsOf(source, wrong({ valFraction: 0.1, ...given }))],
  ['syntheticSource', 'seeds', 'seed', (given) => data.syntheticSource(wrong(given))],
  ['memoryDataset', 'label', 'labels', (given) => root.memoryDataset(wrong(given))],
  ['DataPipeline.open', 'worker', 'workers', (given) => data.DataPipeline.open({}, wrong(given))],
  ['functionalModel', 'outputs', 'output', (given) => layers.functionalModel(wrong(given))],
  ['sequentialModel', 'layer', 'layers', (given) => layers.sequentialModel(wrong(given))],
  ['buildModel', 'drop_out', 'dropout', (given) => root.buildModel('convmixer', wrong({ input: [8, 8, 3], classes: 4, ...given }))],
  ['adaptModel', 'class', 'classes', (given) => root.adaptModel(trained, wrong(given))],
  ['exportModel', 'foldBatchnorm', 'foldBatchNorm', (given) => root.exportModel(trained, 'onnx', wrong(given))],
  ['trainingGraphs', 'optimiser', 'optimizer', (given) => graph.trainingGraphs(model, wrong(given))],
  ['compileGraph', 'withoutRule', 'withoutRules', (given) => graph.compileGraph(graph.trainingGraphs(model).predict, wrong(given))],
  ['evaluate', 'datasets', 'dataset', (given) => root.evaluate(wrong({ device, model, weights, ...given }))],
  ['predict', 'image', 'images', (given) => root.predict(wrong({ device, trained, ...given })).next()],
  ['train', 'epoch', 'epochs', (given) => train(wrong({ device, model, train: set, ...given })).result],
  ['openClassifier', 'queues', 'queue', (given) => openClassifier(trained, wrong({ device, ...given }))],
  ['featureStore', 'cachedir', 'cacheDir', (given) => runs.featureStore(wrong(given))],
  ['importRun', 'learningrate', 'learningRate', (given) => runs.importRun(trained, wrong({ seed: 1n, batch: 1, ...given }))],
  ['RunFolder.create', 'names', 'name', (given) => root.RunFolder.create(wrong({ out: '/nowhere', config: {}, ...given }))],
  ['recordRun', 'tensorBoard', 'tensorboard', (given) => runs.recordRun(new Promise(() => {}), wrong({}), wrong({ device, ...given }))],
  ['writeReport', 'figure', 'figures', (given) => runs.writeReport(record, wrong(given))],
  ['LiveReport', 'onproblem', 'onProblem', (given) => new runs.LiveReport(record, wrong(given))],
  ['drawFigures', 'layers', 'layer', (given) => runs.drawFigures([], wrong({}), wrong(given)).next()],
  ['distribute', 'syncBatchnorm', 'syncBatchNorm', (given) => distributed.distribute(wrong(given))],
  ['openMpi', 'timeoutseconds', 'timeoutSeconds', (given) => distributed.openMpi(wrong(given))],
  ['inspectModel', 'programs', 'program', (given) => tools.inspectModel(model, 'graph', wrong(given))],
  ['examineMachine', 'thread', 'threads', (given) => tools.examineMachine(wrong(given))],
  ['readWeightsFile', 'imagesize', 'imageSize', (given) => readWeightsFile(new Uint8Array(8), wrong(given))],
  ['useAssets', 'kernel', 'kernels', (given) => useAssets(wrong(given))],
  ['decodeFiles', 'class', 'classes', (given) => decodeFiles([], wrong({ shape: [8, 8, 3], ...given }))],
  ['readNpy', 'sources', 'source', (given) => formats.readNpy(new Uint8Array(8), wrong(given))],
  ['readNpz', 'sources', 'source', (given) => formats.readNpz(new Uint8Array(8), wrong(given))],
];

describe('an option with a wrong name is refused, with the right one', () => {
  test.each(CALLS)('%s: %s', async (_, given, meant, call) => {
    const error = await Promise.resolve()
      .then(() => call({ [given]: 1 }))
      .then(
        () => null,
        (reason: unknown) => reason,
      );
    expect(error).toMatchObject({ name: 'HybridError', code: 'E_USAGE', field: given, suggested: meant });
    expect((error as Error).message).toContain(`has no "${given}"; did you mean ${meant}?`);
  });

  test('options that are no object', async () => {
    for (const given of [null, 5, 'batch']) {
      await expect(root.exportModel(trained, 'onnx', wrong(given))).rejects.toMatchObject({ code: 'E_USAGE' });
      expect(() => formats.readNpy(new Uint8Array(8), wrong(given))).toThrow(expect.objectContaining({ code: 'E_USAGE' }));
    }
  });

  test('classify', async () => {
    await using classifier = await openClassifier(trained, { device });
    const pixels = new Uint8Array(model.input.reduce((a, b) => a * b));
    await expect(classifier.classify({ pixels }, wrong({ sgnal: undefined }))).rejects.toMatchObject({
      code: 'E_USAGE',
      suggested: 'signal',
    });
  });

  test.each([
    ['nothing', undefined],
    ['a number', 5],
    ['an ArrayBuffer', new ArrayBuffer(8)],
    ['half a model', { model }],
  ])('a classifier of %s', async (_, given) => {
    await expect(openClassifier(wrong(given))).rejects.toMatchObject({ code: 'E_USAGE' });
  });

  test.each([[undefined], [[8, 8]], [[8, 8, 2]], [[8, 0, 3]], ['8x8x3']])('pictures of the shape %s', async (shape) => {
    const refused = { code: 'E_USAGE', field: 'shape' };
    await expect(data.decodeImage(new Uint8Array(8), wrong({ shape }))).rejects.toMatchObject(refused);
    await expect(decodeFiles([], wrong({ shape }))).rejects.toMatchObject(refused);
    await expect(decodeFiles([], wrong(undefined))).rejects.toMatchObject({ code: 'E_USAGE' });
  });

  test.each([[5], [{}], [{ version: '1', read: async () => null }]])('a store of choices that is %j', async (tuneStore) => {
    await expect(root.openDevice('webgpu', wrong({ tuneStore }))).rejects.toMatchObject({ code: 'E_USAGE', field: 'tuneStore' });
  });

  test('weights of what are no bytes', async () => {
    await expect(readWeightsFile(wrong(new ArrayBuffer(8)))).rejects.toMatchObject({ code: 'E_USAGE' });
  });

  test('a format that there is not', async () => {
    await expect(root.exportModel(trained, wrong('onx'))).rejects.toMatchObject({ code: 'E_USAGE', suggested: 'onnx' });
  });
});

test('the configuration of a model builds the same model again', () => {
  for (const one of smallModels()) if (!one.config.network) expect(root.buildModel(one.config.arch, one.config).config).toEqual(one.config);
});
