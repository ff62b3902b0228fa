// Operations on tensors as Keras writes them into its files, and the layers that compute the same.

import { expect, it } from 'vitest';
import { operationOf } from '../../runtime/interop/keras-operations.ts';

const call = { args: [{ class_name: '__keras_tensor__', config: { keras_history: ['x', 0, 0] } }], kwargs: {} };

it('ELU keeps its alpha', () => {
  expect(operationOf('Elu', { name: 'elu', alpha: 0.5 }, call)?.layer).toEqual({ type: 'ELU', config: { alpha: 0.5 } });
  expect(operationOf('TFOpLambda', { name: 'elu', function: 'nn.elu' }, [['x', 0, 0, {}]])?.layer).toEqual({
    type: 'ELU',
    config: { alpha: 1 },
  });
});

it('the largest of the pixels and of a number to begin with is no layer', () => {
  const settings = { name: 'max', axis: [1, 2], keepdims: false };
  expect(operationOf('Max', { ...settings, initial: null }, call)?.layer.type).toBe('GlobalMaxPooling2D');
  expect(operationOf('Max', { ...settings, initial: 0 }, call)).toBeUndefined();
});
