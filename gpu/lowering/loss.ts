// Softmax cross-entropy to kernels of gpu/kernels/loss.ts.

import { channelsOf } from '../../runtime/ops/check.ts';
import * as kernels from '../kernels/loss.ts';
import { foldedGroups } from '../kernels/wgsl.ts';
import { KernelOperands } from './kernel.ts';
import type { Lowering } from './lowering.ts';
import { lossScale } from './step.ts';

export const loss = {
  softmaxCrossEntropy(node, context) {
    const [logits, labels] = node.inputs;
    return new KernelOperands('softmaxCrossEntropy', context)
      .read('logits', logits)
      .read('labels', labels)
      .write('loss', node.outputs[0])
      .write('correct', node.outputs[1])
      .dispatch(kernels.softmaxCrossEntropy(channelsOf(context.spec(logits).shape), context.features.barriers === true), () => [1, 1, 1]);
  },
  softmaxCrossEntropyGrad(node, context) {
    const [logits, labels] = node.inputs;
    const text = kernels.softmaxCrossEntropyGrad(channelsOf(context.spec(logits).shape), node.attrs.scaled ? lossScale(1) : undefined);
    return new KernelOperands('softmaxCrossEntropyGrad', context)
      .read('logits', logits)
      .read('labels', labels)
      .write('dlogits', node.outputs[0])
      .dispatch(text, (rows) => foldedGroups(rows, kernels.GRADIENT_ROWS));
  },
} satisfies Record<string, Lowering>;
