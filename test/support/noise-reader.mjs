// A reader module as a dataset may have one: image i is noise, a function of i.

export const openReader = ({ imageBytes }) => ({
  async read(indices, out) {
    await new Promise((resolve) => setImmediate(resolve));
    for (const [row, index] of indices.entries()) {
      for (let at = 0; at < imageBytes; at++) out[row * imageBytes + at] = Math.imul(index * imageBytes + at + 1, 0x9e3779b1) >>> 24;
    }
  },
});
