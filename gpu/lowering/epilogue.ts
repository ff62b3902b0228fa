// The operands of an epilogue, shared by conv, depthwise and normalize.

import type { Node, ValueId } from '../../runtime/ir/graph.ts';
import { type Epilogue, epilogueOutputs } from '../../runtime/ops/epilogue.ts';
import type { Lanes } from '../kernels/wgsl.ts';
import type { KernelOperands } from './kernel.ts';

export const epilogueOf = (node: Node): Epilogue => (node.attrs.epilogue ?? {}) as Epilogue;

/** y and, where the node has them, derivative and partials. */
export function epilogueOperands(node: Node, operands: KernelOperands, lanes: Lanes): KernelOperands {
  const names = epilogueOutputs(epilogueOf(node));
  const output = (name: (typeof names)[number]): ValueId | undefined =>
    names.includes(name) ? node.outputs[names.indexOf(name)] : undefined;
  return operands
    .write('y', output('y'), lanes)
    .write('derivative', output('derivative'), lanes)
    .write('partials', output('partials'), lanes);
}
