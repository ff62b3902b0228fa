// Decides where every tensor lives in a device's memory. Knows nothing about devices; addresses are byte offsets.
//
//   | parameters | statistics | gradients | slots of the optimizer | counters | inputs | kept | arena |
//
// State and gradients are flat ranges in the order of the gradients, with the same offsets in parameters, gradients and
// slots, so that an update is one kernel; a slot that the last parameters do not have is as much shorter; parameters that have no gradient, because they are frozen, come last. `kept` holds what must outlive a program: graph outputs, and what the update
// phase reads of the gradient phase. All graphs share the arena, because they run one at a time; inside it tensors share
// memory by lifetime.

import { invariant } from '../base/errors.ts';
import { ceilTo } from '../base/units.ts';
import { byteLength, type Graph, type Slot, type StateKind, type TensorSpec, type Value, type ValueId } from '../ir/graph.ts';
import { opTable } from '../ops/index.ts';

/** Tensors of a flat range start at multiples of this many bytes (a vector), all others at REGION_ALIGNMENT (a cache line). */
export const RANGE_ALIGNMENT = 16;
export const REGION_ALIGNMENT = 64;

export interface Range {
  readonly offset: number;
  readonly bytes: number;
}

export interface StatePlace extends Range {
  readonly spec: TensorSpec;
  readonly kind: StateKind;
}

export interface Plan {
  readonly bytes: number;
  readonly ranges: Readonly<Record<'parameters' | 'statistics' | 'gradients' | 'counters' | 'inputs' | 'kept' | 'arena', Range>>;
  /** What the optimizer keeps of each trained parameter. */
  readonly slots: ReadonlyMap<Slot, Range>;
  readonly state: ReadonlyMap<string, StatePlace>;
  readonly inputs: ReadonlyMap<string, Range & { readonly spec: TensorSpec }>;
  /** Offset of a value of the g-th graph; undefined for values that nothing makes. */
  offset(graph: number, id: ValueId): number | undefined;
}

/** A piece of memory that one or more values of a graph use, from the node that first writes it to the last that reads it. */
export interface Storage {
  readonly values: ValueId[];
  bytes: number;
  first: number;
  last: number;
  /** Outlives the program: a graph output, a gradient, or read by the update phase. */
  kept: boolean;
}

export function planMemory(graphs: readonly Graph[], capacity: number): Plan {
  let end = 0;
  const region = (bytes: number): Range => {
    const range = { offset: ceilTo(end, REGION_ALIGNMENT), bytes };
    end = range.offset + bytes;
    return range;
  };

  // State and inputs: equal names are the same tensor in every graph.
  const stateValues = unique(graphs.flatMap((graph) => graph.values.filter((value) => value.role === 'state')));
  const inputValues = unique(graphs.flatMap((graph) => graph.values.filter((value) => value.role === 'input')));
  const state = new Map<string, StatePlace>();
  const flat = (values: readonly Value[]): Range => {
    const offsets: number[] = [];
    let bytes = 0;
    for (const value of values) {
      offsets.push(bytes);
      bytes += ceilTo(byteLength(value.spec, 1), RANGE_ALIGNMENT);
    }
    const range = region(bytes);
    for (const [i, value] of values.entries()) {
      state.set(value.name, {
        offset: range.offset + offsets[i],
        bytes: byteLength(value.spec, 1),
        spec: value.spec,
        kind: value.state as StateKind,
      });
    }
    return range;
  };
  const ofKind = (kind: StateKind) => stateValues.filter((value) => value.state === kind);
  const parameters = flat(trainedFirst(graphs, ofKind('parameter')));
  const statistics = flat(ofKind('statistic'));
  const trained = new Set(graphs.flatMap(({ gradients, values }) => gradients.map(({ parameter }) => values[parameter].name)));
  const gradients = region([...trained].reduce((sum, name) => sum + ceilTo((state.get(name) as StatePlace).bytes, RANGE_ALIGNMENT), 0));
  const slots = new Map(
    [...new Set(stateValues.flatMap((value) => (isSlot(value.state) ? [value.state] : [])))].map((slot) => [slot, flat(ofKind(slot))]),
  );
  const counters = flat(ofKind('counter'));
  for (const [slot, { bytes }] of slots) invariant(bytes <= gradients.bytes, `${slot} is larger than the gradients`);

  const inputs = new Map<string, Range & { spec: TensorSpec }>();
  const inputsStart = ceilTo(end, REGION_ALIGNMENT);
  for (const value of inputValues) inputs.set(value.name, { ...region(byteLength(value.spec, capacity)), spec: value.spec });
  const inputRange = { offset: inputsStart, bytes: end - inputsStart };

  // Temporaries of each graph.
  const keptStart = ceilTo(end, REGION_ALIGNMENT);
  const offsets = graphs.map(() => new Map<ValueId, number>());
  const pending: { graph: number; storages: Storage[] }[] = [];
  for (const [g, graph] of graphs.entries()) {
    const gradientOffset = new Map(
      graph.gradients.map(({ parameter, gradient }) => {
        const place = state.get(graph.values[parameter].name) as StatePlace;
        return [gradient, place.offset - parameters.offset + gradients.offset];
      }),
    );
    for (const value of graph.values) {
      const place = value.role === 'state' ? state.get(value.name) : value.role === 'input' ? inputs.get(value.name) : undefined;
      if (place) offsets[g].set(value.id, place.offset);
    }
    const inArena: Storage[] = [];
    for (const storage of storagesOf(graph, capacity)) {
      const gradient = storage.values.map((id) => gradientOffset.get(id)).find((offset) => offset !== undefined);
      const offset = gradient ?? (storage.kept ? region(storage.bytes).offset : undefined);
      if (offset === undefined) inArena.push(storage);
      else for (const id of storage.values) offsets[g].set(id, offset);
    }
    pending.push({ graph: g, storages: inArena });
  }
  const kept = { offset: keptStart, bytes: Math.max(0, end - keptStart) };

  const arenaStart = ceilTo(end, REGION_ALIGNMENT);
  let arenaBytes = 0;
  for (const { graph, storages } of pending) {
    const placed = placeStorages(storages);
    arenaBytes = Math.max(arenaBytes, placed.bytes);
    for (const [i, storage] of storages.entries()) for (const id of storage.values) offsets[graph].set(id, arenaStart + placed.offsets[i]);
  }
  // Views of inputs or state would alias what other graphs read: views are made of temporaries only (storagesOf checks).
  const arena = { offset: arenaStart, bytes: arenaBytes };
  return {
    bytes: arena.offset + arena.bytes,
    ranges: { parameters, statistics, gradients, counters, inputs: inputRange, kept, arena },
    slots,
    state,
    inputs,
    offset: (graph, id) => offsets[graph].get(id),
  };
}

/** Those with a gradient first, in the order of the gradients. */
export function trainedFirst<V extends { readonly name: string }>(graphs: readonly Graph[], parameters: readonly V[]): V[] {
  const order = graphs.flatMap(({ gradients, values }) => gradients.map(({ parameter }) => values[parameter].name));
  const place = new Map(order.map((name, i) => [name, i]));
  return [...parameters].sort((a, b) => (place.get(a.name) ?? order.length) - (place.get(b.name) ?? order.length));
}

export const isSlot = (kind: StateKind | undefined): kind is Slot => kind?.startsWith('slot:') ?? false;

const unique = (values: readonly Value[]): Value[] => [...new Map(values.map((value) => [value.name, value])).values()];

/** The temporaries of a graph grouped into storages: views and in-place results share that of their input. */
export function storagesOf(graph: Graph, capacity: number): Storage[] {
  const lastRead = new Map<ValueId, number>();
  const readByUpdate = new Set<ValueId>();
  for (const [i, node] of graph.nodes.entries()) {
    for (const id of node.inputs) {
      lastRead.set(id, i);
      if (node.phase === 'update') readByUpdate.add(id);
    }
  }
  const observed = new Set([...Object.values(graph.outputs), ...graph.gradients.map(({ gradient }) => gradient)]);

  const storageOf = new Map<ValueId, Storage>();
  for (const [i, node] of graph.nodes.entries()) {
    for (const [k, id] of node.outputs.entries()) {
      const { spec } = graph.values[id];
      const bytes = byteLength(spec, capacity);
      const kept = observed.has(id) || (readByUpdate.has(id) && node.phase !== 'update');
      const last = Math.max(i, lastRead.get(id) ?? i);
      const shared = k === 0 ? sharedWith(i, kept) : undefined;
      if (shared) {
        shared.values.push(id);
        shared.last = Math.max(shared.last, last);
        shared.kept ||= kept;
        storageOf.set(id, shared);
      } else {
        storageOf.set(id, { values: [id], bytes, first: i, last, kept });
      }
    }
  }
  return [...new Set(storageOf.values())];

  function sharedWith(i: number, kept: boolean): Storage | undefined {
    const node = graph.nodes[i];
    const { view, inPlace } = opTable[node.op].traits ?? {};
    if (view) {
      const storage = storageOf.get(node.inputs[0]);
      invariant(storage, `${node.label}/${node.op} is a view of ${graph.values[node.inputs[0]].name}, which is not a temporary`);
      return storage;
    }
    if (inPlace === undefined) return undefined;
    const input = node.args[inPlace] as ValueId;
    const storage = storageOf.get(input);
    // The input must die here, and be as long; and what is kept is not worth keeping a whole activation's storage for.
    const dies = storage && !storage.kept && !kept && storage.last === i;
    const sameSize = storage?.bytes === byteLength(graph.values[node.outputs[0]].spec, capacity);
    const readOnce = node.inputs.filter((id) => storageOf.get(id) === storage).length === 1;
    return dies && sameSize && readOnce ? storage : undefined;
  }
}

/** Offsets for storages such that none that live at the same time overlap: largest first, each at the lowest free place. */
export function placeStorages(storages: readonly Storage[]): { offsets: number[]; bytes: number } {
  const order = storages
    .map((_, i) => i)
    .sort((a, b) => storages[b].bytes - storages[a].bytes || storages[a].first - storages[b].first || a - b);
  const offsets = new Array<number>(storages.length).fill(0);
  const placed: number[] = [];
  let bytes = 0;
  for (const i of order) {
    const storage = storages[i];
    const alive = placed
      .filter((j) => storages[j].first <= storage.last && storage.first <= storages[j].last)
      .sort((a, b) => offsets[a] - offsets[b]);
    let offset = 0;
    for (const j of alive) {
      if (offset + storage.bytes <= offsets[j]) break;
      offset = Math.max(offset, ceilTo(offsets[j] + storages[j].bytes, REGION_ALIGNMENT));
    }
    offsets[i] = offset;
    placed.push(i);
    bytes = Math.max(bytes, offset + storage.bytes);
  }
  return { offsets, bytes };
}
