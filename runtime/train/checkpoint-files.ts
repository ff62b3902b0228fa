// A checkpoint as files, wherever they go: those of a folder on disk (app/run/checkpoint-folder.ts), or all in one archive, for places
// that keep bytes and for the way from one machine to another.

import { HybridError } from '../base/errors.ts';
import { type FileTensor, readSafetensors, writeSafetensors } from '../formats/safetensors.ts';
import { readZip, writeZip } from '../formats/zip.ts';
import type { Checkpoint } from './checkpoint.ts';

/** Of state.json; a reader refuses newer ones. */
const FORMAT_VERSION = 1;
const FILES = { model: 'model.safetensors', optimizer: 'optimizer.safetensors', graph: 'graph.json', state: 'state.json' } as const;
export const CHECKPOINT_FILES: readonly string[] = Object.values(FILES);
/** Keras' `iterations`: an integer in files, one float in a Checkpoint. */
const STEP_COUNT = 'optimizer/vars/0';

/** Says what is wrong with a checkpoint; throws. */
export type FailCheckpoint = (what: string) => never;

/** The error for a checkpoint that cannot be used. */
export const failCheckpoint =
  (source: string): FailCheckpoint =>
  (what) => {
    throw new HybridError('E_CHECKPOINT', `the checkpoint ${source} cannot be used: ${what}`, 'Use another checkpoint, or train again.');
  };

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The files of a checkpoint. `config` goes with the weights, for whoever reads them alone; `versions` of what has written them. */
export function checkpointFiles(
  { weights, optimizer, progress, graph, card }: Checkpoint,
  config: object = {},
  versions: Readonly<Record<string, string>> = {},
): Map<string, Uint8Array> {
  const optimizerTensors = new Map<string, FileTensor>(optimizer);
  const count = optimizer.get(STEP_COUNT);
  if (count) optimizerTensors.set(STEP_COUNT, { shape: count.shape, data: BigInt64Array.from(count.data, BigInt) });
  const metadata = new Map([
    ['format', 'hybrid'],
    ['graph', graph.digest],
    ['config', JSON.stringify(config)],
    ...(card ? [['hybrid', JSON.stringify(card)] as const] : []),
  ]);
  const state = { versions: { format: FORMAT_VERSION, ...versions }, graph: graph.digest, progress };
  return new Map<string, Uint8Array>([
    [FILES.model, writeSafetensors(weights, metadata)],
    [FILES.optimizer, writeSafetensors(optimizerTensors)],
    [FILES.graph, encode(graph.text)],
    [FILES.state, encode(`${JSON.stringify(state, null, 2)}\n`)],
  ]);
}

/** The checkpoint of its files. `place`: of a file by its name, for messages. Throws E_CHECKPOINT. */
export function checkpointOf(
  files: ReadonlyMap<string, Uint8Array>,
  fail: FailCheckpoint,
  place = (name: string): string => name,
): Checkpoint {
  const read = (name: string): Uint8Array => files.get(name) ?? fail(`${name} is missing`);
  const state = parseState(new TextDecoder().decode(read(FILES.state)), () => fail(`${FILES.state} is damaged`));
  const version = Object(state.versions).format;
  if (version !== FORMAT_VERSION) fail(`its format is version ${version}, and this program reads version ${FORMAT_VERSION}`);
  const text = new TextDecoder().decode(read(FILES.graph));
  const { tensors, metadata } = readSafetensors(read(FILES.model), place(FILES.model));
  const card = metadata.get('hybrid');
  return {
    weights: floats(tensors),
    optimizer: floats(readSafetensors(read(FILES.optimizer), place(FILES.optimizer)).tensors),
    progress: Object(state.progress),
    graph: { text, digest: String(state.graph) },
    ...(card === undefined ? {} : { card: JSON.parse(card) }),
  };
}

function parseState(
  text: string,
  fail: () => never,
): { readonly versions?: unknown; readonly graph?: unknown; readonly progress?: unknown } {
  try {
    return Object(JSON.parse(text));
  } catch {
    return fail();
  }
}

/** Tensors of a file as the floats that devices take. */
export function floats(tensors: ReadonlyMap<string, FileTensor>): Map<string, { shape: readonly number[]; data: Float32Array }> {
  const entries = [...tensors].map(([name, { shape, data }]) => {
    return [name, { shape, data: data instanceof Float32Array ? data : Float32Array.from(data as ArrayLike<number>, Number) }] as const;
  });
  return new Map(entries);
}

/** A checkpoint as the bytes of one file, a ZIP archive of what a run folder has of it: for a store of one's own, and to go on elsewhere, between Node and a page too. */
export const packCheckpoint = (checkpoint: Checkpoint): Uint8Array => writeZip(checkpointFiles(checkpoint));

/**
 * The checkpoint of such bytes.
 * @param source What messages call it.
 * @throws HybridError E_CHECKPOINT for anything but a whole one.
 */
export function unpackCheckpoint(bytes: Uint8Array, source = 'given'): Checkpoint {
  const fail = failCheckpoint(source);
  return checkpointOf(readZip(bytes, fail), fail, (name) => `${source}, ${name}`);
}
