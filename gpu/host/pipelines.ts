// Shaders to pipelines: compiled in parallel, each once for all executables of a device.

import { HybridError } from '../../runtime/base/errors.ts';
import type { Dispatch } from '../lowering/lowering.ts';
import { COMPUTE_STAGE } from './binding.ts';
import { type Gpu, REPORT } from './gpu.ts';

export class Pipelines {
  readonly #gpu: Gpu;
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  readonly #pipelines = new Map<string, Promise<GPUComputePipeline>>();

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** The layout of a dispatch's bind group. (One made from the shader would leave out bindings that it does not use.) */
  layout({ bindings }: Dispatch): GPUBindGroupLayout {
    const key = bindings.map(({ access }) => access).join();
    const layout =
      this.#layouts.get(key) ??
      this.#gpu.device.createBindGroupLayout({
        label: key,
        entries: [
          { binding: 0, visibility: COMPUTE_STAGE, buffer: { type: 'uniform' } },
          ...bindings.map(({ access }, i) => ({
            binding: 1 + i,
            visibility: COMPUTE_STAGE,
            buffer: { type: access === 'read' ? ('read-only-storage' as const) : ('storage' as const) },
          })),
        ],
      });
    this.#layouts.set(key, layout);
    return layout;
  }

  /**
   * The pipeline of a dispatch. `label` says whose it is. Rejects with E_INTERNAL and the line if it does not compile: the device can be used
   * for everything else all the same.
   */
  pipeline(dispatch: Dispatch, label: string): Promise<GPUComputePipeline> {
    const key = `${dispatch.bindings.map(({ access }) => access)}\n${dispatch.code}`;
    const found = this.#pipelines.get(key);
    if (found) return found;
    // What `within` sees rejected is the device's end. A shader that is wrong is none.
    const compiled = this.#compile(dispatch, label).catch((error: unknown) => {
      if (error instanceof HybridError) return error;
      throw error;
    });
    const pipeline = this.#gpu.within(`compilation of ${label}`, compiled).then((outcome) => {
      if (!(outcome instanceof HybridError)) return outcome;
      this.#pipelines.delete(key); // the next one has a label of its own
      throw this.#gpu.failure ?? outcome;
    });
    this.#pipelines.set(key, pipeline);
    return pipeline;
  }

  async #compile(dispatch: Dispatch, label: string): Promise<GPUComputePipeline> {
    const { device } = this.#gpu;
    device.pushErrorScope('validation');
    const module = device.createShaderModule({ label, code: dispatch.code });
    const invalid = await device.popErrorScope();
    if (invalid) {
      const { messages } = await module.getCompilationInfo();
      throw doesNotCompile(label, dispatch.code, messages.find(({ type }) => type === 'error') ?? invalid);
    }
    const layout = device.createPipelineLayout({ bindGroupLayouts: [this.layout(dispatch)] });
    try {
      return await device.createComputePipelineAsync({ label, layout, compute: { module, entryPoint: 'main' } });
    } catch (error) {
      throw doesNotCompile(label, dispatch.code, error as Error);
    }
  }
}

function doesNotCompile(label: string, code: string, error: { readonly message: string; readonly lineNum?: number }): HybridError {
  const where = error.lineNum ? `, line ${error.lineNum}` : '';
  const line = error.lineNum ? `\n  ${code.split('\n')[error.lineNum - 1]?.trim()}` : '';
  return new HybridError('E_INTERNAL', `internal error: the shader ${label} does not compile${where}: ${error.message}${line}`, REPORT);
}
