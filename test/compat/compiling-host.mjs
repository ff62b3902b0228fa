// A program that embeds the package and compiles other WebAssembly all the while: large modules without SIMD (h5wasm, whose functions
// it calls so that they are optimised too) and modules full of it. Ends with `well`; what it must not do is crash or hang.

import { readdir, readFile } from 'node:fs/promises';
import { buildModel, memoryDataset, openDevice, train } from '../../dist/runtime/index.js';

const folder = new URL('../../dist/asm/kernels/', import.meta.url);
const names = (await readdir(folder)).filter((name) => name.endsWith('.wasm'));
const ours = await Promise.all(names.map((name) => readFile(new URL(name, folder))));

// h5wasm hands its bytes to the engine: that is where to get them.
const others = [];
const { instantiate } = WebAssembly;
WebAssembly.instantiate = (bytes, imports) => {
  if (!(bytes instanceof WebAssembly.Module)) others.push(new Uint8Array(bytes));
  return instantiate.call(WebAssembly, bytes, imports);
};
const h5wasm = (await import('h5wasm/node')).default;
await h5wasm.ready;

/** The same module under another name: engines keep what they have compiled. */
let copies = 0;
const copyOf = (bytes) => Buffer.concat([bytes, Uint8Array.of(0, 4, 1, 0x63, copies & 255, copies++ >> 8)]);

let over = false;
async function compileEndlessly() {
  while (!over) {
    await Promise.all([...others, ...ours].map((bytes) => WebAssembly.compile(copyOf(bytes)).catch(() => {})));
    const file = new h5wasm.File(`/tmp/compiling-host-${process.pid}.h5`, 'w');
    for (let i = 0; i < 20; i++) file.create_dataset({ name: `values${i}`, data: new Float32Array(4096).map((_, k) => k * i) });
    file.close();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

const images = new Uint8Array(64 * 16 * 16 * 3).map((_, i) => (i * 2654435761) >>> 24);
const dataset = memoryDataset({
  name: 'made up',
  images,
  labels: Int32Array.from({ length: 64 }, (_, i) => i % 4),
  shape: [16, 16, 3],
  classes: ['a', 'b', 'c', 'd'],
});

async function once() {
  const device = await openDevice('wasm', { v8Flags: true });
  try {
    const model = buildModel('convmixer', { input: [16, 16, 3], classes: 4, dim: 32, depth: 2 });
    const { epoch } = await train({ device, model, train: dataset, test: dataset, epochs: 2, batch: 16, workers: 0 }).result;
    return epoch;
  } finally {
    await device.close();
  }
}

const compiling = compileEndlessly();
await Promise.all([once(), once()]);
await once();
over = true;
await compiling;
console.log('well');
