// How passes rewrite a graph: look up producers and consumers, replace a few nodes by others. Values keep their ids, so
// names and outputs survive a rewrite; a value that nothing makes any more simply stays unused.

import { invariant } from '../base/errors.ts';
import type { Graph, Node, TensorSpec, Value, ValueId } from '../ir/graph.ts';

export class GraphEditor {
  readonly #graph: Graph;
  readonly #values: Value[];
  #nodes: Node[];

  constructor(graph: Graph) {
    this.#graph = graph;
    this.#values = [...graph.values];
    this.#nodes = [...graph.nodes];
  }

  get nodes(): readonly Node[] {
    return this.#nodes;
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
    return this.#nodes.find((node) => node.outputs.includes(id));
  }

  consumers(id: ValueId): Node[] {
    return this.#nodes.filter((node) => node.inputs.includes(id));
  }

  /** Whether the value is read from outside: a graph output or the gradient of a parameter. */
  isObserved(id: ValueId): boolean {
    return Object.values(this.#graph.outputs).includes(id) || this.#graph.gradients.some(({ gradient }) => gradient === id);
  }

  /** The node that alone reads `id`, if there is just one and nobody outside reads it. */
  soleConsumer(id: ValueId): Node | undefined {
    const consumers = this.consumers(id);
    return consumers.length === 1 && !this.isObserved(id) ? consumers[0] : undefined;
  }

  /** Puts `replacement` where the last of the `replaced` nodes stood. */
  replace(replaced: readonly Node[], replacement: readonly Node[]): void {
    const last = replaced.reduce((most, node) => Math.max(most, this.#nodes.indexOf(node)), -1);
    invariant(
      replaced.every((node) => this.#nodes.includes(node)),
      'a replaced node is not in the graph',
    );
    this.#nodes = this.#nodes.flatMap((node, i) => (i === last ? replacement : replaced.includes(node) ? [] : [node]));
  }

  finish(): Graph {
    return { ...this.#graph, values: this.#values, nodes: this.#nodes };
  }
}
