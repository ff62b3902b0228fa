// Weights for use, from wherever a person points: a run folder, or a file of this program, of Keras or of another one.

import { dirname, join } from 'node:path';
import { HybridError } from '../runtime/base/errors.ts';
import { type Files, nodeFiles } from '../runtime/base/files.ts';
import { adopt, modelOf, numberedClasses, optimizerVariables, readCard, type TrainedModel } from '../runtime/interop/trained-model.ts';
import { graphDigest } from '../runtime/ir/serialize.ts';
import type { Model, TrainableModel } from '../runtime/model/model.ts';
import { parseOptimizer } from '../runtime/optim/index.ts';
import type { Checkpoint } from '../runtime/train/checkpoint.ts';
import { inferenceGraphs } from '../runtime/train/graphs.ts';
import { type RunConfig, RunFolder } from './run/run-folder.ts';
import { WEIGHT_FILES } from './weight-files.ts';
import { type ModelFor, type SavedWeights, type ToldOptions, weightsInFile } from './weights-in-file.ts';

const REMEDY = `Name a run folder, or a file of weights: ${WEIGHT_FILES}.`;

/**
 * Reads the best checkpoint of a run folder, the last one of a run that never got to a best, or a file: safetensors, a `.keras` archive,
 * `.weights.h5`, `.npz`, ONNX, or what PyTorch saves, told apart by their contents. Nothing in a file is executed. Throws E_CHECKPOINT.
 * @param told What files of other programs' networks do not say of these.
 *
 * @category Weights and files
 */
export async function readWeights(
  path: string,
  files: Files = nodeFiles,
  modelFor?: ModelFor,
  told: ToldOptions = {},
): Promise<SavedWeights> {
  const stat = await files.stat(path).catch((cause: Error) => {
    throw new HybridError('E_CHECKPOINT', `cannot read ${path}: ${cause.message}`, REMEDY, { cause });
  });
  if (!stat) throw new HybridError('E_CHECKPOINT', `there is no ${path}`, REMEDY);
  return stat.kind === 'folder' ? fromRun(path, files) : fromFile(path, files, modelFor, told);
}

async function fromFile(path: string, files: Files, modelFor: ModelFor | undefined, told: ToldOptions): Promise<SavedWeights> {
  const bytes = await files.readFile(path).catch((cause: Error) => {
    throw new HybridError('E_CHECKPOINT', `cannot read ${path}: ${cause.message}`, REMEDY, { cause });
  });
  const beside = async (name: string): Promise<Uint8Array | null> => {
    const at = join(dirname(path), name);
    const stat = (await files.isLink(at)) ? null : await files.stat(at);
    return stat?.kind === 'file' ? files.readFile(at) : null;
  };
  return weightsInFile(bytes, path, { modelFor, told, beside });
}

async function fromRun(path: string, files: Files): Promise<SavedWeights> {
  const run = await RunFolder.open(path, files);
  for (const kind of ['best', 'last'] as const) {
    const checkpoint = await run.load(kind);
    if (!checkpoint) continue;
    const weights = new Map([...checkpoint.weights].map(([name, { data }]) => [name, data]));
    const source = `${path} (${kind})`;
    return { source, weights, graph: checkpoint.graph.digest, config: run.config, trained: trainedInRun(checkpoint, run.config, source) };
  }
  throw new HybridError(
    'E_CHECKPOINT',
    `the run ${path} has no checkpoint yet`,
    'Wait for the end of its first epoch, or name another run.',
  );
}

function trainedInRun(checkpoint: Checkpoint, config: RunConfig, source: string): TrainedModel | undefined {
  const {
    model = modelOfGraph(checkpoint.graph.text, config),
    classes,
    license,
    preprocessing,
  } = readCard(JSON.stringify(checkpoint.card ?? null));
  if (!model || graphDigest(inferenceGraphs(model).predict) !== checkpoint.graph.digest) return undefined;
  const learningRate = checkpoint.optimizer.get('optimizer/vars/1')?.data[0];
  const weightDecay = config['weight-decay'];
  const clipNorm = config['clip-norm'];
  const bnMomentum = config['bn-momentum'];
  const optimizer = typeof config.optimizer === 'string' ? parseOptimizer(config.optimizer) : undefined;
  // Of a run that freezes layers it is that of some parameters only.
  const kept = [...checkpoint.optimizer.keys()].filter((name) => name.startsWith('optimizer/vars/'));
  const isWhole = kept.length === optimizerVariables(model, optimizer).length;
  const state = isWhole ? checkpoint.optimizer : [];
  return {
    ...adopt(model, new Map([...checkpoint.weights, ...state]), source, optimizer ?? 'adamw'),
    classes: classes ?? numberedClasses(model),
    license,
    preprocessing,
    optimizerSettings:
      learningRate === undefined
        ? undefined
        : {
            ...{ optimizer, learningRate, weightDecay: typeof weightDecay === 'number' ? weightDecay : 0 },
            ...(typeof clipNorm === 'number' && { clipNorm }),
          },
    bnMomentum: typeof bnMomentum === 'number' ? bnMomentum : undefined,
  };
}

/** Version 0.1.0 kept no card: image size and number of classes are in the graph, the measures in the configuration. */
function modelOfGraph(text: string, { arch, dim, depth, kernel, patch, dropout }: RunConfig): Model | undefined {
  try {
    const { inputs, outputs, values } = JSON.parse(text);
    const sizeOf = (id: number) => values[id].spec.shape;
    const measures = Object.entries({ dim, depth, kernel, patch, dropout }).filter(([, value]) => value !== undefined);
    return modelOf({ arch, input: sizeOf(inputs.images), classes: sizeOf(outputs.logits)[0], ...Object.fromEntries(measures) });
  } catch {
    return undefined;
  }
}

/** Refuses weights that were trained in another graph. Their names and shapes cannot tell: two of the architectures have the same ones. */
export function checkGraph({ source, graph, trained }: SavedWeights, model: TrainableModel): void {
  const digest = graphDigest(inferenceGraphs(model).predict);
  const theirs = graph ?? (trained && graphDigest(inferenceGraphs(trained.model).predict));
  if (theirs === undefined || theirs === digest) return;
  const differing = trained && 'config' in model ? differences(trained.model, model) : [];
  const [was, is] = [theirs, digest].map((text) => ` (${text.slice(0, 12)})`);
  throw new HybridError(
    'E_CHECKPOINT',
    differing.length > 0
      ? `the weights in ${source} were trained in another graph than that of ${model.arch}: ${differing.join('; ')}`
      : `the weights in ${source} were trained in another graph${was} than that of ${model.arch}${is}`,
    'Use the architecture, image size and number of classes they were trained with.',
  );
}

/** Sentences of what is otherwise than before. */
function differences(before: Model, now: Model): string[] {
  const sides = ({ arch, input, classes, config: { width, dim, depth, kernel, patch } }: Model) =>
    Object.entries({ arch, 'image size': input.slice(0, 2).join('x'), classes, width, dim, depth, kernel, patch });
  return sides(now).flatMap(([name, value], i) => {
    const [, was] = sides(before)[i];
    return value === was || value === undefined || was === undefined ? [] : [`${name} is ${value}, but was ${was}`];
  });
}
