// The fields of an epilogue, shared by conv, depthwise and normalize: what asm/lib/epilogue.ts does.

import type { Node } from '../../runtime/ir/graph.ts';
import { samplesPerTile } from '../../runtime/ops/check.ts';
import { type Epilogue, epilogueOutputs } from '../../runtime/ops/epilogue.ts';
import { ACTIVATION_GELU, ACTIVATION_NONE, ACTIVATION_RELU } from '../abi/constants.ts';
import type { StructValues } from '../abi/kernels.ts';
import type { LoweringContext } from './lowering.ts';

const ACTIVATION = { none: ACTIVATION_NONE, gelu: ACTIVATION_GELU, relu: ACTIVATION_RELU };

export interface LoweredEpilogue {
  readonly fields: StructValues<'epilogue'>;
  /** Output pixels of a statistics tile; 0 where no sums are asked for. */
  readonly rowsPerTile: number;
}

/** Of a kernel that only stores its result. */
export const NO_EPILOGUE: LoweredEpilogue = {
  fields: { bias: undefined, activation: ACTIVATION_NONE, derivative: undefined, partials: undefined, rowsPerTile: 0 },
  rowsPerTile: 0,
};

/** `pixels`: those of a sample of the node's output. */
export function lowerEpilogue(node: Node, context: LoweringContext, pixels: number): LoweredEpilogue {
  const epilogue = (node.attrs.epilogue ?? {}) as Epilogue;
  const names = epilogueOutputs(epilogue);
  const output = (name: (typeof names)[number]) => (names.includes(name) ? context.address(node.outputs[names.indexOf(name)]) : undefined);
  const rowsPerTile = samplesPerTile(pixels) * pixels;
  return {
    fields: {
      bias: epilogue.bias ? context.address(node.inputs[2]) : undefined,
      activation: ACTIVATION[epilogue.activation ?? 'none'],
      derivative: output('derivative'),
      partials: output('partials'),
      rowsPerTile,
    },
    rowsPerTile: epilogue.stats ? rowsPerTile : 0,
  };
}
