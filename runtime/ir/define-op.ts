// What an op is, but for its kernels: one definition from which builder, verifier, autodiff, fusion, planner, reference device, printer and
// docs/ops.md take what they need.

import type { GraphBuilder, Node, ValueId } from './graph.ts';
import type { Cost, ReferenceTensor } from './op.ts';
import { type AttrsOf, arrangeUpdates, mapNamed, type Named, type Of, type Operands, type Schema, type Signature } from './signature.ts';
import type { StepScalars } from './step.ts';
import { byteLength, elementCount, type TensorSpec } from './tensor.ts';

/** What an op can be to its neighbours, for the rules of fusion (runtime/compile/fuse.ts). */
export type Part = 'rescale' | 'bias' | 'biasGrad' | 'activation' | 'activationGrad' | 'statistics' | 'normalize' | 'normalizeGrad' | 'add';

/** What passes ask an op, so that they need not know its name. */
export interface Traits {
  /** Its result is its operand under another shape: no kernel runs. */
  readonly view?: true;
  /** Operand that the first result may overwrite, element by element, if nobody reads it later. */
  readonly inPlace?: string;
  /** Its multiply-adds are what people count as the operations of a network: see `Place.flops`. */
  readonly counts?: true;
  /** What it is where a neighbour takes it in. */
  readonly is?: Part;
  /** What it can do to its first result before storing it. */
  readonly epilogue?: readonly Part[];
  /**
   * What it can do to an operand after loading it: for the operand, the part, and where the part's operands (or attributes) go, by the name that they
   * have here.
   */
  readonly prologue?: Readonly<Record<string, Partial<Record<Part, Readonly<Record<string, string>>>>>>;
  /** Operand that is a matrix, its last axis by all others together, where it is a parameter. */
  readonly matrix?: string;
  /** Its results are statistics over the rows, which processes that train together may have to exchange. */
  readonly exchanges?: 'moments' | 'sums';
  /** Results besides the first that its gradient rule takes gradients of. */
  readonly differentiable?: readonly string[];
  /** It and the op `other`, which reads the same operand `on`, are one op `as`, with the operands and results of both. */
  readonly together?: { readonly other: string; readonly on: string; readonly as: string };
}

/** A node, for the functions of its definition. */
export interface Site<A, R, P> {
  readonly args: A;
  readonly results: R;
  readonly attrs: P;
  readonly label: string;
}

/** A node that is differentiated. */
export interface GradientSite<A, R, P> extends Site<A, R, P> {
  /** Gradients of the results; undefined: none flows. */
  readonly d: { readonly [K in keyof R]?: ValueId };
}

/** Operands of the reference loops of an op. */
export interface ReferenceRun<I, O, U> {
  readonly step: StepScalars;
  readonly inputs: I;
  /** They start out as zeros. */
  readonly outputs: O;
  readonly updates: U;
}

/** Adds the nodes of an expansion; results that are not named become temporaries. */
export interface Expander {
  spec(id: ValueId): TensorSpec;
  add(
    op: string,
    args: Named<ValueId>,
    attrs?: Readonly<Record<string, unknown>>,
    into?: Readonly<Record<string, ValueId>>,
  ): Readonly<Record<string, ValueId>>;
}

/** All that is known of an op but its kernels. */
export interface OpDefinition<I extends Operands, O extends Operands, S extends Schema, U extends Operands> {
  /** What it computes, for docs/ops.md. */
  readonly doc: string;
  readonly inputs: I;
  readonly outputs: O;
  readonly updates?: U;
  readonly attrs?: S;
  infer(specs: Of<I, TensorSpec>, attrs: AttrsOf<S>): { readonly [K in keyof O]?: TensorSpec };
  /**
   * The gradient rule: for each operand that has one a function that adds its nodes to `g` and returns the gradient, of a list that of its k-th
   * tensor; called for those that somebody wants, in the order of the operands. `null`: none flows. Absent, for an operand or for the op: where a gradient would pass, the graph is
   * refused.
   */
  gradient?(
    g: GraphBuilder,
    site: GradientSite<Of<I, ValueId>, Of<O, ValueId>, AttrsOf<S>>,
  ): { readonly [K in keyof I]?: (k: number) => ValueId | null };
  /** Plain loops in doubles: slow, obvious, the oracle for every device. */
  reference(run: ReferenceRun<Of<I, ReferenceTensor>, Of<O, ReferenceTensor>, Of<U, ReferenceTensor>>, attrs: AttrsOf<S>): void;
  /** Operations of one run with that many rows. By default one for each element of the largest operand. */
  flops?(specs: Of<I, TensorSpec> & Of<O, TensorSpec>, attrs: AttrsOf<S>, rows: number): number;
  /** Bytes that must move. By default those of operands and results, each once. */
  bytes?(specs: Of<I, TensorSpec> & Of<O, TensorSpec>, attrs: AttrsOf<S>, rows: number): number;
  /** For ops that no device has kernels for: the nodes that compute it. */
  expand?(e: Expander, site: Site<Of<I, ValueId>, Of<O, ValueId>, AttrsOf<S>>): void;
  readonly traits?: Traits;
}

/** Where there are no attributes or updates. */
type NoNames = Readonly<Record<never, never>>;

/** A definition with the types of its operands and attributes. */
export const defineOp = <
  const I extends Operands,
  const O extends Operands,
  const S extends Schema = NoNames,
  const U extends Operands = NoNames,
>(
  definition: OpDefinition<I, O, S, U>,
): OpDefinition<I, O, S, U> & { readonly attrs: S } => ({ ...definition, attrs: definition.attrs ?? ({} as S) });

/** Any definition: its types are those of records. */
export interface Op extends Signature {
  readonly doc: string;
  /** The gradient rule, as in `OpDefinition`. */
  gradient?(
    g: GraphBuilder,
    site: GradientSite<Named<ValueId>, Named<ValueId>, Node['attrs']>,
  ): Readonly<Record<string, ((k: number) => ValueId | null) | undefined>>;
  /** Plain loops in doubles. */
  reference(run: ReferenceRun<Named<ReferenceTensor>, Named<ReferenceTensor>, Named<ReferenceTensor>>, attrs: Node['attrs']): void;
  /** Operations of one run with that many rows. */
  flops?(specs: Named<TensorSpec>, attrs: Node['attrs'], rows: number): number;
  /** Bytes that must move. */
  bytes?(specs: Named<TensorSpec>, attrs: Node['attrs'], rows: number): number;
  /** The nodes that compute it, for ops that no device has kernels for. */
  expand?(e: Expander, site: Site<Named<ValueId>, Named<ValueId>, Node['attrs']>): void;
  readonly traits?: Traits;
}

/** A node whose op is known. */
export type NodeOf<D> =
  D extends OpDefinition<infer I, infer O, infer S, infer _U>
    ? Omit<Node, 'args' | 'results' | 'attrs'> & Site<Of<I, ValueId>, Of<O, ValueId>, AttrsOf<S>>
    : never;

/** Runs the reference loops of a node. `get` has its operands and state, `made` its results. */
export function runReferenceOf(
  op: Op,
  node: Pick<Node, 'args' | 'results' | 'updates' | 'attrs'>,
  tensor: (id: ValueId) => ReferenceTensor,
  step: StepScalars,
): void {
  const run = {
    step,
    inputs: mapNamed(node.args, tensor),
    outputs: mapNamed(node.results, tensor),
    updates: arrangeUpdates(op.updates, node.updates.map(tensor)),
  };
  op.reference(run, node.attrs);
}

/** What a node costs with `rows` rows. */
export function costOf(
  op: Op,
  node: Pick<Node, 'args' | 'results' | 'attrs'>,
  spec: (id: ValueId, index: number) => TensorSpec,
  rows: number,
): Cost {
  const specs = mapNamed({ ...node.args, ...node.results }, spec);
  const all = Object.values(specs).flat() as TensorSpec[];
  const elements = all.reduce((most, one) => Math.max(most, elementCount(one) * (one.perSample ? rows : 1)), 0);
  const flops = op.flops ? op.flops(specs, node.attrs, rows) : elements;
  const bytes = op.bytes ? op.bytes(specs, node.attrs, rows) : all.reduce((sum, one) => sum + byteLength(one, rows), 0);
  return { flops, bytes };
}

/** Calls `make` at the first call, and returns what it made then ever after. */
export function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}
