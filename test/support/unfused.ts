// What an epilogue stands for, written with the ops that fusion found.

import type { Activation } from '../../runtime/ops/activations.ts';
import { activation } from '../../runtime/ops/check.ts';
import type { Epilogue } from './op-case.ts';
import { runReference } from './reference.ts';
import { type TestTensor, zeros } from './tensors.ts';

/** All outputs of a node with this epilogue whose plain result is `plain`. */
export function unfusedEpilogue(plain: TestTensor, bias: TestTensor, epilogue: Epilogue): TestTensor[] {
  const [u] = epilogue.bias ? runReference('bias', [plain, bias]) : [plain];
  const [y] = epilogue.activation ? runReference(epilogue.activation, [u], epilogue.parameters) : [u];
  const outputs = [y];
  if (epilogue.derivative) {
    const ones = { ...u, data: new Float64Array(u.data.length).fill(1) };
    outputs.push(runReference(`${epilogue.activation as Activation}Grad`, [ones, u], { from: 'input', ...epilogue.parameters })[0]);
  }
  if (epilogue.stats) outputs.push(tileSums(y));
  return outputs;
}

/** Mean and Σ(y − mean)² of each tile, one sample after the other: the definition in ARCHITECTURE.md, word for word. */
function tileSums(y: TestTensor): TestTensor {
  const [rows, ...shape] = y.shape;
  const channels = shape[shape.length - 1];
  const pixels = shape.slice(0, -1).reduce((product, n) => product * n, 1);
  const tile = Math.max(1, Math.floor(64 / pixels));
  const partials = zeros(activation([2, channels]), rows);
  for (let entry = 0; entry * tile < rows; entry++) {
    const [first, end] = [entry * tile, Math.min((entry + 1) * tile, rows)].map((n) => n * pixels);
    for (let c = 0; c < channels; c++) {
      let mean = 0;
      for (let p = first; p < end; p++) mean += y.data[p * channels + c] / (end - first);
      let squares = 0;
      for (let p = first; p < end; p++) squares += (y.data[p * channels + c] - mean) ** 2;
      partials.data[2 * entry * channels + c] = mean;
      partials.data[(2 * entry + 1) * channels + c] = squares;
    }
  }
  return partials;
}
