// What the generators of WGSL text share: types by number of lanes, repetition, and the frame of a module.
//
// Kernels are text made from shapes: sizes are literals, loops over registers are unrolled into named variables (a private array
// with a computed index would live in memory), and what a node does not ask for is not in the text. Buffers are reached through
// functions only, `x(i)` and `set_y(i, v)`, which hide how a tensor is stored and where it is bound.

/** Elements that one access moves: all of a `vec4f`, or one `f32` where channels do not come in fours. */
export type Lanes = 1 | 4;

/**
 * How a buffer's elements are stored. `bytes` are those of u8 tensors, four to a word. `unscaled`: f32, divided by the loss scale when they are
 * written; their kernel cannot read them.
 */
export type Storage = 'f32' | 'unscaled' | 'f16' | 'i32' | 'u32' | 'bytes';

/** A kernel without its buffers: it names those that it uses. */
export interface KernelText {
  readonly workgroup: readonly [x: number, y: number, z: number];
  /** Extensions of WGSL that it needs. */
  readonly enables?: readonly string[];
  /** Attributes of `main`, and parameters besides those below. */
  readonly attributes?: string;
  readonly parameters?: readonly string[];
  /** Module-scope declarations: workgroup memory, functions. */
  readonly declarations?: string;
  /** Statements of `main`. In scope: `local` (index in the workgroup), `group` (vec3u), `groups` (vec3u, how many there are). */
  readonly body: string;
}

/** Numbers from 0 to below n. */
export const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** Text for each number from 0 to below n. */
export const each = (n: number, text: (i: number) => string): string => range(n).map(text).join('\n');

export const floats = (lanes: Lanes): string => (lanes === 4 ? 'vec4f' : 'f32');

/** Lanes for tensors of that many channels. */
export const lanesFor = (channels: number): Lanes => (channels % 4 === 0 ? 4 : 1);

/** A number as an f32 literal. */
export function f32(value: number): string {
  const text = String(Math.fround(value));
  return `${/[.e]/.test(text) ? text : `${text}.0`}f`;
}

/**
 * Whether `v` is a NaN, as an expression. Its bits tell: compilers may assume that no NaN exists (Metal's fast math does), and then take
 * a comparison with one for whatever suits them.
 */
export function isNaNText(v: string, lanes: Lanes): string {
  const U = lanes === 4 ? 'vec4u' : 'u32';
  return `((bitcast<${U}>(${v}) & ${U}(0x7fffffffu)) > ${U}(0x7f800000u))`;
}

/** The index of this invocation in a grid of workgroups that is folded into x and y (`foldedGroups`). */
export const flatIndex = (size: number): string => `let at = (group.y * groups.x + group.x) * ${size}u + local;`;

/** Workgroups for `count` invocations in workgroups of `size`, folded so that no dimension exceeds what WebGPU allows. */
export function foldedGroups(count: number, size: number): [number, number, number] {
  const groups = Math.max(1, Math.ceil(count / size));
  const y = Math.ceil(groups / 65535);
  return [Math.ceil(groups / y), y, 1];
}
