// The argument words of an epilogue, shared by conv, depthwise and normalize: the class `Epilogue` of asm/lib/epilogue.ts.

import type { Node } from '../../runtime/ir/graph.ts';
import { samplesPerTile } from '../../runtime/ops/check.ts';
import { type Epilogue, epilogueOutputs } from '../../runtime/ops/epilogue.ts';
import type { LoweringContext, Word } from './lowering.ts';

const ACTIVATION = { none: 0, gelu: 1, relu: 2 };

export interface LoweredEpilogue {
  readonly words: readonly Word[];
  /** Output pixels of a statistics tile; 0 where no sums are asked for. */
  readonly rowsPerTile: number;
}

/** `pixels`: those of a sample of the node's output. */
export function lowerEpilogue(node: Node, context: LoweringContext, pixels: number): LoweredEpilogue {
  const epilogue = (node.attrs.epilogue ?? {}) as Epilogue;
  const names = epilogueOutputs(epilogue);
  const output = (name: (typeof names)[number]): number => (names.includes(name) ? context.address(node.outputs[names.indexOf(name)]) : 0);
  const rowsPerTile = samplesPerTile(pixels) * pixels;
  return {
    words: [
      epilogue.bias ? context.address(node.inputs[2]) : 0,
      ACTIVATION[epilogue.activation ?? 'none'],
      output('derivative'),
      output('partials'),
      rowsPerTile,
    ],
    rowsPerTile: epilogue.stats ? rowsPerTile : 0,
  };
}
