// The run of test/golden/run-0.1.0: a rate that plateaus reduce, patience that nearly ends, everything that a checkpoint remembers.

/** Squares of one of four colours, darker and lighter. */
function images(memoryDataset, name, count, first) {
  const labels = Int32Array.from({ length: count }, (_, i) => (i * 7 + first) % 4);
  const bytes = new Uint8Array(count * 8 * 8 * 3);
  let state = 12345 + first;
  for (let i = 0; i < bytes.length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const label = labels[Math.floor(i / 192)];
    bytes[i] = (state >>> 24) / 2 + (label === i % 3 || (label === 3 && i % 2 === 0) ? 60 : 0);
  }
  return memoryDataset({ name, shape: [8, 8, 3], classes: ['red', 'green', 'blue', 'striped'], labels, images: bytes });
}

export const runOptions = ({ buildModel, memoryDataset }) => ({
  model: buildModel('convmixer', { input: [8, 8, 3], classes: 4, dim: 4, depth: 1, kernel: 3, patch: 2, dropout: 0.1 }),
  train: images(memoryDataset, 'train', 43, 1),
  validation: images(memoryDataset, 'validation', 20, 2),
  test: images(memoryDataset, 'test', 30, 3),
  epochs: 9,
  batch: 8,
  learningRate: 0.3,
  weightDecay: 1e-3,
  plateau: { patience: 1, factor: 0.5, minLearningRate: 0.01 },
  earlyStopping: { patience: 6 },
  augment: { crop: 1, flip: true },
  seed: 2n ** 60n + 5n,
  bnMomentum: 0.9,
  recalibrateBn: 2,
});
