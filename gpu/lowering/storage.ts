// How tensors are stored on the device: the one place that knows which of them are f16, and what of a step is scaled.

import type { Precision } from '../../runtime/device.ts';
import { elementCount, type Graph, type TensorSpec, type Value, type ValueId } from '../../runtime/ir/graph.ts';
import type { Storage } from '../kernels/wgsl.ts';
import { gpuOps } from '../ops/index.ts';
import { isLossScaled } from './loss-scale.ts';

const BYTES: Record<Storage, number> = { f32: 4, unscaled: 4, f16: 2, i32: 4, u32: 4, bytes: 1 };

/** Bindings begin at multiples of this many bytes on every adapter, so tensors of flat ranges do. */
export const RANGE_ALIGNMENT = 256;

/** Bytes of a tensor that is stored so, with `rows` rows. */
export const storedBytes = (spec: TensorSpec, storage: Storage, rows: number): number =>
  elementCount(spec) * BYTES[storage] * (spec.perSample ? rows : 1);

/**
 * How each value of a graph is stored. In the tier `f16` whatever a layer makes of images is f16, and so are the gradients of it: temporaries per sample
 * with pixels, [h, w, C]. Sums of tiles ([2, C]), vectors (pooled features, a dense layer's outputs, logits, and their gradients), and
 * what is read from outside stay f32: they are small, and loss and statistics are made of them. All views of a tensor are stored as it is.
 */
export function storages(graph: Graph, precision: Precision): (id: ValueId) => Storage {
  const origin = new Map<ValueId, ValueId>();
  const originOf = (id: ValueId): ValueId => origin.get(id) ?? id;
  for (const { op, inputs, outputs } of graph.nodes) if (gpuOps[op].traits?.view) origin.set(outputs[0], originOf(inputs[0]));
  const observed = new Set(Object.values(graph.outputs).map(originOf));
  const gradients = new Set(isLossScaled(graph) ? graph.gradients.map(({ gradient }) => originOf(gradient)) : []);
  const halves = new Set<ValueId>();
  for (const { id, spec, role } of graph.values) {
    const isActivation = role === 'temporary' && spec.dtype === 'f32' && spec.perSample && spec.shape.length === 3;
    if (precision === 'f16' && isActivation && !observed.has(originOf(id))) halves.add(originOf(id));
  }
  return (id) => {
    if (gradients.has(originOf(id))) return 'unscaled';
    return halves.has(originOf(id)) ? 'f16' : plainStorage(graph.values[id]);
  };
}

/** Where no tier changes it. */
export const plainStorage = ({ spec }: Pick<Value, 'spec'>): Storage => (spec.dtype === 'u8' ? 'bytes' : spec.dtype);
