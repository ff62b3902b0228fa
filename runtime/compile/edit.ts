// How passes rewrite a graph: look up producers and consumers, replace a few nodes by others. Values keep their ids, so
// names and outputs survive a rewrite; a value that nothing makes any more simply stays unused.
//
// Every question is answered from an index that rewrites keep up to date: a pass takes time in proportion to the graph.

import { invariant } from '../base/errors.ts';
import type { Graph, Node, TensorSpec, Value, ValueId } from '../ir/graph.ts';

/** Where a node stands: `at`, with room for what replaces it up to `at + room`. */
interface Place {
  readonly at: number;
  readonly room: number;
}

export class GraphEditor {
  readonly #graph: Graph;
  readonly #values: Value[];
  readonly #places = new Map<Node, Place>();
  readonly #producers = new Map<ValueId, Node>();
  readonly #consumers = new Map<ValueId, Set<Node>>();
  readonly #observed: ReadonlySet<ValueId>;

  constructor(graph: Graph) {
    this.#graph = graph;
    this.#values = [...graph.values];
    this.#observed = new Set([...Object.values(graph.outputs), ...graph.gradients.map(({ gradient }) => gradient)]);
    for (const [at, node] of graph.nodes.entries()) this.#insert(node, { at, room: 1 });
  }

  /** In order. */
  get nodes(): readonly Node[] {
    return this.#ordered(this.#places.keys());
  }

  has(node: Node): boolean {
    return this.#places.has(node);
  }

  spec(id: ValueId): TensorSpec {
    return this.#values[id].spec;
  }

  /** All moving statistics. */
  get statistics(): readonly ValueId[] {
    return this.#values.filter(({ state }) => state === 'statistic').map(({ id }) => id);
  }

  /** A new temporary named after another value. */
  temporary(base: ValueId, suffix: string, spec: TensorSpec): ValueId {
    const id = this.#values.length;
    this.#values.push({ id, name: `${this.#values[base].name}.${suffix}`, spec, role: 'temporary' });
    return id;
  }

  producer(id: ValueId): Node | undefined {
    return this.#producers.get(id);
  }

  /** In order. */
  consumers(id: ValueId): Node[] {
    return this.#ordered(this.#consumers.get(id) ?? []);
  }

  /** Whether the value is read from outside: a graph output or the gradient of a parameter. */
  isObserved(id: ValueId): boolean {
    return this.#observed.has(id);
  }

  /** The node that alone reads `id`, if there is just one and nobody outside reads it. */
  soleConsumer(id: ValueId): Node | undefined {
    const consumers = this.#consumers.get(id);
    return consumers?.size === 1 && !this.isObserved(id) ? [...consumers][0] : undefined;
  }

  /** Whether `first` stands before `second`, and nothing between reads what it makes: they may become one node where the second stands. */
  areNear(first: Node, second: Node): boolean {
    const [from, to] = [this.#place(first).at, this.#place(second).at];
    return from < to && first.outputs.every((id) => this.consumers(id).every((node) => node === second || this.#place(node).at > to));
  }

  /** Puts `replacement` where the last of the `replaced` nodes stood. */
  replace(replaced: readonly Node[], replacement: readonly Node[]): void {
    const places = replaced.map((node) => this.#place(node));
    const last = places.reduce((a, b) => (a.at > b.at ? a : b));
    for (const node of replaced) this.#remove(node);
    const room = last.room / Math.max(1, replacement.length);
    for (const [i, node] of replacement.entries()) this.#insert(node, { at: last.at + i * room, room });
  }

  finish(): Graph {
    return { ...this.#graph, values: this.#values, nodes: this.nodes };
  }

  #place(node: Node): Place {
    const place = this.#places.get(node);
    invariant(place, `${node.label}/${node.op} is not in the graph`);
    return place;
  }

  #ordered(nodes: Iterable<Node>): Node[] {
    return [...nodes].sort((a, b) => this.#place(a).at - this.#place(b).at);
  }

  #insert(node: Node, place: Place): void {
    this.#places.set(node, place);
    for (const id of node.outputs) this.#producers.set(id, node);
    for (const id of node.inputs) {
      const consumers = this.#consumers.get(id);
      if (consumers) consumers.add(node);
      else this.#consumers.set(id, new Set([node]));
    }
  }

  #remove(node: Node): void {
    this.#places.delete(node);
    for (const id of node.outputs) if (this.#producers.get(id) === node) this.#producers.delete(id);
    for (const id of node.inputs) this.#consumers.get(id)?.delete(node);
  }
}
