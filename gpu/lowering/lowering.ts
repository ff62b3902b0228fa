// From a node of the graph to dispatches of the webgpu device: the contract between the host, which owns device and buffers, and
// the files of this folder, which know the ops.

import type { Precision } from '../../runtime/device.ts';
import type { Slot, TensorSpec, ValueId } from '../../runtime/ir/graph.ts';
import type { MatrixUnit } from '../kernels/matrices.ts';
import type { Storage } from '../kernels/wgsl.ts';
import type { GpuNode, GpuOpName } from '../ops/index.ts';
import type { Profile } from './profile.ts';

/**
 * What a binding refers to: a value of the graph, scratch that lives during this node only, or a whole flat range of the plan.
 * `batchStatistics` has those of the batch where `statistics` has the moving ones, in graphs whose moving averages are one node of
 * all statistics. Values that share storage (a view and what it shows) are one operand only if their ids are equal.
 */
export type Operand =
  | { readonly value: ValueId }
  | { readonly scratch: number }
  | { readonly range: 'parameters' | 'gradients' | Slot | 'statistics' | 'batchStatistics' };

export interface Binding {
  readonly operand: Operand;
  readonly access: 'read' | 'read_write';
}

/** Where several kernels would do the same work to the same bits, of which the fastest can be found by a race (gpu/host/tune.ts). */
export interface Site {
  /** Kernel and sizes, for people: equal ones have the same choice. */
  readonly name: string;
  /** Names of the kernels; the first is what the maker's profile takes. */
  readonly candidates: readonly string[];
  /** Operations of the dispatch. */
  readonly flops: number;
}

/** One dispatch of the program. Dispatches of a node run in order, each seeing what those before it wrote. */
export interface Dispatch {
  /** For people: labels and profiles. */
  readonly kernel: string;
  /**
   * A whole WGSL module with the entry point `main`. `@group(0) @binding(0)` is the uniform `step` (gpu/lowering/step.ts);
   * `@binding(1 + i)` is `bindings[i]`, a storage buffer. Equal texts are equal pipelines.
   */
  readonly code: string;
  readonly bindings: readonly Binding[];
  readonly site?: Site;
  /** Workgroups of a run of `rows` rows, each from 1 to 65535. */
  workgroups(rows: number): readonly [x: number, y: number, z: number];
}

/** What the kernels may use of the device that they are generated for. */
export interface LoweringContext {
  /** Largest number of rows of a run. */
  readonly capacity: number;
  /** The tier: how activations are stored, and what may be multiplied by matrix units. */
  readonly precision: Precision;
  readonly limits: {
    /** Bytes of workgroup memory. */
    readonly workgroupStorage: number;
    /** Invocations of a workgroup. */
    readonly invocations: number;
    /** Storage buffers that one dispatch may bind. */
    readonly storageBuffers: number;
  };
  readonly features: {
    readonly f16: boolean;
    readonly subgroups: boolean;
    /** The matrix unit, for the tiers that may use it. */
    readonly subgroupMatrix: MatrixUnit | false | null;
    /**
     * Barriers are cheap, as on all hardware. Without, kernels keep to registers and caches: a software adapter turns every
     * invocation that waits into a coroutine, and takes minutes to compile a large one.
     */
    readonly barriers?: boolean;
    /** Of the GPU's maker; by default that of most. */
    readonly profile?: Profile;
  };
  /** Which of the candidates of a site is taken; without, the first. No choice changes a bit or a buffer. */
  choose?(site: Omit<Site, 'flops'>): number;
  spec(id: ValueId): TensorSpec;
  /** How a value is stored (storage.ts). */
  storage(id: ValueId): Storage;
  /** `bytes` bytes that live during this node only. Each call gives a new range. */
  scratch(bytes: number): Operand;
}

/** From a node of an op to dispatches. (A method, so that a lowering may take any node.) */
export type Lowering<K extends GpuOpName = GpuOpName> = { lower(node: GpuNode<K>, context: LoweringContext): readonly Dispatch[] }['lower'];

/** One for each op that has kernels. */
export type Lowerings = { readonly [K in GpuOpName]: Lowering<K> };
