// A reader module that fails on demand: `counter` (shared) counts calls of read over all workers, and calls from `from` to before
// `to` do what `fault` says. Image i is noise, the same as in noise-reader.mjs.

import { HybridError } from '../../dist/runtime/base/errors.js';

const FAULTS = {
  none() {},
  throw() {
    throw new TypeError('the reader is out of order');
  },
  exit() {
    process.exit(3);
  },
  hang() {
    for (;;);
  },
  data() {
    throw new HybridError('E_DATA', 'image 7 is damaged', 'Replace it.');
  },
};

export const openReader = ({ imageBytes, counter, fault, from, to, pauseMs = 0 }) => {
  const words = new Int32Array(counter);
  return {
    read(indices, out) {
      const call = Atomics.add(words, 0, 1);
      if (pauseMs > 0) Atomics.wait(words, 1, 0, pauseMs);
      if (call >= from && call < to) FAULTS[fault]();
      for (const [row, index] of indices.entries()) {
        for (let at = 0; at < imageBytes; at++) out[row * imageBytes + at] = Math.imul(index * imageBytes + at + 1, 0x9e3779b1) >>> 24;
      }
    },
  };
};
