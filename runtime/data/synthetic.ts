// The built-in set: ten classes of shapes and textures, drawn by seeded code, for a machine without CIFAR-10 and for tests.
// The class is in the shape alone. Colours of figure and ground, place, size, period, shading, specks and noise are random and
// the figure is as often lighter as darker than the ground, so that no linear function of the pixels tells the classes apart;
// a small ConvMixer learns them in a few epochs. All classes are symmetric left to right, so flips are allowed.
//
// Only + − × ÷, comparisons and floor are used, no sine and the like: the bytes are the same on every engine.

import { refuseUnknownOptions } from '../base/kinds.ts';
import { PURPOSE, philox4x32, philoxKey } from '../base/philox.ts';
import { shared } from '../base/shared.ts';
import type { DataSource, Dataset } from './dataset.ts';
import { memoryDataset } from './memory-dataset.ts';

/** How much of the built-in set is drawn. */
export interface SyntheticOptions {
  /** Number of images; 5,000 and 1,000 by default. A smaller set is the beginning of a larger one. */
  readonly train?: number;
  readonly test?: number;
  readonly seed?: bigint;
}

const SIDE = 32;
const IMAGE_BYTES = SIDE * SIDE * 3;

/** Draws the set (below a second for the default size). Labels go round: image i is of class i mod 10. */
export function syntheticSource(options: SyntheticOptions = {}): DataSource {
  refuseUnknownOptions<SyntheticOptions>(options, { train: true, test: true, seed: true }, 'syntheticSource');
  const { train = 5_000, test = 1_000, seed = 0n } = options;
  return { train: drawPart('training', 0, train, seed), test: test > 0 ? drawPart('test', 1, test, seed) : null, mixed: true };
}

function drawPart(name: string, part: number, size: number, seed: bigint): Dataset {
  const labels = Uint8Array.from({ length: size }, (_, i) => i % FIGURES.length);
  const images = new Uint8Array(shared(size * IMAGE_BYTES));
  const random = new RandomBytes(seed);
  for (let i = 0; i < size; i++) {
    random.seek(i, part);
    drawImage(FIGURES[labels[i]].contains, random, images.subarray(i * IMAGE_BYTES, (i + 1) * IMAGE_BYTES));
  }
  const classes = FIGURES.map((figure) => figure.name);
  return memoryDataset({ name: `synthetic ${name} set`, shape: [SIDE, SIDE, 3], classes, labels, images });
}

/** Whether a point belongs to a figure. The figure fills −1 … 1 in both directions, y downwards; `stripe` is 0 or 1 along each axis. */
type Contains = (x: number, y: number, stripeX: number, stripeY: number) => boolean;

const inSquare = (x: number, y: number): boolean => abs(x) < 0.9 && abs(y) < 0.9;

const FIGURES: readonly { readonly name: string; readonly contains: Contains }[] = [
  { name: 'disk', contains: (x, y) => x * x + y * y < 1 },
  { name: 'ring', contains: (x, y) => x * x + y * y < 1 && x * x + y * y > 0.35 },
  { name: 'square', contains: inSquare },
  { name: 'frame', contains: (x, y) => inSquare(x, y) && !(abs(x) < 0.5 && abs(y) < 0.5) },
  { name: 'triangle', contains: (x, y) => y < 0.9 && abs(x) < (y + 1) / 2 },
  { name: 'plus', contains: (x, y) => abs(x) < 1 && abs(y) < 1 && (abs(x) < 0.3 || abs(y) < 0.3) },
  { name: 'cross', contains: (x, y) => abs(x) < 1 && abs(y) < 1 && abs(abs(x) - abs(y)) < 0.35 },
  { name: 'horizontal stripes', contains: (x, y, _, stripeY) => inSquare(x, y) && stripeY === 0 },
  { name: 'vertical stripes', contains: (x, y, stripeX) => inSquare(x, y) && stripeX === 0 },
  { name: 'checkerboard', contains: (x, y, stripeX, stripeY) => inSquare(x, y) && stripeX === stripeY },
];

function abs(x: number): number {
  return x < 0 ? -x : x;
}

const SPECKS = 6;
/** Smallest sum over the channels of the differences between figure and ground. */
const CONTRAST = 150;
const NOISE = 24;

function drawImage(contains: Contains, random: RandomBytes, image: Uint8Array): void {
  const ground = randomColour(random);
  let figure = randomColour(random);
  while (difference(ground, figure) < CONTRAST) figure = randomColour(random);
  // Both lie apart from the border by at most a quarter of the figure.
  const radius = 7 + random.unit() * 5;
  const reach = SIDE / 2 - radius * 0.75;
  const centreX = SIDE / 2 + (2 * random.unit() - 1) * reach;
  const centreY = SIDE / 2 + (2 * random.unit() - 1) * reach;
  const stripe = 2 + random.below(2);
  const phaseX = random.below(2 * stripe);
  const phaseY = random.below(2 * stripe);
  const shadeX = (random.unit() - 0.5) * 2;
  const shadeY = (random.unit() - 0.5) * 2;

  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      const inside = contains(
        (x + 0.5 - centreX) / radius,
        (y + 0.5 - centreY) / radius,
        Math.floor((x + phaseX) / stripe) % 2,
        Math.floor((y + phaseY) / stripe) % 2,
      );
      put(image, x, y, inside ? figure : ground, shadeX * (x - SIDE / 2) + shadeY * (y - SIDE / 2));
    }
  }
  for (let k = 0; k < SPECKS; k++) drawSpeck(random, image);
  for (let i = 0; i < IMAGE_BYTES; i++) image[i] = clamp(image[i] + ((random.byte() - 127.5) * NOISE) / 127.5);
}

/** A patch of 2×2 pixels of any colour, anywhere. */
function drawSpeck(random: RandomBytes, image: Uint8Array): void {
  const colour = randomColour(random);
  const left = random.below(SIDE - 1);
  const top = random.below(SIDE - 1);
  for (let i = 0; i < 4; i++) put(image, left + (i & 1), top + (i >> 1), colour, 0);
}

type Colour = readonly [number, number, number];

const randomColour = (random: RandomBytes): Colour => [random.byte(), random.byte(), random.byte()];
const difference = (a: Colour, b: Colour): number => abs(a[0] - b[0]) + abs(a[1] - b[1]) + abs(a[2] - b[2]);

function put(image: Uint8Array, x: number, y: number, colour: Colour, shade: number): void {
  const at = (y * SIDE + x) * 3;
  for (let c = 0; c < 3; c++) image[at + c] = clamp(colour[c] + shade);
}

const clamp = (value: number): number => (value < 0 ? 0 : value > 255 ? 255 : Math.floor(value));

/** Bytes of the Philox blocks at counter (image, part, purpose 3, 0, 1, 2 …), words in order, each from its lowest byte. */
class RandomBytes {
  readonly #key: readonly number[];
  readonly #counter = [0, 0, PURPOSE.synthetic, 0];
  readonly #words = new Uint32Array(4);
  #next = 16;

  constructor(seed: bigint) {
    this.#key = philoxKey(seed);
  }

  /** Starts anew, for one image. */
  seek(image: number, part: number): void {
    this.#counter[0] = image;
    this.#counter[1] = part;
    this.#counter[3] = 0;
    this.#next = 16;
  }

  byte(): number {
    if (this.#next === 16) {
      philox4x32(this.#key, this.#counter, this.#words);
      this.#counter[3]++;
      this.#next = 0;
    }
    const at = this.#next++;
    return (this.#words[at >> 2] >>> ((at & 3) * 8)) & 0xff;
  }

  /** From 0 to below 1, in steps of 2⁻¹⁶. */
  unit(): number {
    return (this.byte() * 256 + this.byte()) / 65_536;
  }

  /** A whole number from 0 to below `count`. */
  below(count: number): number {
    return Math.floor(this.unit() * count);
  }
}
