// Instances of WebGPU, from Dawn's binding for Node. It is an optional dependency: nothing is loaded, and nothing missed, before
// somebody asks for a GPU.

import { HybridError } from '../../runtime/base/errors.ts';
import { remedyOfRestriction } from '../../runtime/base/restrictions.ts';
import type { Precision } from '../../runtime/device.ts';
import { host } from '../../runtime/hosts/index.ts';

/** Flags of WebGPU's enumerations, as the specification numbers them: the binding keeps them in no importable place. */
export const USAGE = { mapRead: 0x1, copySrc: 0x4, copyDst: 0x8, uniform: 0x40, storage: 0x80, queryResolve: 0x200 } as const;
export const MAP_READ = 0x1;
export const COMPUTE_STAGE = 0x4;

export interface BindingOptions {
  /** Dawn's backend. `null` executes nothing: it is there to measure what submitting costs. */
  readonly backend?: 'null' | 'vulkan' | 'metal' | 'd3d12';
  /** Tier of the numbers; `f32` by default. */
  readonly precision?: Precision;
}

/** Otherwise profiles come in steps of 65 µs. */
const FLAGS = ['disable-dawn-features=timestamp_quantization'];
/** Subgroup matrices are experimental, and f16 is off on NVIDIA: only where they are asked for, and used only if the self-test passes. */
const F16_FLAGS = ['enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia'];
/** Apple's matrices of f32 are subgroup matrices as well. */
const F32_FLAGS = host.platform === 'darwin' ? ['enable-dawn-features=allow_unsafe_apis'] : [];

/**
 * Dawn's instances by their flags, and the number of users of each. An instance must not be collected while any of its devices lives, or the
 * process crashes; and it must be let go of afterwards.
 */
const instances = new Map<string, { readonly gpu: GPU; users: number }>();

/**
 * The instance of a backend and a tier, held until `release` is called. Throws E_ENVIRONMENT where the package is not installed or has no
 * binary for this system.
 */
export async function acquireInstance({
  backend,
  precision = 'f32',
}: BindingOptions = {}): Promise<{ readonly gpu: GPU; release(): void }> {
  const flags = [...FLAGS, ...(precision === 'f32' ? F32_FLAGS : F16_FLAGS), ...(backend ? [`backend=${backend}`] : [])];
  const key = flags.join(' ');
  const create = await loadCreate();
  const missing = backend === 'null' ? null : host.gpu.missing();
  if (missing) throw new HybridError('E_ENVIRONMENT', `this machine offers no GPU to WebGPU: ${missing.message}`, missing.remedy);
  const instance = instances.get(key) ?? { gpu: create(flags), users: 0 };
  instances.set(key, instance);
  instance.users++;
  let released = false;
  return {
    gpu: instance.gpu,
    release() {
      if (released) return;
      released = true;
      if (--instance.users === 0) instances.delete(key);
    },
  };
}

async function loadCreate(): Promise<(flags: string[]) => GPU> {
  try {
    return (await host.gpu.load()) as (flags: string[]) => GPU;
  } catch (error) {
    const missing = host.gpu.isMissing(error);
    throw new HybridError(
      'E_ENVIRONMENT',
      missing
        ? 'the webgpu device needs the optional package `webgpu`, which is not installed'
        : `the package \`webgpu\` does not load on this system (${process.platform}, ${process.arch}): ${(error as Error).message}`,
      missing ? 'Run `npm install webgpu@0.6.2`, or use `device: wasm`.' : (remedyOfRestriction(error) ?? 'Use `device: wasm`.'),
      { cause: error },
    );
  }
}
