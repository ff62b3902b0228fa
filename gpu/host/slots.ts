// Which buffers a device holds, and where in them every tensor lies.
//
// Parameters, gradients, what the optimizer keeps of them and the statistics are flat ranges, a buffer each, with the same offsets in
// parameters, gradients and slots; parameters without a gradient come last. Inputs and what outlives a program (graph outputs, what the update phase reads) have buffers of their
// own. All else shares slots, buffers that tensors use one after the other: one tensor of a graph at a time, because WebGPU
// lets no dispatch read and write the same buffer, not even different parts of it.

import { invariant } from '../../runtime/base/errors.ts';
import { ceilTo } from '../../runtime/base/units.ts';
import { isSlot, trainedFirst } from '../../runtime/compile/plan.ts';
import { byteLength, type Graph, type Node, type StateKind, type TensorSpec, type Value, type ValueId } from '../../runtime/ir/graph.ts';
import type { Dispatch, LoweringContext, Operand } from '../lowering/lowering.ts';
import { RANGE_ALIGNMENT, storedBytes } from '../lowering/storage.ts';
import { gpuOps } from '../ops/index.ts';

/** Sizes are whole vectors, so that kernels can bind any tensor as such. */
const SIZE_ALIGNMENT = 16;

/** A node with its dispatches and the sizes of its scratch, as the lowering gave them. */
export interface LoweredNode {
  readonly node: Node;
  readonly dispatches: readonly Dispatch[];
  /** Bytes of `{ scratch: i }`. */
  readonly scratch: readonly number[];
}

export interface LoweredGraph {
  readonly graph: Graph;
  readonly nodes: readonly LoweredNode[];
  readonly storage: LoweringContext['storage'];
}

/** A part of a buffer. */
export interface Region {
  /** Index in `buffers`. */
  readonly buffer: number;
  readonly offset: number;
  readonly bytes: number;
}

export interface StateRegion extends Region {
  readonly spec: TensorSpec;
  readonly kind: StateKind;
}

export interface BufferPlan {
  readonly buffers: readonly { readonly label: string; readonly bytes: number }[];
  readonly bytes: number;
  readonly state: ReadonlyMap<string, StateRegion>;
  readonly inputs: ReadonlyMap<string, Region & { readonly spec: TensorSpec }>;
  /** Whole flat ranges: `parameters`, `gradients`, `statistics` … */
  readonly ranges: ReadonlyMap<string, Region>;
  /** Where the gradient of a parameter lies. */
  readonly gradients: ReadonlyMap<string, Region>;
  /** What an operand of the n-th node of the g-th graph is. */
  region(graph: number, node: number, operand: Operand): Region;
}

/** What one or more values (a tensor and its views) or a piece of scratch use, from the first node to the last. */
interface Storage {
  readonly ids: readonly ValueId[];
  readonly bytes: number;
  readonly first: number;
  readonly last: number;
}

export function planBuffers(graphs: readonly LoweredGraph[], capacity: number): BufferPlan {
  const buffers: { label: string; bytes: number }[] = [];
  const own = (label: string, bytes: number): Region => {
    const size = Math.max(SIZE_ALIGNMENT, ceilTo(bytes, SIZE_ALIGNMENT));
    buffers.push({ label, bytes: size });
    return { buffer: buffers.length - 1, offset: 0, bytes: size };
  };

  // State and inputs: equal names are the same tensor in every graph.
  const all = graphs.flatMap(({ graph }) => graph.values);
  const state = new Map<string, StateRegion>();
  const ranges = new Map<string, Region>();
  const flat = (label: string, kind: StateKind): void => {
    const values = trainedFirst(
      graphs.map(({ graph }) => graph),
      unique(all.filter((value) => value.state === kind)),
    );
    const bytes = values.reduce((sum, { spec }) => sum + ceilTo(byteLength(spec, 1), RANGE_ALIGNMENT), 0);
    if (!bytes) return;
    const range = own(label, bytes);
    ranges.set(label, range);
    let offset = 0;
    for (const { name, spec } of values) {
      state.set(name, { buffer: range.buffer, offset, bytes: ceilTo(byteLength(spec, 1), SIZE_ALIGNMENT), spec, kind });
      offset += ceilTo(byteLength(spec, 1), RANGE_ALIGNMENT);
    }
  };
  flat('parameters', 'parameter');
  flat('statistics', 'statistic');
  const slotKinds = new Set(all.flatMap(({ state }) => (isSlot(state) ? [state] : [])));
  for (const kind of slotKinds) flat(kind, kind);
  flat('counters', 'counter');
  flat('scales', 'scale');
  const gradients = new Map<string, Region>();
  const trained = new Set(graphs.flatMap(({ graph }) => graph.gradients.map(({ parameter }) => graph.values[parameter].name)));
  if (trained.size > 0) {
    const places = [...trained].map((name) => [name, state.get(name) as StateRegion] as const);
    const range = own(
      'gradients',
      places.reduce((sum, [, { spec }]) => sum + ceilTo(byteLength(spec, 1), RANGE_ALIGNMENT), 0),
    );
    ranges.set('gradients', range);
    for (const kind of slotKinds) invariant((ranges.get(kind)?.bytes ?? 0) <= range.bytes, `${kind} is larger than the gradients`);
    for (const [name, { offset, bytes }] of places) gradients.set(name, { buffer: range.buffer, offset, bytes });
  }
  /** Of each graph: its batch statistics lie as the moving ones do. */
  const batchStatistics = graphs.map(({ graph, nodes }) => {
    const whole = nodes.map(({ node }) => node).find(({ op, attrs }) => op === 'movingAverages' && attrs.whole);
    const moving = ranges.get('statistics');
    if (!whole || !moving) return null;
    const range = own(`${graph.name} batch statistics`, moving.bytes);
    const places = whole.updates.map((id, i) => {
      const { offset, bytes } = state.get(graph.values[id].name) as StateRegion;
      return [(whole.args.batch as readonly ValueId[])[i], { buffer: range.buffer, offset, bytes }] as const;
    });
    const statistics = [...state.values()].filter(({ kind }) => kind === 'statistic').length;
    invariant(places.length === statistics, `${places.length} of ${statistics} statistics are averaged as if they were all`);
    return { range, places: new Map<ValueId, Region>(places) };
  });
  const inputs = new Map<string, Region & { spec: TensorSpec }>();
  for (const { name, spec } of unique(all.filter(({ role }) => role === 'input')))
    inputs.set(name, { ...own(name, byteLength(spec, capacity)), spec });

  const values = graphs.map(() => new Map<ValueId, Region>());
  const scratch = graphs.map(() => new Map<string, Region>());
  const slots: Slot[] = [];
  const waiting: { graph: number; storage: Storage; place(region: Region): void }[] = [];
  for (const [g, lowered] of graphs.entries()) {
    const { graph, nodes } = lowered;
    for (const { id, name, role } of graph.values) {
      const region = role === 'state' ? state.get(name) : role === 'input' ? inputs.get(name) : undefined;
      if (region) values[g].set(id, region);
    }
    const gradientOf = new Map(graph.gradients.map(({ parameter, gradient }) => [gradient, graph.values[parameter].name]));
    const { storages, kept } = storagesOf(lowered, capacity);
    for (const storage of storages) {
      const set = (region: Region): void => storage.ids.forEach((id) => void values[g].set(id, { ...region, bytes: storage.bytes }));
      const parameter = storage.ids.map((id) => gradientOf.get(id)).find((name) => name !== undefined);
      const statistic = storage.ids.map((id) => batchStatistics[g]?.places.get(id)).find((region) => region !== undefined);
      if (statistic) set(statistic);
      else if (parameter !== undefined) set(gradients.get(parameter) as Region);
      else if (kept.has(storage)) set(own(`${graph.name} ${graph.values[storage.ids[0]].name}`, storage.bytes));
      else waiting.push({ graph: g, storage, place: set });
    }
    for (const [n, { scratch: pieces }] of nodes.entries()) {
      for (const [i, bytes] of pieces.entries()) {
        const storage = { ids: [], bytes: ceilTo(bytes, SIZE_ALIGNMENT), first: n, last: n };
        waiting.push({ graph: g, storage, place: (region) => void scratch[g].set(`${n} ${i}`, { ...region, bytes: storage.bytes }) });
      }
    }
  }

  // Largest first, each into the first slot that is free for as long as it lives: a slot is as large as its first tenant.
  waiting.sort((a, b) => b.storage.bytes - a.storage.bytes || a.graph - b.graph || a.storage.first - b.storage.first);
  for (const { graph, storage, place } of waiting) {
    let slot = slots.find((candidate) => candidate.isFree(graph, storage));
    if (!slot) slots.push((slot = new Slot(own(`slot ${slots.length}`, storage.bytes))));
    slot.add(graph, storage);
    place(slot.region);
  }

  return {
    buffers,
    bytes: buffers.reduce((sum, { bytes }) => sum + bytes, 0),
    state,
    inputs,
    ranges,
    gradients,
    region(g, n, operand) {
      const region =
        'value' in operand
          ? values[g].get(operand.value)
          : 'scratch' in operand
            ? scratch[g].get(`${n} ${operand.scratch}`)
            : operand.range === 'batchStatistics'
              ? batchStatistics[g]?.range
              : ranges.get(operand.range);
      invariant(
        region,
        `${graphs[g].nodes[n].node.label}/${graphs[g].nodes[n].node.op} binds ${JSON.stringify(operand)}, which has no place`,
      );
      return region;
    },
  };
}

class Slot {
  readonly region: Region;
  readonly #tenants = new Map<number, Storage[]>();

  constructor(region: Region) {
    this.region = region;
  }

  isFree(graph: number, { first, last }: Storage): boolean {
    return (this.#tenants.get(graph) ?? []).every((tenant) => tenant.last < first || last < tenant.first);
  }

  add(graph: number, storage: Storage): void {
    const tenants = this.#tenants.get(graph) ?? [];
    tenants.push(storage);
    this.#tenants.set(graph, tenants);
  }
}

const unique = (values: readonly Value[]): Value[] => [...new Map(values.map((value) => [value.name, value])).values()];

/**
 * The temporaries of a graph. Views share the storage of what they show; results never overwrite an operand in place, as they
 * may in the arena of the wasm device.
 */
function storagesOf(
  { graph, storage: storedAs }: LoweredGraph,
  capacity: number,
): { readonly storages: readonly Storage[]; readonly kept: ReadonlySet<Storage> } {
  const found = new Map<ValueId, { ids: ValueId[]; bytes: number; first: number; last: number }>();
  const kept = new Set<Storage>();
  const observed = new Set(Object.values(graph.outputs));
  for (const [n, node] of graph.nodes.entries()) {
    for (const id of node.inputs) {
      const storage = found.get(id);
      if (!storage) continue; // input or state
      storage.last = n;
      if (node.phase === 'update' && graph.nodes[storage.first].phase !== 'update') kept.add(storage);
    }
    for (const [k, id] of node.outputs.entries()) {
      const view = gpuOps[node.op].traits?.view;
      const shown = k === 0 && view ? found.get(node.inputs[0]) : undefined;
      invariant(shown || !view, `${node.label}/${node.op} is a view of what is not a temporary`);
      const bytes = ceilTo(storedBytes(graph.values[id].spec, storedAs(id), capacity), SIZE_ALIGNMENT);
      const storage = shown ?? { ids: [], bytes, first: n, last: n };
      storage.ids.push(id);
      found.set(id, storage);
      if (observed.has(id)) kept.add(storage);
    }
  }
  return { storages: [...new Set(found.values())], kept };
}
