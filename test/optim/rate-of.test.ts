// A larger rate for the biases of batch normalisation: with SGD it is a larger step, and no more decay.

import { expect, test } from 'vitest';
import { airbench } from '../../runtime/model/airbench.ts';
import { normBiases } from '../../runtime/model/model.ts';
import { rateOf } from '../../runtime/optim/groups.ts';
import type { Checkpoint } from '../../runtime/train/checkpoint.ts';
import type { TrainOptions } from '../../runtime/train/events.ts';
import { MemoryStore, runPart, smallModel, smallOptions } from '../support/runs.ts';

test('the names are those of batch normalisation alone, and groups keep their other factors', () => {
  expect([...normBiases(smallModel)]).toEqual([
    'layers/batch_normalization/vars/1',
    'layers/batch_normalization_1/vars/1',
    'layers/batch_normalization_2/vars/1',
  ]);
  expect([...normBiases(airbench({ input: [32, 32, 3], classes: 10 }))]).toHaveLength(6);
  const groups = rateOf(new Set(['a', 'b']), 64, [
    { match: ({ name }) => name === 'a', frozen: true },
    { match: ({ name }) => name !== 'd', rateFactor: 0.5, decayFactor: 2 },
  ]);
  const of = (name: string) => {
    const { rateFactor = 1, decayFactor = 1, frozen = false } = groups.find(({ match }) => match({ name, shape: [] })) ?? {};
    return { rateFactor, decayFactor, frozen };
  };
  expect(of('a')).toEqual({ rateFactor: 1, decayFactor: 1, frozen: true });
  expect(of('b')).toEqual({ rateFactor: 32, decayFactor: 2 / 64, frozen: false });
  expect(of('c')).toEqual({ rateFactor: 0.5, decayFactor: 2, frozen: false });
  expect(of('d')).toEqual({ rateFactor: 1, decayFactor: 1, frozen: false });
});

test('a step of plain SGD moves these biases by as much more, and everything else as before', async () => {
  const step = async (changes: Partial<TrainOptions>): Promise<Checkpoint> => {
    const store = new MemoryStore();
    const sgd = { name: 'sgd', momentum: 0 } as const;
    await runPart(
      smallOptions({ store, epochs: 1, batch: 43, optimizer: sgd, learningRate: 0.01, weightDecay: 0.1, validation: null, ...changes }),
    );
    return (await store.load('last')) ?? expect.fail('nothing was saved');
  };
  const [plain, faster] = [await step({}), await step({ normBiasRate: 64 })];
  const biases = normBiases(smallModel);
  for (const [name, { data }] of plain.weights) {
    for (const [i, value] of data.entries()) {
      const other = faster.weights.get(name)?.data[i] ?? Number.NaN;
      // They begin at zero, so that nothing of them decays in the first step.
      if (biases.has(name)) expect(Math.abs(other - 64 * value)).toBeLessThan(1e-6);
      else expect(other).toBe(value);
    }
  }
});
