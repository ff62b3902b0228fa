// Compiles each file of asm/kernels to two WebAssembly modules in dist/asm: `x.fma.wasm` (relaxed-SIMD fused
// multiply-add) and `x.wasm` (multiply, then add). Run by `npm run build:asm`.

import { mkdir, readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const out = here('../dist/asm/kernels/');
await mkdir(out, { recursive: true });

const files = (await readdir(here('kernels'))).filter((file) => file.endsWith('.ts'));
for (const file of files) {
  // The level that is fastest differs from file to file (V8 and Binaryen disagree about unrolled loops): a first line
  // `// asc: -O1` in the kernel file says it.
  const level = /^\/\/ asc: (-O\w+)/.exec(await readFile(here(`kernels/${file}`), 'utf8'))?.[1] ?? '-O3';
  for (const fma of [true, false]) {
    const target = `${out}${file.replace(/\.ts$/, fma ? '.fma.wasm' : '.wasm')}`;
    const { error, stderr } = await asc.main([
      here(`kernels/${file}`),
      level,
      '--noAssert',
      ...['--runtime', 'stub', '--importMemory', '--sharedMemory', '--initialMemory', '1', '--maximumMemory', '65536'],
      ...['--enable', `simd,threads,bulk-memory${fma ? ',relaxed-simd' : ''}`],
      ...['-o', target],
    ]);
    if (error) {
      console.error(stderr.toString());
      throw new Error(`${file}: ${error.message}`);
    }
  }
}
