// What a report tells of a GPU. By itself, because WebGPU's own types are in no declarations that users of this package must have.

import type { Precision } from '../../runtime/device.ts';

/** What is known of a GPU. */
export interface AdapterReport {
  /** The GPU and its driver, for people: Vulkan describes the driver only. */
  readonly name: string;
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  /** Name or driver, as the system tells them. */
  readonly description: string;
  /** Computes on the CPU: right, and slower than the wasm device. */
  readonly software: boolean;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  /** Shapes of subgroup matrices: `f16→f32 16×16×16`. */
  readonly subgroupMatrices: readonly string[];
  /** What multiplies in the tiers f16 and f16x3. Of software adapters none: they take minutes to compile what uses it. */
  readonly matrixUnit: {
    readonly m: number;
    readonly n: number;
    readonly k: number;
    /** Invocations that hold a matrix together. */
    readonly subgroupSize: number;
    /** Subgroups could have other sizes as well: kernels have to ask for this one. */
    readonly pinned: boolean;
  } | null;
  /** What multiplies matrices of f32 in all tiers that have no other unit, where the maker's profile asks for it: on Apple's GPUs. */
  readonly f32MatrixUnit: AdapterReport['matrixUnit'];
  /** Tiers that it offers. Some GPUs tell of f16 only where it is asked for. */
  readonly precisions: readonly Precision[];
}
