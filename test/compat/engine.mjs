// What can differ from engine to engine, tried in the one that runs this file: Node, Bun or Deno. One line for each check, `ok`, `FAIL` or
// `skip`, then one of JSON; ends with status 1 where a check failed. test/compat/run.mjs runs it in all of them.
//
//   ENGINE test/compat/engine.mjs [NAME...]      only the checks whose names begin with one of these

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { deflateSync } from 'node:zlib';
import { syntheticSource } from '../../dist/runtime/entries/data.js';
import { trainingGraphs } from '../../dist/runtime/entries/graph.js';
import { initialize } from '../../dist/runtime/entries/layers.js';
import { selfTest } from '../../dist/runtime/entries/tools.js';
import { augmentOptions, buildModel, openDevice, train } from '../../dist/runtime/index.js';
import { support } from './support.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));
const path = (name) => join(root, name);
const folder = mkdtempSync(join(tmpdir(), 'hybrid-compat-'));
const engine = process.versions.bun ? 'bun' : process.versions.deno ? 'deno' : 'node';
const wanted = process.argv.slice(2);
/** Runs a script in a process of this engine. */
const START = { node: [], bun: [], deno: ['run', '-A', '--unstable-webgpu'] }[engine];
const script = (argv, options = {}) =>
  promisify(execFile)(process.execPath, [...START, ...argv], { cwd: folder, timeout: 120_000, ...options });

const counts = { passed: 0, failed: 0, skipped: 0 };
class Skip extends Error {}
const skip = (why) => {
  throw new Skip(why);
};
function assert(condition, what) {
  if (!condition) throw new Error(what);
}

async function check(name, body) {
  if (wanted.length > 0 && !wanted.some((one) => name.startsWith(one))) return;
  const begin = performance.now();
  const said = (word, more = '') =>
    console.log(`${word} ${name} (${((performance.now() - begin) / 1000).toFixed(1)} s)${more && `: ${more}`}`);
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('no end within five minutes')), 300_000);
  });
  try {
    const more = await Promise.race([body(), late]);
    counts.passed++;
    said('ok', more);
  } catch (error) {
    if (error instanceof Skip) {
      counts.skipped++;
      said('skip', error.message);
    } else {
      counts.failed++;
      said('FAIL', `${error.stack ?? error}${error.stderr ? `\n${error.stderr}` : ''}`);
    }
  } finally {
    clearTimeout(timer);
  }
}

const digests = {};

await check('the self-test of the wasm device', async () => {
  const device = await openDevice('wasm', { v8Flags: true });
  const result = await selfTest(device);
  await device.close();
  assert(result.passed, JSON.stringify(result));
  return device.description;
});

for (const build of ['plain', 'fma', 'wide']) {
  await check(`kernels: ${build}, against the reference`, async () => {
    const { hasFma } = await import('../../dist/asm/host/modules.js');
    if (build !== 'plain' && !WebAssembly.validate(readFileSync(path('dist/asm/kernels/conv.fma.wasm')))) skip('no relaxed SIMD');
    const { opCases } = await support('cases', folder);
    const { NodeRunner } = await support('node-runner', folder);
    const { runReference } = await support('reference', folder);
    const { copy } = await support('tensors', folder);
    const runner = await NodeRunner.open(build, 2);
    let cases = 0;
    for (const [op, make] of Object.entries(opCases)) {
      for (const one of make()) {
        const updates = one.updates?.map(copy);
        const expected = runReference(op, one.inputs, one.attrs, { rows: one.rows, step: one.step, updates });
        const actual = await runner.run(op, one, one.rows + 3);
        const compare = (found, { data }, what) => {
          // Sums of some hundred products: what is wrong with a kernel is wrong by far more.
          const scale = Math.max(1, ...Array.from(data, Math.abs).filter(Number.isFinite));
          for (let i = 0; i < data.length; i++) {
            // Entries of partials beyond the tiles are nobody's.
            const same = Object.is(found[i], data[i]) || Math.abs(found[i] - data[i]) <= 2e-5 * scale || (what > 0 && data[i] === 0);
            assert(same, `${op}, ${one.name}, output ${what}: [${i}] is ${found[i]} and not ${data[i]}`);
          }
        };
        for (const [i, tensor] of expected.entries()) compare(actual.outputs[i], tensor, i);
        for (const [i, tensor] of (updates ?? []).entries()) compare(actual.updates[i], tensor, 0);
        cases++;
      }
    }
    await runner.close();
    return `${cases} cases, ${hasFma() ? 'fused' : 'not fused'}`;
  });
}

const synthetic = syntheticSource({ train: 200, test: 40 }).train;
const smallModel = () =>
  buildModel('convmixer', { input: synthetic.shape, classes: synthetic.classes.length, dim: 16, depth: 2, patch: 4 });
const SMALL = { train: synthetic, epochs: 2, batch: 32, seed: 1n };
const digestOf = (weights) => {
  const hash = createHash('sha256');
  for (const [name, value] of weights) {
    const data = value.data ?? value;
    hash.update(name).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest('hex');
};

await check('bits: any number of threads and of data workers', async () => {
  const found = new Set();
  for (const [threads, workers] of [
    [1, 0],
    [2, 1],
    [3, 2],
  ]) {
    const device = await openDevice('wasm', { threads, v8Flags: true });
    const run = train({ device, model: smallModel(), ...SMALL, workers, augment: augmentOptions('flip') });
    await run.result;
    found.add(digestOf(await run.weights));
    digests[device.arithmetic] = [...found][0];
    await device.close();
  }
  assert(found.size === 1, `${found.size} different results`);
});

await check('training: stopped and resumed, with the bits of a run that was not', async () => {
  const device = await openDevice('wasm', { threads: 2, v8Flags: true });
  const store = () => {
    const saved = new Map();
    return {
      location: 'memory',
      save: async (kind, checkpoint) => void saved.set(kind, structuredClone(checkpoint)),
      load: async (kind) => structuredClone(saved.get(kind) ?? null),
    };
  };
  const [whole, parts] = [store(), store()];
  const options = { device, model: smallModel(), ...SMALL };
  await train({ ...options, store: whole }).result;
  const run = train({ ...options, store: parts });
  for await (const event of run) if (event.type === 'step' && event.epoch === 2 && event.step >= 2) await run.stop();
  assert((await run.result).reason === 'aborted', 'it was not stopped');
  await train({ ...options, store: parts, resume: await parts.load('last') }).result;
  const [a, b] = await Promise.all([whole, parts].map(async (one) => digestOf((await one.load('last')).weights)));
  assert(a === b, 'other bits');
  await device.close();
});

await check('devices: three at once', async () => {
  const devices = await Promise.all([1, 2, 1].map((threads) => openDevice('wasm', { threads, v8Flags: true })));
  assert(new Set(devices.map(({ arithmetic }) => arithmetic)).size === 1, 'of different arithmetic');
  await Promise.all(devices.map((device) => device.close()));
});

const well = async (name) => {
  const { stdout } = await script([path(`test/compat/${name}`)]);
  assert(stdout === 'well\n', `it said ${JSON.stringify(stdout)}`);
};
await check('devices: in eight workers at once', () => well('eight-workers.mjs'));
await check('devices: in a host that compiles WebAssembly meanwhile', () => well('compiling-host.mjs'));

await check('imports: CommonJS', async () => {
  const file = join(folder, 'program.cjs');
  const index = JSON.stringify(path('dist/runtime/index.js'));
  // Node 20 requires no ES module; importing one works everywhere.
  const required = engine === 'node' && !process.features.require_module ? '' : `require(${index}).openDevice || process.exit(3);`;
  writeFileSync(
    file,
    `${required} import(${index}).then(async ({ openDevice }) => { await (await openDevice('wasm', { threads: 1 })).close(); console.log('well'); });`,
  );
  const { stdout } = await script([file]);
  assert(stdout === 'well\n', stdout);
});

await check('imports: nothing is left behind, and a program ends by itself', async () => {
  const file = join(folder, 'program.mjs');
  writeFileSync(
    file,
    `import { openDevice } from ${JSON.stringify(path('dist/runtime/index.js'))}; await openDevice('wasm', { threads: 2 }); console.log('well');`,
  );
  const { stdout, stderr } = await script([file]);
  assert(stdout === 'well\n' && stderr === '', stdout + stderr);
});

const graphs = trainingGraphs(smallModel());
const images = new Uint8Array(8 * synthetic.shape.reduce((a, b) => a * b)).map((_, i) => (i * 2654435761) >>> 24);
const batch = { rows: 8, images, labels: new Int32Array(8).map((_, i) => i % 4), samples: new Int32Array(8).map((_, i) => i), epoch: 1 };
const HYPER = { learningRate: 1e-3, weightDecay: 1e-4, bnMomentum: 0.9 };
/** Three steps, and the weights after them. */
async function threeSteps(device) {
  const executable = await device.compile(graphs, { capacity: 8, seed: 1n });
  for (const [name, values] of initialize(smallModel(), 1n)) await executable.write(name, values);
  for (let i = 0; i < 3; i++) {
    await executable.gradient(batch);
    await executable.update(HYPER);
  }
  const hash = createHash('sha256');
  for (const name of initialize(smallModel(), 1n).keys()) {
    const data = await executable.read(name);
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  await executable.close();
  return hash.digest('hex');
}

await check('GPU: Dawn on SwiftShader', async () => {
  if (engine !== 'node') skip('the driver is loaded into Node');
  const { hasSwiftShader, useSwiftShader } = await support('swiftshader', folder);
  if (!hasSwiftShader || !existsSync(path('node_modules/webgpu'))) skip('SwiftShader or the package webgpu is not installed');
  useSwiftShader();
  const { openWebGpuDevice } = await import('../../dist/gpu/host/device.js');
  const device = await openWebGpuDevice();
  digests['webgpu on SwiftShader'] = await threeSteps(device);
  await device.close();
  return device.description;
});

await check("GPU: Dawn's null backend takes a training step", async () => {
  if (!existsSync(path('node_modules/webgpu'))) skip('the package webgpu is not installed');
  const { acquireInstance } = await import('../../dist/gpu/host/binding.js');
  const { openWebGpuDevice } = await import('../../dist/gpu/host/device.js');
  const instance = await acquireInstance({ backend: 'null' });
  const device = await openWebGpuDevice({ gpu: instance.gpu });
  await threeSteps(device);
  await device.close();
  await instance.release();
});

await check("GPU: the engine's own WebGPU", async () => {
  if (engine !== 'deno') skip('only Deno has one');
  const gpu = globalThis.navigator?.gpu;
  if (!(await gpu?.requestAdapter())) skip('it has no adapter here');
  const { openWebGpuDevice } = await import('../../dist/gpu/host/device.js');
  const device = await openWebGpuDevice({ gpu });
  const result = await selfTest(device);
  assert(result.passed, JSON.stringify(result));
  // With the same driver another compiler of WGSL must come to the same bits.
  digests[/SwiftShader/.test(device.description) ? 'webgpu on SwiftShader' : device.arithmetic] = await threeSteps(device);
  await device.close();
  return device.description;
});

/** Asks about every kernel. `refusalOf`: what is said against one, as text, or null. */
async function askAll(kernels, refusalOf) {
  const refused = [];
  for (const kernel of kernels) {
    const refusal = await refusalOf(kernel);
    if (refusal) refused.push(`${kernel.name}:\n${refusal}`);
  }
  const shown = refused.slice(0, 5).join('\n');
  assert(
    refused.length === 0,
    `${refused.length} of ${kernels.length} kernels are refused${refused.length > 5 ? ', of which the first five' : ''}:\n${shown}`,
  );
}

await check("WGSL: the engine's own WebGPU takes every kernel", async () => {
  if (engine !== 'deno') skip('only Deno has one');
  const adapter = await globalThis.navigator?.gpu?.requestAdapter();
  if (!adapter) skip('it has no adapter here');
  const half = adapter.features.has('shader-f16');
  const device = await adapter.requestDevice({ requiredFeatures: half ? ['shader-f16'] : [] });
  const { everyKernel } = await support('wgsl', folder);
  const kernels = everyKernel().filter((kernel) => half || !kernel.half);
  await askAll(kernels, async ({ name, code }) => {
    device.pushErrorScope('validation');
    device.createShaderModule({ label: name, code });
    return (await device.popErrorScope())?.message;
  });
  device.destroy();
  return `${kernels.length} kernels${half ? '' : ', none with f16, which the adapter has not'}`;
});

// Given by run.mjs, which installs it.
if (process.env.HYBRID_NAGA) {
  await check('WGSL: naga takes every kernel, and writes it for Metal, Direct3D and Vulkan', async () => {
    const naga = await import(pathToFileURL(process.env.HYBRID_NAGA).href);
    const { everyKernel } = await support('wgsl', folder);
    const kernels = everyKernel();
    await askAll(kernels, ({ code }) => {
      try {
        const module = naga.parseWgsl(code);
        const info = naga.validate(module);
        naga.writeMsl(module, info);
        naga.writeHlsl(module, info, { shaderModel: '6_2' }); // the first that has f16
        naga.writeSpirv(module, info);
        info.free();
        module.free();
        return null;
      } catch (error) {
        return error.formatted ?? String(error.stack);
      }
    });
    return `naga ${naga.nagaVersion}, ${kernels.length} kernels, ${kernels.filter(({ half }) => half).length} of them with f16`;
  });
}

await check('data kernels and data workers give the bytes of the loops', async () => {
  // The same run with augmentation on the calling thread and in workers: other bytes would be other weights.
  const found = new Set();
  for (const workers of [0, 2]) {
    const device = await openDevice('wasm', { threads: 1, v8Flags: true });
    const run = train({
      device,
      model: smallModel(),
      ...SMALL,
      epochs: 1,
      workers,
      augment: augmentOptions('crop,flip,rotate=0.1,erase,mixup'),
    });
    await run.result;
    found.add(digestOf(await run.weights));
    await device.close();
  }
  assert(found.size === 1, 'other bytes');
});

const cli = async (...argv) => script([path('dist/cli/main.js'), ...argv]);
await check('command line: version, summary, doctor', async () => {
  assert(/^\d+\.\d+\.\d+\n$/.test((await cli('--version')).stdout), 'no version');
  assert((await cli('summary', 'convmixer', '--dim', '8', '--depth', '1')).stdout.includes('dense'), 'no summary');
  const { stdout, stderr } = await cli('doctor', '--json');
  // Dawn, of which Deno shows more, may tell of the GPU; V8 must have nothing to say.
  assert(!/flag|option|fatal/i.test(stderr), stderr);
  const { wasm } = JSON.parse(stdout);
  assert(wasm.selfTest.passed, 'the self-test failed');
  return wasm.description;
});

await check('command line: train, resume, eval, predict, export, import', async () => {
  const small = ['--arch', 'convmixer', '--dim', '8', '--depth', '1', '--limit', '64', '--device', 'wasm'];
  await cli('train', '--data', 'synthetic', ...small, '--epochs', '1', '--out', folder, '--name', 'run', '--quiet');
  await cli('train', '--resume', join(folder, 'run'), '--epochs', '2', '--quiet');
  assert(JSON.parse((await cli('eval', join(folder, 'run'), '--device', 'wasm', '--json')).stdout).loss > 0, 'no loss');
  writeFileSync(join(folder, 'x.png'), png(32, 32));
  for (const [format, file] of [
    ['keras', 'x.keras'],
    ['onnx', 'x.onnx'],
    ['safetensors', 'x.safetensors'],
    ['npz', 'x.npz'],
    ['h5', 'x.weights.h5'],
  ])
    await cli('export', join(folder, 'run'), '--format', format, '-o', join(folder, file));
  const predictions = [];
  for (const model of ['run', 'x.keras'])
    predictions.push((await cli('predict', join(folder, model), join(folder, 'x.png'), '--device', 'wasm', '--json')).stdout);
  assert(predictions[0].length > 10 && predictions[1].length > 10, 'no predictions');
});

/** A grey picture as a PNG. */
function png(height, width) {
  const table = Int32Array.from({ length: 256 }, (_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
    return n;
  });
  const crc = (bytes) => ~bytes.reduce((c, byte) => table[(c ^ byte) & 255] ^ (c >>> 8), -1) >>> 0;
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const out = Buffer.alloc(body.length + 8);
    out.writeUInt32BE(data.length, 0);
    body.copy(out, 4);
    out.writeUInt32BE(crc(body), body.length + 4);
    return out;
  };
  const header = Buffer.from([0, 0, 0, width, 0, 0, 0, height, 8, 2, 0, 0, 0]);
  const rows = Buffer.concat(Array.from({ length: height }, (_, y) => Buffer.concat([Buffer.from([0]), Buffer.alloc(width * 3, y * 7)])));
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

rmSync(folder, { recursive: true, force: true });
console.log(JSON.stringify({ ...counts, digests }));
process.exit(counts.failed > 0 ? 1 : 0);
