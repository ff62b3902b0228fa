// Softmax cross-entropy to kernels of gpu/kernels/loss.ts.

import { channelsOf } from '../../runtime/ops/check.ts';
import * as kernels from '../kernels/loss.ts';
import { foldedGroups } from '../kernels/wgsl.ts';
import type { GpuNode } from '../ops/index.ts';
import { KernelOperands } from './kernel.ts';
import type { Dispatch, LoweringContext, Lowerings } from './lowering.ts';
import { lossScale } from './step.ts';

export const loss = {
  softmaxCrossEntropy(node, context) {
    const { logits, labels } = node.args;
    return new KernelOperands('softmaxCrossEntropy', context)
      .read('logits', logits)
      .read('labels', labels)
      .write('loss', node.results.loss)
      .write('correct', node.results.correct)
      .dispatch(kernels.softmaxCrossEntropy(channelsOf(context.spec(logits).shape), context.features.barriers === true, node.attrs), () => [
        1, 1, 1,
      ]);
  },
  softmaxCrossEntropyGrad: (node, context) => lowerGradient(node, undefined, context),
  softmaxCrossEntropyGradScaled: (node, context) => lowerGradient(node, lossScale(1), context),
} satisfies Partial<Lowerings>;

function lowerGradient(
  { args: { logits, labels }, results: { dlogits }, attrs }: GpuNode<'softmaxCrossEntropyGrad'>,
  scale: string | undefined,
  context: LoweringContext,
): Dispatch[] {
  return new KernelOperands('softmaxCrossEntropyGrad', context)
    .read('logits', logits)
    .read('labels', labels)
    .write('dlogits', dlogits)
    .dispatch(kernels.softmaxCrossEntropyGrad(channelsOf(context.spec(logits).shape), scale, attrs), (rows) =>
      foldedGroups(rows, kernels.GRADIENT_ROWS),
    );
}
