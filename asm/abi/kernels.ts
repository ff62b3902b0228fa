// The kernels and the fields of their argument blocks. asm/build.mjs makes the classes of asm/lib/abi.gen.ts from this table, by
// which kernels read them (`MaxPoolArgs` of `maxPool`), and refuses to build unless these are the kernels that there are;
// lowerings lay blocks down by `call` (asm/lowering/lowering.ts), which tsc holds to the table.
//
// A tensor of an argument block is its address. Sizes are those of a sample unless said otherwise.

/**
 * What a field is: an address (`ptr?`: or 0, the tensor is absent), a number, a flag (an i32 that is 0 or 1), the fields of a structure, or, as the
 * last one, a list: its length, and as many structures.
 */
export type FieldKind = ScalarKind | 'f64' | StructName | readonly [StructName];
type ScalarKind = 'ptr' | 'ptr?' | 'i32' | 'f32' | 'flag';
export type Fields = Readonly<Record<string, FieldKind>>;

/** What several kernels have among their fields. */
export const STRUCTS = {
  /** A piece of memory. */
  range: { address: 'ptr', elements: 'i32' },
} as const satisfies Record<string, Readonly<Record<string, ScalarKind>>>;
export type StructName = keyof typeof STRUCTS;

export const KERNELS = {
  // asm/kernels/pool.ts
  globalAvgPool: { x: 'ptr', y: 'ptr', pixels: 'i32', channels: 'i32' },
  globalAvgPoolGrad: { dy: 'ptr', dx: 'ptr', pixels: 'i32', channels: 'i32' },
  maxPool: { x: 'ptr', y: 'ptr', height: 'i32', width: 'i32', channels: 'i32' },
  maxPoolGrad: { dy: 'ptr', x: 'ptr', dx: 'ptr', height: 'i32', width: 'i32', channels: 'i32' },
} as const satisfies Record<string, Fields>;
export type KernelName = keyof typeof KERNELS;

/** Values for fields, as a lowering gives them. */
export type ValuesOf<F> = { readonly [K in keyof F]: ValueOf<F[K]> };
type ValueOf<K> = K extends 'ptr?'
  ? number | undefined
  : K extends 'flag'
    ? boolean
    : K extends StructName
      ? StructValues<K>
      : K extends readonly [infer S extends StructName]
        ? readonly StructValues<S>[]
        : number;
export type StructValues<S extends StructName> = ValuesOf<(typeof STRUCTS)[S]>;
export type KernelArgs<K extends KernelName> = ValuesOf<(typeof KERNELS)[K]>;
