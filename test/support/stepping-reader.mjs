// A reader module in step with a device: `state` (shared) counts the rows that reads have begun and ended with, and the steps that the device has
// begun. A read of a batch behind the first one ends only when the device has begun the step before.

const [ROWS_BEGUN, ROWS_READ, STEPS_BEGUN] = [0, 1, 2];

export const openReader = ({ state, batch }) => {
  const words = new Int32Array(state);
  return {
    // Looked at from timers: a thread that stood still could not say that it is through with the batch before.
    async read(indices, out) {
      const step = Math.floor(Atomics.add(words, ROWS_BEGUN, indices.length) / batch);
      while (Atomics.load(words, STEPS_BEGUN) < step) await new Promise((resolve) => setTimeout(resolve, 2));
      out.fill(step);
      Atomics.add(words, ROWS_READ, indices.length);
    },
  };
};
