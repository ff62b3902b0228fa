// The images of a whole set on the GPU, in as many buffers as it takes, and the dispatch that makes a batch of some of them.

import { HybridError, invariant } from '../../runtime/base/errors.ts';
import type { ResidentImages } from '../../runtime/device.ts';
import { GATHER_INVOCATIONS, gather } from '../kernels/gather.ts';
import { foldedGroups } from '../kernels/wgsl.ts';
import type { Dispatch } from '../lowering/lowering.ts';
import { STEP_WGSL } from '../lowering/step.ts';
import { type Gpu, STORAGE } from './gpu.ts';
import type { Pipelines } from './pipelines.ts';

/** Bytes that go to the queue at a time, and that may be on their way. */
const CHUNK_BYTES = 4 << 20;
const WAY_BYTES = 64 << 20;
/** Buffers that the dispatch binds besides those of the set: picks, and the batch. */
export const RESIDENT_OTHERS = 2;

/** A part of the set: whole images. */
export interface Part {
  readonly first: number;
  readonly count: number;
}

/** How a set is cut into buffers of at most `limit` bytes. Undefined: there would be more of them than a dispatch binds. */
export function partsOf(count: number, imageBytes: number, limit: number, bindings: number): readonly Part[] | undefined {
  const perBuffer = Math.min(count, Math.floor(limit / imageBytes));
  const buffers = Math.ceil(count / perBuffer);
  if (perBuffer < 1 || buffers > bindings - RESIDENT_OTHERS) return undefined;
  return Array.from({ length: buffers }, (_, i) => ({ first: i * perBuffer, count: Math.min(perBuffer, count - i * perBuffer) }));
}

const imageBytesOf = ({ shape: [h, w, c] }: Pick<ResidentImages, 'shape'>): number => h * w * c;

/** Bytes of the largest buffer that can be bound. */
export const largestBuffer = ({ limits }: GPUDevice): number => Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);

/** The same for images, whose bytes are counted in 32 bits. */
export const largestPart = (device: GPUDevice): number => Math.min(largestBuffer(device), 2 ** 32);

export interface ResidentOptions {
  readonly gpu: Gpu;
  readonly pipelines: Pipelines;
  /** The step block. */
  readonly step: GPUBuffer;
  /** Takes the batches. */
  readonly out: GPUBuffer;
  /** Images of a batch at most. */
  readonly capacity: number;
  /** Of one buffer at most; by default what the device can bind. */
  readonly bufferBytes?: number;
}

export class ResidentSet {
  /** What `picks` takes: indices of `capacity` images, then their samples. */
  readonly picks: GPUBuffer;
  readonly bytes: number;
  readonly dispatch: Dispatch;
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly count: number;
  readonly #gpu: Gpu;
  readonly #buffers: readonly GPUBuffer[];
  readonly #capacity: number;

  /** Uploads the set. Throws E_MEMORY where the GPU does not give the memory. */
  static async create(
    set: ResidentImages,
    { gpu, pipelines, step, out, capacity, bufferBytes = largestPart(gpu.device) }: ResidentOptions,
  ): Promise<ResidentSet> {
    const { device } = gpu;
    const imageBytes = imageBytesOf(set);
    const parts = partsOf(set.count, imageBytes, bufferBytes, device.limits.maxStorageBuffersPerShaderStage);
    if (!parts)
      throw new HybridError(
        'E_MEMORY',
        `${set.count} images do not fit the buffers of this GPU`,
        'Leave the data in the memory of the host.',
      );
    const sizes = parts.map(({ count }) => Math.ceil((count * imageBytes) / 16) * 16);
    const [picks, ...buffers] = await gpu.allocate([
      { label: 'picks', bytes: 8 * capacity, usage: STORAGE },
      ...sizes.map((bytes, i) => ({ label: `images ${i}`, bytes, usage: STORAGE })),
    ]);
    try {
      for (const [i, part] of parts.entries()) await upload(gpu, buffers[i], set, part);
      const dispatch = gatherDispatch(set, parts, capacity);
      const pipeline = await pipelines.pipeline(dispatch, 'gather of the images');
      const bindGroup = device.createBindGroup({
        label: 'gather of the images',
        layout: pipelines.layout(dispatch),
        entries: [step, picks, ...buffers, out].map((buffer, binding) => ({ binding, resource: { buffer } })),
      });
      const bytes = 8 * capacity + sizes.reduce((sum, size) => sum + size, 0);
      return new ResidentSet(gpu, { picks, buffers, bytes, dispatch, pipeline, bindGroup, capacity, count: set.count });
    } catch (error) {
      for (const buffer of [picks, ...buffers]) buffer.destroy();
      throw error;
    }
  }

  private constructor(
    gpu: Gpu,
    parts: Pick<ResidentSet, 'picks' | 'bytes' | 'dispatch' | 'pipeline' | 'bindGroup' | 'count'> & {
      buffers: readonly GPUBuffer[];
      capacity: number;
    },
  ) {
    this.#gpu = gpu;
    this.#buffers = parts.buffers;
    this.#capacity = parts.capacity;
    this.picks = parts.picks;
    this.bytes = parts.bytes;
    this.dispatch = parts.dispatch;
    this.pipeline = parts.pipeline;
    this.bindGroup = parts.bindGroup;
    this.count = parts.count;
  }

  /** The words that say which images the next batch has; checked here, where a wrong one still has a name. */
  words(rows: number, picks: Int32Array, samples: Int32Array | undefined): Int32Array {
    invariant(picks.length >= rows && samples && samples.length >= rows, `${rows} rows need as many picks and samples`);
    const words = new Int32Array(2 * this.#capacity);
    for (let row = 0; row < rows; row++) {
      invariant(picks[row] >= 0 && picks[row] < this.count, `row ${row} picks image ${picks[row]} of ${this.count}`);
      words[row] = picks[row];
      words[this.#capacity + row] = samples[row];
    }
    return words;
  }

  pick(words: Int32Array): void {
    this.#gpu.write(this.picks, 0, words);
  }

  destroy(): void {
    for (const buffer of [this.picks, ...this.#buffers]) buffer.destroy();
  }
}

async function upload(gpu: Gpu, buffer: GPUBuffer, set: ResidentImages, { first, count }: Part): Promise<void> {
  const { bytes, offset, stride } = set;
  const imageBytes = imageBytesOf(set);
  // Whole words at a time: buffers are written by words.
  const perChunk = Math.max(4, Math.floor(CHUNK_BYTES / imageBytes / 4) * 4);
  let onTheWay = 0;
  for (let done = 0; done < count; done += perChunk) {
    const images = Math.min(perChunk, count - done);
    const chunk = new Uint8Array(images * imageBytes);
    for (let i = 0; i < images; i++) {
      const from = offset + (first + done + i) * stride;
      chunk.set(bytes.subarray(from, from + imageBytes), i * imageBytes);
    }
    gpu.write(buffer, done * imageBytes, chunk);
    onTheWay += chunk.length;
    if (onTheWay < WAY_BYTES) continue;
    await gpu.within('the upload of the images', gpu.device.queue.onSubmittedWorkDone());
    onTheWay = 0;
  }
}

/** What makes a batch of the parts of a set. */
export function gatherDispatch(
  set: Omit<ResidentImages, 'bytes' | 'count'>,
  parts: readonly Pick<Part, 'count'>[],
  capacity: number,
): Dispatch {
  const { workgroup, declarations, body } = gather(set, { buffers: parts.length, perBuffer: parts[0].count, capacity });
  const buffers = [
    { name: 'picks', access: 'read' as const },
    ...parts.map((_, i) => ({ name: `set${i}`, access: 'read' as const })),
    { name: 'out', access: 'read_write' as const },
  ];
  const declared = buffers.map(({ name, access }, i) => {
    const buffer = `@group(0) @binding(${1 + i}) var<storage, ${access}> ${name}_buffer: array<u32>;`;
    return access === 'read'
      ? `${buffer}\nfn ${name}(i: u32) -> u32 { return ${name}_buffer[i]; }`
      : `${buffer}\nfn set_${name}(i: u32, v: u32) { ${name}_buffer[i] = v; }`;
  });
  const code = `${STEP_WGSL}
${declared.join('\n')}
${declarations}
@compute @workgroup_size(${workgroup})
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u) {
${body}
}`;
  const imageBytes = imageBytesOf(set);
  return {
    kernel: 'gather',
    code,
    bindings: buffers.map(({ access }, i) => ({ operand: { scratch: i }, access })),
    workgroups: (rows) => foldedGroups(Math.ceil((rows * imageBytes) / 4), GATHER_INVOCATIONS),
  };
}
