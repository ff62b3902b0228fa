// The operands of an epilogue, shared by conv, depthwise and normalize.

import type { Node } from '../../runtime/ir/graph.ts';
import type { Epilogue as EpilogueAttrs } from '../../runtime/ops/epilogue.ts';
import type { Epilogue } from '../kernels/epilogue.ts';
import type { Lanes } from '../kernels/wgsl.ts';
import type { KernelOperands } from './kernel.ts';

type WithEpilogue = Pick<Node, 'args' | 'results' | 'attrs'>;

export const epilogueOf = ({ args, attrs }: WithEpilogue): Epilogue => ({
  ...(attrs.epilogue as EpilogueAttrs | undefined),
  ...(args.bias === undefined ? {} : { bias: true }),
});

/** y and, where the node has them, derivative and partials. */
export function epilogueOperands({ results }: WithEpilogue, operands: KernelOperands, lanes: Lanes): KernelOperands {
  return operands.write('y', results.y, lanes).write('derivative', results.derivative, lanes).write('partials', results.partials, lanes);
}
