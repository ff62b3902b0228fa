// The graph: values, nodes, and the builder that is the only way to make them. Verification is in verify.ts, the
// text form in print.ts. Knows no op by name: the builder is given the table of ops (runtime/ops) it may use.

import { HybridError, invariant, nearest } from '../base/errors.ts';
import { arrange, checkAttrs, flatten, inferResults, mapNamed, type Named, type Signature } from './signature.ts';
import type { DType, TensorSpec } from './tensor.ts';

export { BYTES_PER_ELEMENT, byteLength, type DType, elementCount, formatShape, type TensorSpec } from './tensor.ts';

/** What a state tensor is for. The flat ranges of the plan and the optimizer go by it. `scale`: of the loss, where a device needs one. */
export type StateKind = 'parameter' | 'statistic' | Slot | 'counter' | 'scale';
/** What an optimizer keeps of each parameter, such as `slot:moment1`. */
export type Slot = `slot:${string}`;

/** Index of a value in its graph. */
export type ValueId = number;

/** A tensor of a graph: an input, state, or the result of a node. */
export interface Value {
  readonly id: ValueId;
  /** Unique in the graph. State and its gradients keep their names in every graph: they are read and restored by name. */
  readonly name: string;
  readonly spec: TensorSpec;
  /** `input`: given with each run. `state`: lives on the device between runs. `temporary`: made by a node. */
  readonly role: 'input' | 'state' | 'temporary';
  readonly state?: StateKind;
}

/** State changes only in `update`, which runs after loss and gradients were found finite. */
export type Phase = 'forward' | 'backward' | 'update';

/** What an op is told besides its inputs: plain data. */
export type Attrs = Readonly<Record<string, unknown>>;

/** Values by the names of operands, in declared order; absent ones are left out. */
export type Values = Named<ValueId>;
/** Values by the names of results, in declared order; absent ones are left out. */
export type Results = Readonly<Record<string, ValueId | undefined>>;

/** An op with its operands: a step of the computation. Made by `makeNode`: lists and names always agree. */
export interface Node {
  readonly op: string;
  readonly phase: Phase;
  /** What it reads, by name. */
  readonly args: Values;
  /** What it makes, by name, in declared order; absent ones are left out. */
  readonly results: Results;
  /** The values of `args` in order. */
  readonly inputs: readonly ValueId[];
  /** The values of `results` in order. */
  readonly outputs: readonly ValueId[];
  /** State values that the node changes in place. */
  readonly updates: readonly ValueId[];
  /** Without those that have their default. */
  readonly attrs: Attrs;
  /** Where it comes from, for people: the Keras path of the layer, such as `layers/conv2d_1`. */
  readonly label: string;
}

/** The results that a node has. */
export const resultsOf = ({ results }: Pick<Node, 'results'>) => results as Readonly<Record<string, ValueId>>;

/** What `makeNode` makes a node of. */
export type NodeParts = Pick<Node, 'op' | 'phase' | 'args' | 'results' | 'label'> & Partial<Pick<Node, 'updates' | 'attrs'>>;

/** A node of the parts. `args` and `results` are in declared order (`arrange`). */
export const makeNode = ({ op, phase, args, results, updates = [], attrs = {}, label }: NodeParts): Node => ({
  op,
  phase,
  args,
  results,
  inputs: flatten(args),
  outputs: Object.values(results).filter((id) => id !== undefined),
  updates,
  attrs,
  label,
});

/** A computation: values, nodes in an order in which they can run, and the names of its inputs and outputs. Plain data. */
export interface Graph {
  readonly name: string;
  readonly values: readonly Value[];
  /** In an order in which they can run. */
  readonly nodes: readonly Node[];
  readonly inputs: Readonly<Record<string, ValueId>>;
  readonly outputs: Readonly<Record<string, ValueId>>;
  /** Gradient value of each trained parameter, in the order of the parameters: a flat range of the plan. */
  readonly gradients: readonly { readonly parameter: ValueId; readonly gradient: ValueId }[];
}

/** What `add` may be told besides operands and attributes. */
export interface AddOptions {
  /** State that the op changes in place, in declared order. */
  readonly updates?: readonly ValueId[];
  readonly names?: readonly string[];
}

/** Builds a graph node by node, in an order in which they can run. Shapes are checked and inferred as nodes are added. */
export class GraphBuilder {
  readonly values: Value[] = [];
  readonly nodes: Node[] = [];
  readonly inputs: Record<string, ValueId> = {};
  readonly outputs: Record<string, ValueId> = {};
  readonly gradients: { parameter: ValueId; gradient: ValueId }[] = [];
  /** Phase and label given to the nodes added from now on. */
  phase: Phase = 'forward';
  label = '';
  readonly #names = new Set<string>();
  /** Where the search for a name that is not taken goes on. */
  readonly #copies = new Map<string, number>();

  /** @param ops The table of ops: `ops` of the package. */
  constructor(
    readonly name: string,
    readonly ops: Readonly<Record<string, Signature>>,
  ) {}

  /** Starts from what another graph holds, keeping all ids: how passes extend a graph. */
  static from(graph: Graph, ops: Readonly<Record<string, Signature>>): GraphBuilder {
    const builder = new GraphBuilder(graph.name, ops);
    for (const value of graph.values) builder.values.push(value);
    for (const node of graph.nodes) builder.nodes.push(node);
    Object.assign(builder.inputs, graph.inputs);
    Object.assign(builder.outputs, graph.outputs);
    for (const pair of graph.gradients) builder.gradients.push(pair);
    for (const value of graph.values) builder.#names.add(value.name);
    return builder;
  }

  /** Type of a value. */
  spec(id: ValueId): TensorSpec {
    return this.#known(id, `graph ${this.name}`).spec;
  }

  /**
   * Declares what is given with each run. A device fills four of them, per sample: `images` u8, `features` f32, `labels` i32 [] and
   * `samples` i32 [] from the `Batch`. Throws E_USAGE where the name is taken.
   */
  input(name: string, spec: TensorSpec): ValueId {
    const id = this.#value(name, spec, 'input');
    this.inputs[name] = id;
    return id;
  }

  /** Declares what lives on the device between runs, and is read and written by `name`. Throws E_USAGE where the name is taken. */
  state(name: string, shape: readonly number[], state: StateKind, dtype: DType = 'f32'): ValueId {
    return this.#value(name, { dtype, shape, perSample: false }, 'state', state);
  }

  /**
   * Names a result: `logits` is what `predict` and `evaluate` return, `loss` what is differentiated. Throws E_USAGE where another result has the
   * name.
   */
  output(name: string, id: ValueId): void {
    const { name: what } = this.#known(id, `output ${name}`);
    if (Object.hasOwn(this.outputs, name)) {
      const other = this.values[this.outputs[name]].name;
      throw new HybridError(
        'E_USAGE',
        `graph ${this.name} has an output ${name} already, ${other}; ${what} cannot be called so, too`,
        'Give each result a name of its own.',
      );
    }
    this.outputs[name] = id;
  }

  /**
   * Adds a node. Operands are given by name and the results are returned by name; or both as lists in declared order. docs/ops.md has the
   * ops with their operands, results and attributes. `names` overrides the names of the results in order, which otherwise derive from
   * label and op. Throws E_USAGE for an op, an operand, an attribute or a value that there is not, and for types that the op does not take.
   */
  add(op: string, inputs: readonly ValueId[], attrs?: Attrs, options?: AddOptions): ValueId[];
  add(op: string, args: Named<ValueId>, attrs?: Attrs, options?: AddOptions): Readonly<Record<string, ValueId>>;
  add(
    op: string,
    given: readonly ValueId[] | Named<ValueId>,
    attrs: Attrs = {},
    options: AddOptions = {},
  ): ValueId[] | Readonly<Record<string, ValueId>> {
    const { outputs, results } = this.#add(op, given, attrs, options);
    return Array.isArray(given) ? [...outputs] : (results as Readonly<Record<string, ValueId>>);
  }

  /** `add` for ops with one result. */
  one(op: string, given: readonly ValueId[] | Named<ValueId>, attrs: Attrs = {}): ValueId {
    const { outputs } = this.#add(op, given, attrs, {});
    invariant(outputs.length === 1, `${op} has ${outputs.length} outputs`);
    return outputs[0];
  }

  #add(op: string, given: readonly ValueId[] | Named<ValueId>, attrs: Attrs, { updates = [], names }: AddOptions): Node {
    const signature = Object.hasOwn(this.ops, op) ? this.ops[op] : undefined;
    if (!signature) {
      const near = nearest(op, Object.keys(this.ops));
      throw new HybridError('E_USAGE', `no op is called ${op}${near ? `; did you mean ${near}?` : ''}`, 'docs/ops.md lists them all.');
    }
    const args = arrange(op, signature.inputs, given);
    const what = `${this.label ? `${this.label}/` : ''}${op}`;
    const specs = mapNamed(args, (id) => this.#known(id, what).spec);
    const checked = checkAttrs(op, signature.attrs, attrs);
    const made = inferResults(op, signature, specs, checked);
    const count = Object.keys(made).length;
    const results = Object.fromEntries(
      Object.entries(made).map(([name, spec], i) => {
        return [name, this.#value(names?.[i] ?? this.#unique(count > 1 ? `${what}.${name}` : what), spec, 'temporary')];
      }),
    );
    for (const id of updates) this.#known(id, what);
    const node = makeNode({ op, phase: this.phase, args, results, updates: [...updates], attrs: checked, label: this.label });
    this.nodes.push(node);
    return node;
  }

  /** The graph as it is now. */
  finish(): Graph {
    const { name, values, nodes, inputs, outputs, gradients } = this;
    return { name, values, nodes, inputs, outputs, gradients };
  }

  #known(id: ValueId, what: string): Value {
    const value = typeof id === 'number' ? this.values[id] : undefined;
    if (value) return value;
    throw new HybridError(
      'E_USAGE',
      `${what} reads value ${String(id)}, which graph ${this.name} does not have`,
      'Use what input, state and add of the same builder returned.',
    );
  }

  #value(name: string, spec: TensorSpec, role: Value['role'], state?: StateKind): ValueId {
    if (this.#names.has(name)) {
      throw new HybridError('E_USAGE', `two values of graph ${this.name} are called ${name}`, 'Give each input and state its own name.');
    }
    if (spec.shape.some((n) => !(Number.isSafeInteger(n) && n > 0))) {
      throw new HybridError(
        'E_USAGE',
        `${name} of graph ${this.name} has shape [${spec.shape}]`,
        'The sizes of a shape are whole numbers above 0.',
      );
    }
    this.#names.add(name);
    const id = this.values.length;
    this.values.push(state ? { id, name, spec, role, state } : { id, name, spec, role });
    return id;
  }

  #unique(name: string): string {
    if (!this.#names.has(name)) return name;
    let k = this.#copies.get(name) ?? 2;
    while (this.#names.has(`${name}~${k}`)) k++;
    this.#copies.set(name, k + 1);
    return `${name}~${k}`;
  }
}
