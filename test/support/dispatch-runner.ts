// Runs the dispatches of single nodes on a software adapter, without the host of the webgpu device: for tests of kernels. What a
// kernel may not lean on is filled with NaN before (outputs, scratch, rows beyond the run) and looked at after.

import { findAdapter, requestDevice } from '../../gpu/host/adapter.ts';
import { acquireInstance } from '../../gpu/host/binding.ts';
import { lowerings } from '../../gpu/lowering/index.ts';
import type { Binding, Lowering, LoweringContext, Operand } from '../../gpu/lowering/lowering.ts';
import { packStep, STEP_BYTES } from '../../gpu/lowering/step.ts';
import { plainStorage, storedBytes } from '../../gpu/lowering/storage.ts';
import { type GpuOpName, gpuOps } from '../../gpu/ops/index.ts';
import type { Constants } from '../../runtime/base/constants.ts';
import { BYTES_PER_ELEMENT, byteLength, type DType, type TensorSpec } from '../../runtime/ir/graph.ts';
import { updateOps } from '../../runtime/ops/optimizer.ts';
import { type FlatName, ruleOf, slotsOf } from '../../runtime/optim/index.ts';
import { fromHalf, toHalf } from './half.ts';
import type { OpCase } from './op-case.ts';
import { STEP } from './reference.ts';
import { useSwiftShader } from './swiftshader.ts';
import { testNode } from './test-node.ts';

/** A NaN that no kernel makes. */
const POISON = 0x7fc0dead;
type View = Float32Array | Uint8Array | Int32Array;
const ARRAYS: Record<DType, new (buffer: ArrayBuffer, offset: number, length: number) => View> = {
  f32: Float32Array,
  u8: Uint8Array,
  i32: Int32Array,
};

const align = (n: number, to: number): number => Math.ceil(n / to) * to;

/** Tensors that lie in one buffer, in order: single ones, or those of a flat range. */
interface Place {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly bytes: number;
}

export interface RunOptions {
  /** The capacity to lower for; the rows of the run by default. */
  readonly capacity?: number;
  /** What the kernels are generated for, where it is not the adapter's. */
  readonly change?: Partial<Pick<LoweringContext, 'limits' | 'features' | 'precision' | 'choose'>>;
  /** Images are stored as f16 (`isHalf`). */
  readonly halves?: boolean;
  /** What a compiler that takes liberties may make of a kernel. */
  readonly rewrite?: (code: string) => string;
}

export class DispatchRunner {
  readonly #gpu: GPU;
  readonly #pipelines = new Map<string, { readonly layout: GPUBindGroupLayout; readonly pipeline: GPUComputePipeline }>();
  readonly device: GPUDevice;

  private constructor(gpu: GPU, device: GPUDevice) {
    this.#gpu = gpu;
    this.device = device;
  }

  /** On SwiftShader; with `f16` on the adapter of this machine, which must have it. */
  static async open({ f16 = false } = {}): Promise<DispatchRunner> {
    if (!f16) useSwiftShader();
    const { create, globals } = await import('webgpu');
    Object.assign(globalThis, globals);
    const gpu = create(f16 ? ['enable-dawn-features=vulkan_enable_f16_on_nvidia'] : []);
    const adapter = await gpu.requestAdapter();
    if (!adapter) throw new Error('there is no adapter');
    const { maxStorageBuffersPerShaderStage, maxComputeWorkgroupStorageSize } = adapter.limits;
    const device = await adapter.requestDevice({
      requiredLimits: { maxStorageBuffersPerShaderStage, maxComputeWorkgroupStorageSize },
      requiredFeatures: f16 ? ['shader-f16'] : [],
    });
    return new DispatchRunner(gpu, device);
  }

  /** On the adapter that the host of the webgpu device takes for the tiers with f16. Rejects where there is none. */
  static async openSystem(): Promise<{ readonly runner: DispatchRunner; readonly adapter: GPUAdapter }> {
    const { gpu } = await acquireInstance({ precision: 'f16' });
    const adapter = await findAdapter(gpu);
    return { runner: new DispatchRunner(gpu, await requestDevice(adapter, 'f16')), adapter };
  }

  /** What kernels are generated for. */
  context(
    capacity: number,
    change: Partial<Pick<LoweringContext, 'limits' | 'features' | 'precision' | 'choose'>> = {},
  ): Omit<LoweringContext, 'spec' | 'storage' | 'scratch'> {
    const { limits } = this.device;
    return {
      capacity,
      precision: 'f32',
      limits: {
        workgroupStorage: limits.maxComputeWorkgroupStorageSize,
        invocations: limits.maxComputeInvocationsPerWorkgroup,
        storageBuffers: limits.maxStorageBuffersPerShaderStage,
      },
      features: { f16: false, subgroups: false, subgroupMatrix: false },
      ...change,
    };
  }

  /** Outputs with the rows of the run, the updated tensors, and the names of the kernels. */
  async run(
    op: GpuOpName,
    { rows, inputs: given, attrs, updates = [], step = {} }: OpCase,
    { capacity = rows, change = {}, halves = false, rewrite = (code) => code }: RunOptions = {},
  ) {
    const { node, specs, inputs } = testNode(op, given, attrs, updates, gpuOps);
    const ids = specs.map((_, id) => id);
    const storage = (id: number) => (halves && isHalf(specs[id]) ? 'f16' : plainStorage({ spec: specs[id] }));
    const bytesOf = (id: number, count: number) => storedBytes(specs[id], storage(id), count);
    const buffers: GPUBuffer[] = [];
    const allocate = (bytes: number, fill = POISON): GPUBuffer => {
      const size = align(bytes, 16);
      const buffer = this.device.createBuffer({ size, usage: 0x8c, mappedAtCreation: true }); // storage, copy both ways
      new Uint32Array(buffer.getMappedRange()).fill(fill);
      buffer.unmap();
      buffers.push(buffer);
      return buffer;
    };
    const places = new Map<number, Place>();
    const ranges = new Map<string, Place>();
    /** Tensors one after the other, the padding between them zero. */
    const range = (name: string, members: readonly number[]): void => {
      const offsets: number[] = [];
      let bytes = 0;
      for (const id of members) {
        offsets.push(bytes);
        bytes += align(byteLength(specs[id], 1), 256);
      }
      if (!members.length) return;
      const buffer = allocate(bytes, 0);
      ranges.set(name, { buffer, offset: 0, bytes });
      for (const [i, id] of members.entries()) places.set(id, { buffer, offset: offsets[i], bytes: byteLength(specs[id], 1) });
    };
    const { gradients = [] } = node.args as { readonly gradients?: readonly number[] };
    if (op === 'finiteCheck' || op === 'gradientScale') range('gradients', gradients);
    if (Object.hasOwn(updateOps, op)) {
      const count = gradients.length;
      const slots = slotsOf(ruleOf(op as FlatName), attrs as Constants).map((slot) => `slot:${slot}`);
      range('gradients', gradients);
      for (const [i, name] of ['parameters', ...slots].entries()) range(name, node.updates.slice(i * count, (i + 1) * count));
    }
    for (const id of ids) {
      const bytes = bytesOf(id, capacity);
      if (!places.has(id)) places.set(id, { buffer: allocate(bytes), offset: 0, bytes });
    }
    const write = (id: number, data: ArrayLike<number>): void => {
      const { buffer, offset } = places.get(id) as Place;
      const bytes = new ArrayBuffer(align(bytesOf(id, rows), 4));
      if (storage(id) === 'f16') {
        new Uint16Array(bytes).set(Array.from(data, toHalf));
        this.device.queue.writeBuffer(buffer, offset, bytes);
        return;
      }
      if (specs[id].dtype === 'u8') new Uint32Array(bytes).fill(POISON);
      new ARRAYS[specs[id].dtype](bytes, 0, data.length).set(data);
      this.device.queue.writeBuffer(buffer, offset, bytes);
    };
    for (const [i, id] of node.inputs.entries()) write(id, inputs[i].data);
    for (const [i, id] of node.updates.entries()) write(id, updates[i].data);

    const scratch: Place[] = [];
    const context: LoweringContext = {
      ...this.context(capacity, change),
      spec: (id) => specs[id] as TensorSpec,
      storage,
      scratch(bytes) {
        scratch.push({ buffer: allocate(bytes), offset: 0, bytes: align(bytes, 16) });
        return { scratch: scratch.length - 1 };
      },
    };
    const dispatches = ((lowerings as Readonly<Record<string, unknown>>)[op] as Lowering)(node as never, context);
    const placeOf = (operand: Operand): Place =>
      ('value' in operand
        ? places.get(operand.value)
        : 'scratch' in operand
          ? scratch[operand.scratch]
          : ranges.get(operand.range)) as Place;
    const stepBuffer = this.device.createBuffer({ size: STEP_BYTES, usage: 0x48 }); // uniform, copy destination
    buffers.push(stepBuffer);
    const block = new ArrayBuffer(STEP_BYTES);
    packStep({ ...STEP, ...step, rows }, block);
    this.device.queue.writeBuffer(stepBuffer, 0, block);
    const encoder = this.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const { kernel, code, bindings, workgroups } of dispatches) {
      this.device.pushErrorScope('validation');
      const { layout, pipeline } = this.#pipeline(rewrite(code), bindings);
      const resources = bindings.map(({ operand }) => {
        const { buffer, offset, bytes } = placeOf(operand);
        return { buffer, offset, size: align(bytes, 16) };
      });
      const bindGroup = this.device.createBindGroup({
        layout,
        entries: [{ buffer: stepBuffer }, ...resources].map((resource, binding) => ({ binding, resource })),
      });
      const error = await this.device.popErrorScope();
      if (error) throw new Error(`${op}, kernel ${kernel}: ${error.message}\n${numbered(code)}`);
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(...workgroups(rows));
    }
    pass.end();
    const downloads = [...node.outputs, ...node.updates].map((id) => {
      const { buffer, offset, bytes } = places.get(id) as Place;
      const size = align(bytes, 4);
      const target = this.device.createBuffer({ size, usage: 0x9 }); // map for reading, copy destination
      buffers.push(target);
      encoder.copyBufferToBuffer(buffer, offset, target, 0, size);
      return target;
    });
    this.device.pushErrorScope('validation');
    this.device.queue.submit([encoder.finish()]);
    const submitError = await this.device.popErrorScope();
    if (submitError) throw new Error(`${op}: ${submitError.message}`);
    const results: View[] = [];
    for (const [i, id] of [...node.outputs, ...node.updates].entries()) {
      await downloads[i].mapAsync(1);
      const data = downloads[i].getMappedRange().slice(0);
      const { dtype } = specs[id];
      const count = byteLength(specs[id], rows) / BYTES_PER_ELEMENT[dtype];
      results.push(
        storage(id) === 'f16' ? Float32Array.from(new Uint16Array(data, 0, count), fromHalf) : new ARRAYS[dtype](data, 0, count),
      );
      const beyond = new Uint32Array(data, Math.min(data.byteLength, align(bytesOf(id, rows), 4)));
      if (beyond.some((word) => word !== POISON)) throw new Error(`${op} wrote to rows beyond those of the run`);
    }
    for (const buffer of buffers) buffer.destroy();
    const outputs = results.slice(0, node.outputs.length);
    return { outputs, updates: results.slice(node.outputs.length), kernels: dispatches.map(({ kernel }) => kernel) };
  }

  #pipeline(code: string, bindings: readonly Binding[]) {
    const known = this.#pipelines.get(code);
    if (known) return known;
    const types = bindings.map(({ access }) => (access === 'read' ? 'read-only-storage' : 'storage') as GPUBufferBindingType);
    const layout = this.device.createBindGroupLayout({
      entries: (['uniform', ...types] as const).map((type, binding) => ({ binding, visibility: 4, buffer: { type } })), // compute
    });
    const pipeline = this.device.createComputePipeline({
      layout: this.device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module: this.device.createShaderModule({ code }) },
    });
    const made = { layout, pipeline };
    this.#pipelines.set(code, made);
    return made;
  }

  close(): void {
    this.device.destroy();
    void this.#gpu; // must live as long as the device
  }
}

/** What the tier f16 stores as such: images of activations. */
export const isHalf = ({ dtype, perSample, shape }: TensorSpec): boolean => dtype === 'f32' && perSample && shape.length === 3;

const numbered = (code: string): string =>
  code
    .split('\n')
    .map((line, i) => `${String(i + 1).padStart(4)}  ${line}`)
    .join('\n');
