// Takes the weights behind each of the last epochs while a run goes on, by `onEpoch`, and evaluates their mean beside those of the best epoch.
//
//   node examples/average-weights.mjs

import { buildModel, evaluate, openDevice, train } from '@hybrid-train/hybrid';
import { syntheticSource } from '@hybrid-train/hybrid/data';

const { train: images, test } = syntheticSource();
const model = buildModel('convmixer', { input: images.shape, classes: images.classes.length, dim: 16, depth: 2 });
const [EPOCHS, AVERAGED] = [4, 2];

const device = await openDevice('wasm');
try {
  /** @type {Map<string, Float32Array>} */
  const sums = new Map();
  const run = train({
    ...{ device, model, train: images, epochs: EPOCHS, batch: 32, bnMomentum: 0.9 },
    async onEpoch({ epoch, train: { loss } }, state) {
      console.log(`epoch ${epoch}: loss ${loss.toFixed(3)}`);
      if (epoch <= EPOCHS - AVERAGED) return; // nothing is read
      for (const [name, values] of await state.weights()) {
        const sum = sums.get(name) ?? new Float32Array(values.length);
        for (const [i, value] of values.entries()) sum[i] += value / AVERAGED;
        sums.set(name, sum);
      }
    },
  });
  const best = await run.weights;
  if (test) {
    const accuracyOf = async (/** @type {ReadonlyMap<string, Float32Array>} */ weights) => {
      const { accuracy } = await evaluate({ device, model, weights, dataset: test });
      return `${(100 * accuracy).toFixed(1)} %`;
    };
    console.log(
      `test accuracy: ${await accuracyOf(best)} by the best epoch, ${await accuracyOf(sums)} by the mean of the last ${AVERAGED}`,
    );
  }
} finally {
  await device.close();
}
