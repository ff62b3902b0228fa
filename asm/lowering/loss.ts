// Softmax cross-entropy to calls of asm/kernels/loss.ts.

import { channels } from './elementwise.ts';
import type { Lowering } from './lowering.ts';

export const loss = {
  softmaxCrossEntropy(node, { capacity, spec, address, scratch }) {
    const [logits, labels] = node.inputs;
    const losses = scratch(capacity * 8);
    const hits = scratch(capacity * 4);
    return [
      { kernel: 'lossRows', args: [address(logits), address(labels), losses, hits, channels(spec(logits))] },
      { kernel: 'lossMerge', args: [losses, hits, ...node.outputs.map(address)] },
    ];
  },
  softmaxCrossEntropyGrad(node, { spec, address }) {
    const [logits, labels] = node.inputs;
    return [
      { kernel: 'softmaxCrossEntropyGrad', args: [address(logits), address(labels), address(node.outputs[0]), channels(spec(logits))] },
    ];
  },
} satisfies Record<string, Lowering>;
