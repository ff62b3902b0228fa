// Random choices for tests with hostile input: everything follows from a seed, which failures print.

import { philox4x32 } from '../../runtime/base/philox.ts';

export class Random {
  readonly #seed: number;
  readonly #words = new Uint32Array(4);
  #draws = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** From 0 to below 1. */
  fraction(): number {
    philox4x32([this.#seed, 0], [this.#draws++, 0, 0, 0], this.#words);
    return this.#words[0] / 2 ** 32;
  }

  /** From 0 to below `count`. */
  below(count: number): number {
    return Math.floor(this.fraction() * count);
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)];
  }

  /** A copy with a few changes: bits flipped, bytes set, pieces taken out, doubled, moved, or the end cut off. */
  mutate(bytes: Uint8Array): Uint8Array {
    let result = Buffer.from(bytes);
    for (let changes = 1 + this.below(4); changes > 0; changes--) {
      const at = this.below(result.length + 1);
      const length = this.below(Math.min(64, result.length - at) + 1);
      const piece = Buffer.from(result.subarray(at, at + length));
      switch (this.below(7)) {
        case 0:
          if (at < result.length) result[at] ^= 1 << this.below(8);
          break;
        case 1:
          if (at < result.length) result[at] = this.pick([0, 1, 0x7f, 0x80, 0xff, 0x22, 0x5c, 0x7b, this.below(256)]);
          break;
        case 2:
          result = Buffer.concat([result.subarray(0, at), result.subarray(at + length)]);
          break;
        case 3:
          result = Buffer.concat([result.subarray(0, at), piece, result.subarray(at)]);
          break;
        case 4: {
          const to = this.below(result.length + 1);
          result = Buffer.concat([result.subarray(0, to), piece, result.subarray(to)]);
          break;
        }
        case 5:
          result = Buffer.from(result.subarray(0, at));
          break;
        case 6:
          result = Buffer.concat([result.subarray(0, at), Buffer.from(this.pick(TOKENS)), result.subarray(at + length)]);
          break;
      }
    }
    return result;
  }

  mutateText(text: string): string {
    return Buffer.from(this.mutate(Buffer.from(text))).toString();
  }
}

/** What parsers trip over. */
const TOKENS = [
  ...[
    '0',
    '-1',
    '1e3',
    '1e309',
    '-0',
    '0.5',
    '18446744073709551615',
    '9007199254740993',
    'NaN',
    'null',
    'true',
    '[]',
    '{}',
    '""',
    '"\\ud800"',
  ],
  ...['__proto__', 'constructor', 'prototype', 'toString', '__metadata__', 'dtype', 'shape', 'data_offsets', 'F32', 'I64', 'BF16'],
  ...[
    '../',
    '/',
    '\\',
    '\0',
    '\n',
    ':',
    ',',
    '{',
    '}',
    '[',
    ']',
    '"',
    "'",
    '&a',
    '*a',
    '!!js/function',
    '<<',
    '|',
    '>',
    '%',
    '#',
    '- ',
    '? ',
  ],
  ...['🦊', '\u202e', '\ufeff', '\u0000', 'é', 'ﬀ'],
];
