// Images of a page: files that people have chosen or dropped, decoded by the browser.

import { HybridError } from '../../runtime/base/errors.ts';
import { choice, type OptionNames, refuseUnknownOptions } from '../../runtime/base/kinds.ts';
import { shared } from '../../runtime/base/shared.ts';
import { type Dataset, PARTS, type PartName, type SkippedImage } from '../../runtime/data/dataset.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import { checkDecodeOptions, DECODE_OPTIONS, type DecodeOptions } from './decode-limits.ts';
import { isHidden } from './hidden.ts';
import { IMAGE_FOLDERS, partOfName } from './part-names.ts';
import { decodePicture } from './picture.browser.ts';

/** A picture and what it shows. */
export interface LabelledImage {
  /** The bytes of an image file, such as a `File`. */
  readonly image: Blob;
  readonly label: string;
  /** What people call it. */
  readonly name?: string;
}

/** How pictures are decoded. */
export interface DecodeFilesOptions extends Omit<DecodeOptions, 'name'> {
  /** What the set is called; `files` by default. */
  readonly name?: string;
  /** Names of the classes in their order; by default those that there are, in the order of their code units. */
  readonly classes?: readonly string[];
  readonly onProgress?: (done: number, of: number) => void;
  readonly signal?: AbortSignal;
}

/** What a `File` is called, and in the folder that was chosen with it. */
interface NamedFile extends Blob {
  readonly name: string;
  readonly webkitRelativePath?: string;
}

const OPTIONS: OptionNames<DecodeFilesOptions> = { ...DECODE_OPTIONS, classes: true, onProgress: true, signal: true };
/** Pictures that are decoded at a time: browsers do it beside the page. */
const TOGETHER = 4;

/** Which of the files of a folder are meant. */
export interface LabelledFilesOptions {
  /** The part of a set that is divided into folders such as `train`, `val` and `test`; all of a folder that is not is for training. */
  readonly part?: PartName;
}

/**
 * Files of a folder that was chosen or dropped, each with the folder that it lies in as its label; what no person has put there is left out. Names
 * of parts mean what they mean to a folder in Node: throws E_DATA where there are several and none is asked for, or where nothing else says a class.
 */
export function labelledFiles(files: Iterable<NamedFile>, options: LabelledFilesOptions = {}): LabelledImage[] {
  refuseUnknownOptions<LabelledFilesOptions>(options, { part: true }, 'labelledFiles');
  const { part } = options;
  if (part !== undefined) choice(...PARTS).check(part, 'part');
  const placed = [...files].flatMap((image) => {
    const name = image.webkitRelativePath || image.name;
    const folders = name.split('/').slice(0, -1);
    return folders.length > 0 && !name.split('/').some(isHidden) ? [{ image, name, folders, label: folders[folders.length - 1] }] : [];
  });
  const partOf = divisionOf(placed.map(({ folders }) => folders));
  const found = new Set(placed.flatMap(({ folders }) => partOf(folders) ?? []));
  if (part === undefined && found.size > 1) {
    throw new HybridError(
      'E_DATA',
      `the folder holds parts of a set (${PARTS.filter((one) => found.has(one)).join(', ')}), which are not to be mixed`,
      "Take one of them: `labelledFiles(files, { part: 'train' })`.",
    );
  }
  return placed.flatMap(({ folders, ...image }) => {
    const own = partOf(folders);
    return own !== undefined && own === (part ?? own) ? [image] : [];
  });
}

/** Which part the files of a folder are of, by the folders that they lie in; undefined for those beside the folders of parts. */
function divisionOf(all: readonly (readonly string[])[]): (folders: readonly string[]) => PartName | undefined {
  // What all lie in says nothing, but for the folder of a class that is the only one.
  let base = 0;
  while (all.length > 0 && all.every((folders) => folders.length > base + 1 && folders[base] === all[0][base])) base++;
  const below = (folders: readonly string[]): PartName | undefined => {
    const classed = folders.length > base + 1 && !IMAGE_FOLDERS.test(folders[folders.length - 1]);
    return classed ? partOfName(folders[base]) : undefined;
  };
  const parts = new Set(all.map(below));
  const names = new Set(all.map((folders) => folders[base] ?? ''));
  if (!parts.has('train') && names.size > 1 && [...names].every((name) => partOfName(name) !== undefined)) {
    throw new HybridError(
      'E_DATA',
      `the folder holds ${[...names].sort().join(', ')}: names of parts of a set, and no class folders in a part for training`,
      'Put one folder for each class into train, or name the folders by what their pictures show.',
    );
  }
  // Class folders with test beside them are for training where test holds the same classes; else it is a class itself.
  const beside = new Set(all.flatMap((folders) => (below(folders) === undefined ? folders.slice(-1) : [])));
  const isDivided = parts.has('train') || all.every((folders) => below(folders) === undefined || beside.has(folders[folders.length - 1]));
  const others = parts.has('train') ? undefined : 'train';
  return (folders) => (isDivided ? (below(folders) ?? others) : 'train');
}

/**
 * Decodes pictures into a set in memory; those that cannot be decoded are left out and told. Throws E_DATA where none is left, or a label is none of
 * `classes`; an AbortError where the signal is aborted.
 */
export async function decodeFiles(
  images: readonly LabelledImage[],
  options: DecodeFilesOptions,
): Promise<{ readonly set: Dataset; readonly skipped: readonly SkippedImage[] }> {
  checkDecodeOptions(options, OPTIONS, 'decodeFiles');
  const { name = 'files', onProgress, signal, shape, classes = [...new Set(images.map(({ label }) => label))].sort(), ...how } = options;
  const unknown = images.find(({ label }) => !classes.includes(label));
  if (unknown)
    throw new HybridError('E_DATA', `there is no class ${JSON.stringify(unknown.label)} among ${classes.join(', ')}`, 'Name all classes.');
  const size = shape[0] * shape[1] * shape[2];
  const pixels: (Uint8Array | null)[] = new Array(images.length).fill(null);
  const skipped: SkippedImage[] = [];
  let next = 0;
  let done = 0;
  const decode = async (): Promise<void> => {
    for (let i = next++; i < images.length; i = next++) {
      signal?.throwIfAborted();
      const path = images[i].name ?? `picture ${i + 1}`;
      try {
        pixels[i] = await decodePicture(images[i].image, { ...how, shape, name: path });
      } catch (error) {
        if (!(error instanceof HybridError) || error.code !== 'E_DATA') throw error;
        skipped.push({ path, reason: error.message });
      }
      done++;
      onProgress?.(done, images.length);
    }
  };
  await Promise.all(Array.from({ length: TOGETHER }, decode));
  const left = images.flatMap((image, i) => (pixels[i] ? [{ ...image, pixels: pixels[i] }] : []));
  if (left.length === 0)
    throw new HybridError('E_DATA', `none of ${images.length} pictures can be decoded`, 'Give PNG, JPEG, WebP, GIF, BMP or AVIF files.');
  const bytes = new Uint8Array(shared(left.length * size));
  for (const [i, { pixels: own }] of left.entries()) bytes.set(own, i * size);
  const labels = Int32Array.from(left, ({ label }) => classes.indexOf(label));
  const set = memoryDataset({ name, shape, classes, labels, images: bytes });
  return { set: { ...set, fileOf: (index) => left[index]?.name }, skipped };
}
