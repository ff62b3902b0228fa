// The graph: values, nodes, and the builder that is the only way to make them. Verification is in verify.ts, the
// text form in print.ts. Knows no op by name: the builder is given the table of ops (runtime/ops) it may use.

import { HybridError, invariant, nearest } from '../base/errors.ts';

/** Type of the elements of a tensor. */
export type DType = 'f32' | 'u8' | 'i32';

/**
 * Type of a tensor. Images are NHWC. A per-sample tensor has a leading axis of rows that is not part of `shape`: its
 * length is an argument of each run, up to the compiled capacity. `{ f32, [16, 16, 256], perSample }` is what other
 * systems write as `(None, 16, 16, 256)`.
 */
export interface TensorSpec {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly perSample: boolean;
}

export const BYTES_PER_ELEMENT: Record<DType, number> = { f32: 4, u8: 1, i32: 4 };

/** Number of elements of one row of a per-sample tensor, or of the whole of any other. */
export const elementCount = (spec: TensorSpec): number => spec.shape.reduce((product, n) => product * n, 1);

/** Bytes of a tensor with `rows` rows. */
export const byteLength = (spec: TensorSpec, rows: number): number =>
  elementCount(spec) * BYTES_PER_ELEMENT[spec.dtype] * (spec.perSample ? rows : 1);

/** A shape as people write it: `[n, 16, 16, 256]`, n standing for the rows of the run. */
export const formatShape = (spec: TensorSpec): string => `[${[...(spec.perSample ? ['n'] : []), ...spec.shape].join(', ')}]`;

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

/** An op with its operands: a step of the computation. */
export interface Node {
  readonly op: string;
  readonly phase: Phase;
  readonly inputs: readonly ValueId[];
  readonly outputs: readonly ValueId[];
  /** State values that the node changes in place. */
  readonly updates: readonly ValueId[];
  readonly attrs: Attrs;
  /** Where it comes from, for people: the Keras path of the layer, such as `layers/conv2d_1`. */
  readonly label: string;
}

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

/** What a builder must know of an op; the whole definition is in op.ts. */
export interface ShapeRule {
  /** Types of the outputs. Throws E_USAGE for inputs or attributes that the op does not take. */
  infer(inputs: readonly TensorSpec[], attrs: Attrs): TensorSpec[];
  /** Suffixes of the output names, where there is more than one output. */
  readonly outputNames?: readonly string[];
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

  /** @param ops The table of ops: `ops` of the package. */
  constructor(
    readonly name: string,
    readonly ops: Readonly<Record<string, ShapeRule>>,
  ) {}

  /** Starts from what another graph holds, keeping all ids: how passes extend a graph. */
  static from(graph: Graph, ops: Readonly<Record<string, ShapeRule>>): GraphBuilder {
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
    return this.values[id].spec;
  }

  /**
   * Declares what is given with each run. A device fills three of them, per sample: `images` u8, `labels` i32 [] and `samples` i32 [] from
   * the `Batch`. Throws E_USAGE where the name is taken.
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

  /** Names a result: `logits` is what `predict` and `evaluate` return, `loss` what is differentiated. */
  output(name: string, id: ValueId): void {
    this.outputs[name] = id;
  }

  /**
   * Adds a node and returns its outputs; ARCHITECTURE.md has the table of ops with their inputs, outputs and attributes. `names` overrides
   * the names of the outputs, which otherwise derive from label and op. Throws E_USAGE for inputs or attributes that the op does not take.
   */
  add(
    op: string,
    inputs: readonly ValueId[],
    attrs: Attrs = {},
    { updates = [], names }: { updates?: readonly ValueId[]; names?: readonly string[] } = {},
  ): ValueId[] {
    const rule = this.ops[op];
    if (!rule) {
      const near = nearest(op, Object.keys(this.ops));
      throw new HybridError('E_USAGE', `no op is called ${op}${near ? `; did you mean ${near}?` : ''}`, 'ARCHITECTURE.md lists them all.');
    }
    const specs = rule.infer(
      inputs.map((id) => this.spec(id)),
      attrs,
    );
    const base = this.label ? `${this.label}/${op}` : op;
    const outputs = specs.map((spec, i) => {
      const suffix = specs.length > 1 ? `.${rule.outputNames?.[i] ?? i}` : '';
      return this.#value(names?.[i] ?? this.#unique(base + suffix), spec, 'temporary');
    });
    this.nodes.push({ op, phase: this.phase, inputs: [...inputs], outputs, updates: [...updates], attrs, label: this.label });
    return outputs;
  }

  /** `add` for ops with one output. */
  one(op: string, inputs: readonly ValueId[], attrs: Attrs = {}): ValueId {
    const outputs = this.add(op, inputs, attrs);
    invariant(outputs.length === 1, `${op} has ${outputs.length} outputs`);
    return outputs[0];
  }

  /** The graph as it is now. */
  finish(): Graph {
    const { name, values, nodes, inputs, outputs, gradients } = this;
    return { name, values, nodes, inputs, outputs, gradients };
  }

  #value(name: string, spec: TensorSpec, role: Value['role'], state?: StateKind): ValueId {
    if (this.#names.has(name)) {
      throw new HybridError('E_USAGE', `two values of graph ${this.name} are called ${name}`, 'Give each input and state its own name.');
    }
    this.#names.add(name);
    const id = this.values.length;
    this.values.push(state ? { id, name, spec, role, state } : { id, name, spec, role });
    return id;
  }

  #unique(name: string): string {
    if (!this.#names.has(name)) return name;
    for (let k = 2; ; k++) if (!this.#names.has(`${name}~${k}`)) return `${name}~${k}`;
  }
}
