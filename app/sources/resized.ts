// A set of pixels (CIFAR, MNIST's files, arrays) at another size: what a network that was trained on larger images wants. Its images are resized
// once, as those of files are (decoded-images.ts), and found in the cache by what they are.

import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { abortError } from '../../runtime/base/errors.ts';
import { grouped } from '../../runtime/base/units.ts';
import { type DataSource, type Dataset, PARTS, type PartName } from '../../runtime/data/dataset.ts';
import { type DecodeSetOptions, type ListedImage, openDecoded } from './decoded-images.ts';
import { resizePixels } from './image-file.ts';

/** An image by its place in its part. */
interface Placed extends ListedImage {
  readonly dataset: Dataset;
  readonly index: number;
}

/** Bytes that people should know of: a network for large images asks for its size without being told to. */
const MUCH = 2 ** 30;
/** Images that are read at a time. */
const PIECE = 64;

export type ResizeOptions = Omit<DecodeSetOptions, 'shape'> & { readonly imageSize: readonly [number, number] };

/** The set with images of `imageSize`; as it is where they have it. Throws as `openDecoded` does. */
export async function resized(source: DataSource, { imageSize, ...options }: ResizeOptions): Promise<DataSource> {
  const { train, mixed } = source;
  const [height, width, channels] = train.shape;
  if (height === imageSize[0] && width === imageSize[1]) return source;
  const { crop, interpolation, signal } = options;
  const parts = new Map(PARTS.flatMap((part) => (source[part] ? [[part, listed(part, source[part])] as const] : [])));
  const shape = [...imageSize, channels] as const;
  const count = [...parts.values()].reduce((sum, { length }) => sum + length, 0);
  const bytes = count * shape[0] * shape[1] * shape[2];
  options.onNotice?.(
    bytes > MUCH ? 'warning' : 'info',
    `${grouped(count)} images of ${height} × ${width} are resized to ${imageSize.join(' × ')}: ${(bytes / 1e6).toFixed(0)} MB, kept in the cache. \`imageSize\` says how large.`,
  );
  const set = {
    name: `${train.name} at ${imageSize.join(' × ')}`,
    classes: train.classes,
    parts,
    remedy: 'Check the set with `hybrid data verify`.',
    decoder: {
      open: (images: readonly Placed[]) => ({
        async read(indices: ArrayLike<number>, out: Uint8Array) {
          const bytes = shape[0] * shape[1] * shape[2];
          const data = new Uint8Array(height * width * channels);
          for (let i = 0; i < indices.length; i++) {
            const { dataset, index } = images[indices[i]];
            await dataset.read([index], data);
            out.set(await resizePixels({ data, width, height, channels }, { shape, crop, interpolation }), i * bytes);
          }
        },
      }),
      reason: ({ path }: Placed) => Promise.resolve(`${path} cannot be resized`),
    },
    /** The pixels themselves: they are at hand. */
    async *identity() {
      for (const [part, images] of parts) {
        const { dataset } = images[0];
        const hash = createHash('sha256').update(dataset.labels);
        const data = new Uint8Array(PIECE * height * width * channels);
        for (let first = 0; first < dataset.size; first += PIECE) {
          await setImmediate(); // the event loop has its turn: a signal
          if (signal?.aborted) throw abortError(signal);
          const rows = Math.min(PIECE, dataset.size - first);
          const piece = data.subarray(0, rows * height * width * channels);
          await dataset.read(
            Array.from({ length: rows }, (_, i) => first + i),
            piece,
          );
          hash.update(piece);
        }
        yield JSON.stringify([part, dataset.size, height, width, channels, hash.digest('hex')]);
      }
    },
  };
  const { skipped, ...opened } = await openDecoded(set, { ...options, shape });
  const like = (part: PartName): Dataset | null => {
    const [before, now] = [source[part], opened[part]];
    // Named as before: it is the same set. Images without names of files have none now.
    return before && now ? { ...now, name: before.name, fileOf: before.fileOf?.bind(before) } : null;
  };
  return { train: like('train') as Dataset, validation: like('validation'), test: like('test'), mixed };
}

const listed = (part: PartName, dataset: Dataset): Placed[] =>
  Array.from({ length: dataset.size }, (_, index) => ({
    path: dataset.fileOf?.(index) ?? `image ${index} of the ${part} part`,
    label: dataset.labels[index],
    dataset,
    index,
  }));
