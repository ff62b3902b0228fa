import { describe, expect, it } from 'vitest';
import { initialize } from '../../runtime/model/init.ts';
import { openReferenceDevice } from '../../runtime/reference.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { randomBatch, smallModels } from '../support/models.ts';

describe('autodiff of whole models', () => {
  it.each(
    smallModels().map((model) => [model.arch, model] as const),
  )('%s: gradients equal central differences of the loss', async (_, model) => {
    const executable = await openReferenceDevice().compile(trainingGraphs(model), { capacity: 3, seed: 5n, withoutRules: ['all'] });
    for (const [name, data] of initialize(model, 3n)) await executable.write(name, data);
    const batch = randomBatch(model, 3);
    await executable.gradient(batch);
    const parameters = model.variables.filter(({ kind }) => kind === 'parameter');
    const gradients = new Map(parameters.map(({ name }) => [name, Float64Array.from(executable.exact(`gradients/${name}`))]));

    const h = 1e-5;
    let compared = 0;
    for (const { name } of parameters) {
      const gradient = gradients.get(name) as Float64Array;
      // The element with the largest gradient, and one in the middle.
      const largest = gradient.reduce((best, g, i) => (Math.abs(g) > Math.abs(gradient[best]) ? i : best), 0);
      for (const i of new Set([largest, gradient.length >> 1])) {
        const weights = executable.exact(name);
        const w = weights[i];
        weights[i] = w + h;
        const { loss: above } = await executable.gradient(batch);
        weights[i] = w - h;
        const { loss: below } = await executable.gradient(batch);
        weights[i] = w;
        const numeric = (above - below) / (2 * h);
        expect(Math.abs(numeric - gradient[i]), `${name}[${i}]: ${gradient[i]} by rule, ${numeric} by differences`).toBeLessThan(
          1e-7 + 2e-5 * Math.abs(gradient[i]),
        );
        compared++;
      }
    }
    expect(compared).toBeGreaterThan(parameters.length);
  });

  it('asks for no gradient of the images', () => {
    for (const model of smallModels()) {
      const { train } = trainingGraphs(model);
      const first = train.nodes.find((node) => node.op === 'conv');
      const hasBatchNormBefore = model.arch === 'conv-pooling';
      const gradInputs = train.nodes.filter((node) => node.op === 'convGradInput' && node.label === first?.label);
      expect(gradInputs.length, model.arch).toBe(hasBatchNormBefore ? 1 : 0);
    }
  });
});
