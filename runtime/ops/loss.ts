// Softmax cross-entropy of integer labels, the loss of every model, and its gradient.

import { invariant } from '../base/errors.ts';
import type { TensorSpec } from '../ir/graph.ts';
import type { OpDefinition, ReferenceIO } from '../ir/op.ts';
import { accept, elementwiseCost, isActivation, isPerSampleIndex, parameter } from './check.ts';

const acceptLogits = (op: string, inputs: readonly TensorSpec[]): void => {
  const fits = inputs.length === 2 && isActivation(inputs[0]) && inputs[0].shape.length === 1 && isPerSampleIndex(inputs[1]);
  accept(op, inputs, fits, 'logits [n, K], labels i32 [n]');
};

/** Calls `visit` for every row with its logits, their log-sum-exp (the maximum taken out first) and its label. */
function forEachRow({ inputs }: ReferenceIO, visit: (row: number, logits: Float64Array, logSumExp: number, label: number) => void): void {
  const [rows, classes] = inputs[0].shape;
  const all = inputs[0].data as Float64Array;
  for (let row = 0; row < rows; row++) {
    const logits = all.subarray(row * classes, (row + 1) * classes);
    const label = inputs[1].data[row];
    invariant(label >= 0 && label < classes, `row ${row} has label ${label}, the logits have ${classes} classes`);
    const maximum = logits.reduce((a, b) => Math.max(a, b));
    const sum = logits.reduce((partial, z) => partial + Math.exp(z - maximum), 0);
    visit(row, logits, maximum + Math.log(sum), label);
  }
}

export const softmaxCrossEntropy: OpDefinition = {
  outputNames: ['loss', 'correct'],
  infer(inputs) {
    acceptLogits('softmaxCrossEntropy', inputs);
    return [parameter([1]), parameter([1])];
  },
  // The loss starts the chain: its own gradient is 1, and `correct` is not differentiable.
  gradient: (g, node, _dOutputs, wanted) => [wanted[0] ? g.one('softmaxCrossEntropyGrad', node.inputs) : null, null],
  reference(io) {
    const [loss, correct] = [io.outputs[0].data, io.outputs[1].data];
    forEachRow(io, (_row, logits, logSumExp, label) => {
      loss[0] += (logSumExp - logits[label]) / io.step.rows;
      // indexOf finds the lowest index of a tie.
      if (logits.indexOf(logits.reduce((a, b) => Math.max(a, b))) === label) correct[0] += 1;
    });
  },
  cost: elementwiseCost(20),
};

export const softmaxCrossEntropyGrad: OpDefinition = {
  infer(inputs) {
    acceptLogits('softmaxCrossEntropyGrad', inputs);
    return [inputs[0]];
  },
  reference(io) {
    const dLogits = io.outputs[0].data;
    forEachRow(io, (row, logits, logSumExp, label) => {
      const at = row * logits.length;
      for (let k = 0; k < logits.length; k++) dLogits[at + k] = (Math.exp(logits[k] - logSumExp) - (k === label ? 1 : 0)) / io.step.rows;
    });
  },
  cost: elementwiseCost(20),
};
