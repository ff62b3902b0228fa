// What is trained, where it is no architecture, and the weights that it begins with.

import type { Command } from 'commander';
import { architectureName, checkGraph, fitWeights, modelLike, type SavedWeights, withoutOwn } from '../../runtime/entries/internal.ts';
import type { AdaptedModel } from '../../runtime/entries/runs.ts';
import { adaptModel, type Dataset, HybridError, type Model, readWeights, type TrainedModel } from '../../runtime/index.ts';
import type { CliIo } from '../io.ts';
import { openModel, toldIn } from '../model.ts';
import { isModule, moduleNetwork } from '../module-network.ts';
import { type Key, MEASURES, type Settings } from '../options.ts';
import { findModel } from '../run-names.ts';
import { imageSettings, sourceSettings } from '../settings.ts';
import type { Earlier } from './earlier.ts';

/** A network, and unless its run goes on from a checkpoint, the weights that came with it. */
export type NamedNetwork = Pick<TrainedModel, 'model' | 'notices' | 'license' | 'preprocessing' | 'bnMomentum' | 'kerasNames' | 'augment'> &
  Partial<Pick<TrainedModel, 'weights' | 'classes'>>;

/** Whether somebody gave a setting, as a flag or in a file. */
type IsGiven = (key: Key) => boolean;

/** With what a file says of single layers, unless a setting is given that says it of all. */
function asGiven<M extends { readonly model: Model }>(named: M, isGiven: IsGiven): M {
  return { ...named, model: withoutOwn(named.model, { momentum: isGiven('bnMomentum'), trainable: isGiven('freeze') }) };
}

/** The network that --model names, or that an earlier run has; undefined: an architecture is trained. */
export async function networkOf(
  { model, init, out }: Settings,
  command: Command,
  isGiven: IsGiven,
  earlier: Earlier | null,
  io: CliIo,
): Promise<NamedNetwork | undefined> {
  if (model === undefined) {
    if (init === 'none' && !earlier)
      throw new HybridError('E_USAGE', '--init none is for --model, whose file has weights', 'Omit it: an architecture has no weights.');
    return undefined;
  }
  if (earlier) {
    if (earlier.network) return { model: earlier.network };
    throw new HybridError('E_CHECKPOINT', 'the run has no checkpoint that says which network it trains', 'Start it again.');
  }
  for (const key of ['arch', ...MEASURES, 'dropout'] as const) {
    if (!isGiven(key)) continue;
    throw new HybridError('E_USAGE', `--model and --${key} exclude each other`, 'The file says what the network is.');
  }
  if (isModule(model)) return asGiven({ model: await moduleNetwork(await findModel(model, out, io), io) }, isGiven);
  return asGiven((await openModel(model, command, io)).trained, isGiven);
}

/** The network, if it is for such images. */
export function fitting({ model, weights }: NamedNetwork, { shape, classes, name }: Dataset): Model {
  if (`${shape}` === `${model.input}` && classes.length === model.classes) return model;
  throw new HybridError(
    'E_USAGE',
    `${model.arch} takes ${model.input.join('×')} images of ${model.classes} classes; those of ${name} are ${shape.join('×')} of ${classes.length} classes`,
    weights
      ? 'Pass the network as --init instead of --model, which adapts it to the data with a new last layer.'
      : `Give it an input of [${shape.join(', ')}] and ${classes.length} units at its end, or bring the images to its size with --image-size.`,
  );
}

/** The weights that came with a network, its classes in the order of the data's. Throws E_USAGE where they are others. */
export function weightsFor({ model, weights, classes }: NamedNetwork, data: Dataset): AdaptedModel['weights'] | undefined {
  if (!weights) return undefined;
  const fitted = fitWeights({ name: model.arch, model, weights, classes }, model, { classes: data.classes });
  if (!fitted.newHead) return fitted.weights;
  throw new HybridError(
    'E_USAGE',
    `the weights of ${model.arch} are of other classes than those of ${data.name}`,
    'Pass the file as --init instead of --model, which replaces its last layer, or ignore its weights with --init none.',
  );
}

/** What a run begins with, and what that decides where nobody says otherwise. */
export interface Beginning {
  readonly saved: SavedWeights;
  /** Whether the network is that of the weights: no architecture was named. */
  readonly isNetwork: boolean;
  readonly ofModel: Partial<Settings>;
}

/** The weights that `init` names. */
export async function beginning(settings: Settings, named: IsGiven, io: CliIo): Promise<Beginning | undefined> {
  const { init, out } = settings;
  if (init === undefined || init === 'none') return undefined;
  const told = { ...toldIn(settings), imageSize: named('imageSize') ? sourceSettings(settings).imageSize : undefined };
  const found = await readWeights(await findModel(init, out, io), io.files, undefined, told);
  const trained = found.trained && asGiven(found.trained, named);
  const saved = { ...found, trained };
  if (!trained) {
    if (named('arch')) return { saved, isNetwork: false, ofModel: {} };
    throw new HybridError('E_USAGE', `${init} does not say which architecture its weights are for`, 'Name it with --arch.');
  }
  const { arch, width, network, dropout, dim, depth, kernel, patch, epsilon, ...rest } = trained.model.config;
  const images = {
    ...imageSettings(trained),
    ...(trained.augment !== undefined && { augment: trained.augment }),
  };
  // The activation of a file that does not tell is no other network.
  const sizes = MEASURES.filter((key) => key !== 'activation');
  if (['arch' as const, 'model' as const, ...sizes].some(named)) return { saved, isNetwork: false, ofModel: images };
  // What no settings describe is in the checkpoint, as with --model.
  const other = network !== undefined || width !== undefined;
  const measures = Object.entries({ dim, depth, kernel, patch, activation: rest.activation, epsilon, dropout }).filter(
    ([, value]) => value !== undefined,
  );
  return {
    saved,
    isNetwork: true,
    ofModel: { ...images, ...(other ? { model: init } : { arch: architectureName(arch), ...Object.fromEntries(measures) }) },
  };
}

/** The model for the data, and the weights that fit it. `model`: the one that was named, where one was. */
export function adapted(
  { saved, isNetwork }: Beginning,
  model: Model | undefined,
  { shape, classes }: Dataset,
  seed: bigint,
  kerasNames: NamedNetwork['kerasNames'] = new Map(),
): AdaptedModel {
  const { trained, source } = saved;
  const named = <T>(values: ReadonlyMap<string, T>): ReadonlyMap<string, T> =>
    new Map([...values, ...[...kerasNames].flatMap(([own, name]) => (values.has(name) ? [[own, values.get(name) as T] as const] : []))]);
  const [weights, shapes] = trained ? [saved.weights, saved.shapes] : [named(saved.weights), saved.shapes && named(saved.shapes)];
  if (isNetwork && trained) return adaptModel(trained, { classes, input: shape, seed });
  if (!model) throw new HybridError('E_USAGE', `${source} does not say which architecture its weights are for`, 'Name it with --arch.');
  if (trained && trained.model.arch !== model.arch) {
    // Names and shapes cannot tell: two of the architectures have the same ones.
    checkGraph({ ...saved, graph: undefined, trained: { ...trained, model: modelLike(trained.model, model.input, model.classes) } }, model);
  } else if (!trained) checkGraph(saved, model);
  return fitWeights({ name: trained?.model.arch ?? source, weights, shapes, model: trained?.model, classes: trained?.classes }, model, {
    classes,
    seed,
  });
}
