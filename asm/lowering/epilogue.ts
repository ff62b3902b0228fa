// The fields of an epilogue, shared by conv, depthwise and normalize: what asm/lib/epilogue.ts does.

import type { Node, ValueId } from '../../runtime/ir/graph.ts';
import { samplesPerTile } from '../../runtime/ops/check.ts';
import type { Epilogue } from '../../runtime/ops/epilogue.ts';
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
  const at = (id: ValueId | undefined) => (id === undefined ? undefined : context.address(id));
  const rowsPerTile = samplesPerTile(pixels) * pixels;
  return {
    fields: {
      bias: at(node.args.bias as ValueId | undefined),
      activation: ACTIVATION[epilogue.activation ?? 'none'],
      derivative: at(node.results.derivative),
      partials: at(node.results.partials),
      rowsPerTile,
    },
    rowsPerTile: epilogue.stats ? rowsPerTile : 0,
  };
}
