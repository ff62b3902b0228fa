// Where the built files of the wasm device are. This module runs from dist/asm/host, or, under the tests, from its
// TypeScript source; threads and kernels always come from dist.

const root = import.meta.url.endsWith('.ts') ? new URL('../../dist/asm/', import.meta.url) : new URL('../', import.meta.url);

/** Folder of the compiled kernels, `x.wasm` and `x.fma.wasm`. */
export const KERNEL_FOLDER = new URL('kernels/', root);
/** Script of a gang thread. */
export const THREAD_SCRIPT = new URL('host/thread.worker.js', root);
