// Compiles each file of asm/kernels to WebAssembly modules in dist/asm/kernels: `x.wasm` (multiply, then add), `x.fma.wasm`
// (relaxed-SIMD fused multiply-add) and, where matrices are multiplied and for depthwise convolutions, `x.wide.fma.wasm` (the inner
// loops for V8's revectorizer, asm/lib/*.wide.ts); and asm/data to one module, dist/asm/data.wasm. What a page can use of them is in dist/asm/kernels.pack
// as well (runtime/hosts/pack.ts). Run by `npm run build:asm`; a folder in
// place of dist/asm may be given as an argument. What the kernels know of the host comes from asm/abi and is written first. The same sources give the same bytes.

import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';
import { generate } from './abi/generate.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const target = process.argv[2] ? resolve(process.argv[2]) : here('../dist/asm');
const out = `${target}/kernels/`;
await mkdir(out, { recursive: true });

const { files: written, kernels: declared, STATIC_DATA } = await generate();
for (const [file, text] of Object.entries(written)) await writeFile(here(file), text);

/** Kernel files with inner loops that have a wide form. */
const WIDE = ['conv.ts', 'depthwise.ts', 'winograd.ts'];

/** Reads a source file; in a wide build the wide form takes the place of the other. */
const reader = (wide) => async (name, folder) => {
  const path = resolve(folder, wide ? name.replace(/lib\/(tile|stencil)\.ts$/, 'lib/$1.wide.ts') : name);
  return readFile(path, 'utf8').catch(() => null);
};

/** Compiles one module; `options` are those in which modules differ. */
async function compile(source, target, level, options, readFile) {
  const flags = ['--noAssert', '--runtime', 'stub', '--importMemory', '--initialMemory', '1', ...options];
  const { error, stderr } = await asc.main([here(source), level, ...flags, '-o', target], { readFile });
  if (!error) return;
  console.error(stderr.toString());
  throw new Error(`${source}: ${error.message}`);
}

const files = (await readdir(here('kernels'))).filter((file) => file.endsWith('.ts'));
for (const file of files) {
  // The level that is fastest differs from file to file (V8 and Binaryen disagree about unrolled loops): a first line
  // `// asc: -O1` in the kernel file says it.
  const level = /^\/\/ asc: (-O\w+)/.exec(await readFile(here(`kernels/${file}`), 'utf8'))?.[1] ?? '-O3';
  for (const build of WIDE.includes(file) ? ['', '.fma', '.wide.fma'] : ['', '.fma']) {
    const options = [
      ...['--sharedMemory', '--maximumMemory', '65536'],
      ...['--memoryBase', `${STATIC_DATA}`],
      ...['--enable', `simd,threads,bulk-memory${build.endsWith('.fma') ? ',relaxed-simd' : ''}`],
    ];
    await compile(`kernels/${file}`, `${out}${file.replace(/\.ts$/, `${build}.wasm`)}`, level, options, reader(build.startsWith('.wide')));
  }
}
await checkKernels();

/** Throws unless the kernels that there are, in all files together, are those of the table. */
async function checkKernels() {
  const found = [];
  for (const file of files) {
    const module = new WebAssembly.Module(await readFile(`${out}${file.replace(/\.ts$/, '.wasm')}`));
    found.push(...WebAssembly.Module.exports(module).flatMap(({ kind, name }) => (kind === 'function' ? [name] : [])));
  }
  const missing = declared.filter((name) => !found.includes(name));
  const extra = found.filter((name) => !declared.includes(name));
  if (missing.length > 0)
    throw new Error(`asm/lowering has argument blocks of ${missing.join(', ')}, which no file of asm/kernels exports`);
  if (extra.length > 0) throw new Error(`asm/kernels exports ${extra.join(', ')}, whose argument blocks no file of asm/lowering has`);
}

const kernels = (await readdir(here('data'))).filter((file) => file.endsWith('.ts') && !file.endsWith('.gen.ts') && file !== 'abi.ts');
const exported = kernels.map((file) => file.slice(0, -3)).map((name) => `export { ${name} } from "./${name}";\n`);
await writeFile(
  here('data/index.gen.ts'),
  `// Written by asm/build.mjs: all data kernels, one module. What a kernel is: abi.ts.\n\n${exported.join('')}`,
);
// Each data worker has a memory of its own, not a shared one.
await compile('data/index.gen.ts', `${target}/data.wasm`, '-O3', ['--enable', 'simd,bulk-memory'], reader(false));

/** What a page can use, in one file: no page has the flag that the wide builds are for. */
const packed = (await readdir(out)).filter((file) => file.endsWith('.wasm') && !file.includes('.wide.')).sort();
const paths = [...packed.map((file) => `kernels/${file}`), 'data.wasm'];
const contents = await Promise.all(paths.map((path) => readFile(`${target}/${path}`)));
const table = Buffer.from(JSON.stringify(paths.map((path, i) => [path, contents[i].length])));
const length = Buffer.alloc(4);
length.writeUInt32LE(table.length);
await writeFile(`${target}/kernels.pack`, Buffer.concat([length, table, ...contents]));
