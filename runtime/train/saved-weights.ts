// Weights for use, from wherever a person points: a run folder, or a safetensors file of this program or of another.

import { HybridError } from '../base/errors.ts';
import { type Files, nodeFiles } from '../base/files.ts';
import { readSafetensors } from '../formats/safetensors.ts';
import { graphDigest } from '../ir/serialize.ts';
import type { Model } from '../model/model.ts';
import { trainingGraphs } from './graphs.ts';
import { floats, type RunConfig, RunFolder } from './run-folder.ts';

export interface SavedWeights {
  /** Where they are, for messages. */
  readonly source: string;
  readonly weights: ReadonlyMap<string, Float32Array>;
  /** SHA-256 of the graph they were trained in; absent in a file of another program. */
  readonly graph?: string;
  /** The configuration of the run; absent in a file of another program. */
  readonly config?: RunConfig;
}

/** Reads the best checkpoint of a run folder, the last one of a run that never got to a best, or a file. Throws E_CHECKPOINT. */
export async function readWeights(path: string, files: Files = nodeFiles): Promise<SavedWeights> {
  const stat = await files.stat(path).catch((cause: Error) => {
    throw new HybridError('E_CHECKPOINT', `cannot read ${path}: ${cause.message}`, 'Name a run folder or a safetensors file.', { cause });
  });
  if (!stat) throw new HybridError('E_CHECKPOINT', `there is no ${path}`, 'Name a run folder or a safetensors file.');
  return stat.kind === 'folder' ? fromRun(path, files) : fromFile(path, files);
}

async function fromRun(path: string, files: Files): Promise<SavedWeights> {
  const run = await RunFolder.open(path, files);
  for (const kind of ['best', 'last'] as const) {
    const checkpoint = await run.load(kind);
    if (!checkpoint) continue;
    const weights = new Map([...checkpoint.weights].map(([name, { data }]) => [name, data]));
    return { source: `${path} (${kind})`, weights, graph: checkpoint.graph.digest, config: run.config };
  }
  throw new HybridError(
    'E_CHECKPOINT',
    `the run ${path} has no checkpoint yet`,
    'Wait for the end of its first epoch, or name another run.',
  );
}

async function fromFile(path: string, files: Files): Promise<SavedWeights> {
  const bytes = await files.readFile(path).catch((cause: Error) => {
    throw new HybridError('E_CHECKPOINT', `cannot read ${path}: ${cause.message}`, 'Name a run folder or a safetensors file.', { cause });
  });
  const { tensors, metadata } = readSafetensors(bytes, path);
  const weights = new Map([...floats(tensors)].map(([name, { data }]) => [name, data]));
  const ours = metadata.get('format') === 'hybrid';
  return {
    source: path,
    weights,
    graph: ours ? metadata.get('graph') : undefined,
    config: ours ? configOf(metadata.get('config')) : undefined,
  };
}

function configOf(text = ''): RunConfig | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as RunConfig) : undefined;
  } catch {
    return undefined;
  }
}

/** Refuses weights that were trained in another graph. Their names and shapes cannot tell: two of the architectures have the same ones. */
export function checkGraph({ source, graph }: SavedWeights, model: Model): void {
  const digest = graphDigest(trainingGraphs(model).predict);
  if (graph === undefined || graph === digest) return;
  throw new HybridError(
    'E_CHECKPOINT',
    `the weights in ${source} were trained in another graph (${graph.slice(0, 12)}) than that of ${model.arch} (${digest.slice(0, 12)})`,
    'Use the architecture, image size and number of classes they were trained with.',
  );
}
