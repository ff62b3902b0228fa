// Takes the weights after each of the last epochs while a run goes on, by `onEpoch`, and evaluates their mean beside the last ones.
//
//   node examples/average-weights.mjs

import { buildModel, evaluate, openDevice, train } from '@hybrid-train/hybrid';
import { syntheticSource } from '@hybrid-train/hybrid/data';

const { train: images, test } = syntheticSource();
const model = buildModel('convmixer', { input: images.shape, classes: images.classes.length, dim: 16, depth: 2 });
const [EPOCHS, AVERAGED] = [4, 2];

const device = await openDevice('wasm');
try {
  const sums = new Map();
  let last;
  const run = train({
    ...{ device, model, train: images, epochs: EPOCHS, batch: 32, bnMomentum: 0.9 },
    async onEpoch({ epoch, train: { loss } }, state) {
      console.log(`epoch ${epoch}: loss ${loss.toFixed(3)}`);
      if (epoch <= EPOCHS - AVERAGED) return; // nothing is read
      last = await state.weights();
      for (const [name, values] of last) {
        const sum = sums.get(name) ?? new Float32Array(values.length);
        sums.set(
          name,
          sum.map((value, i) => value + values[i] / AVERAGED),
        );
      }
    },
  });
  await run.result;
  for (const [what, weights] of [
    ['the last weights', last],
    [`the mean of ${AVERAGED} epochs`, sums],
  ]) {
    const { accuracy } = await evaluate({ device, model, weights, dataset: test });
    console.log(`${what}: ${(100 * accuracy).toFixed(1)} % of the test images`);
  }
} finally {
  await device.close();
}
