// Softmax cross-entropy to kernels of gpu/kernels/loss.ts.

import { channelsOf } from '../../runtime/ops/check.ts';
import * as kernels from '../kernels/loss.ts';
import { foldedGroups } from '../kernels/wgsl.ts';
import { KernelOperands } from './kernel.ts';
import type { Lowering } from './lowering.ts';

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
    return new KernelOperands('softmaxCrossEntropyGrad', context)
      .read('logits', logits)
      .read('labels', labels)
      .write('dlogits', node.outputs[0])
      .dispatch(kernels.softmaxCrossEntropyGrad(channelsOf(context.spec(logits).shape)), (rows) =>
        foldedGroups(rows, kernels.GRADIENT_ROWS),
      );
  },
} satisfies Record<string, Lowering>;
