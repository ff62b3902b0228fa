// The part of the WebAssembly API that this package uses. TypeScript has it only in its library for browsers, and
// @types/node 20 has none.

declare namespace WebAssembly {
  class Module {
    constructor(bytes: Uint8Array);
    static exports(module: Module): { name: string; kind: 'function' | 'table' | 'memory' | 'global' }[];
  }
  class Instance {
    constructor(module: Module, imports: Record<string, Record<string, Memory<ArrayBufferLike> | number>>);
    readonly exports: Readonly<Record<string, unknown>>;
  }
  class Memory<Buffer extends ArrayBufferLike = SharedArrayBuffer> {
    /** In pages of 64 KiB. */
    constructor(size: { initial: number; maximum: number; shared: Buffer extends SharedArrayBuffer ? true : false });
    readonly buffer: Buffer;
  }
  function compile(bytes: Uint8Array): Promise<Module>;
  function validate(bytes: Uint8Array): boolean;
}
