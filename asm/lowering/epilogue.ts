// The fields of an epilogue, shared by conv, depthwise and normalize: what asm/lib/epilogue.ts does.

import type { Node, ValueId } from '../../runtime/ir/graph.ts';
import { type Activation, parametersOf } from '../../runtime/ops/activations.ts';
import { samplesPerTile } from '../../runtime/ops/check.ts';
import type { Epilogue } from '../../runtime/ops/epilogue.ts';
import { activationCode } from '../abi/elementwise.ts';
import type { StructValues } from '../abi/fields.ts';
import type { LoweringContext } from './lowering.ts';

function lowerActivation(name?: Activation, given?: Epilogue['parameters']): StructValues<'activation'> {
  const [first = 0, second = 0, third = 0] = name ? parametersOf(name, given) : [];
  return { code: activationCode(name), first, second, third };
}

export interface LoweredEpilogue {
  readonly fields: StructValues<'epilogue'>;
  /** Output pixels of a statistics tile; 0 where no sums are asked for. */
  readonly rowsPerTile: number;
}

/** Of a kernel that only stores its result. */
export const NO_EPILOGUE: LoweredEpilogue = {
  fields: { bias: undefined, activation: lowerActivation(), derivative: undefined, partials: undefined, rowsPerTile: 0 },
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
      activation: lowerActivation(epilogue.activation, epilogue.parameters),
      derivative: at(node.results.derivative),
      partials: at(node.results.partials),
      rowsPerTile,
    },
    rowsPerTile: epilogue.stats ? rowsPerTile : 0,
  };
}
