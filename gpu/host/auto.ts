// What `--device auto` thinks of this machine's GPU.

import { HybridError } from '../../runtime/base/errors.ts';
import { formatSelfTest, type SelfTestResult, selfTest } from '../../runtime/compile/self-test.ts';
import { describeAdapter, findAdapter, unitOf } from './adapter.ts';
import type { AdapterReport } from './adapter-report.ts';
import { acquireInstance, type BindingOptions } from './binding.ts';
import type { WebGpuDevice, WebGpuDeviceOptions } from './device.ts';
import type { TuneOptions } from './tune.ts';

export interface GpuVerdict {
  /** Open, and the caller's to close. Null: not to be used. */
  readonly device: WebGpuDevice | null;
  /** One line that says why. */
  readonly reason: string;
  readonly adapter?: AdapterReport;
  readonly selfTest?: SelfTestResult;
}

export interface OpenOptions extends WebGpuDeviceOptions {
  /** Races kernels once the self-test is passed (WebGpuDevice.tune). */
  readonly tune?: TuneOptions;
}

export interface TrustOptions extends OpenOptions {
  /** Tests software adapters as well, which are not used in any case. */
  readonly testSoftware?: boolean;
}

/**
 * Opens a GPU in a tier that was asked for by name. Throws E_ENVIRONMENT where there is none that offers it, E_DEVICE where it fails the self-test:
 * drivers have their bugs. Software adapters are taken at their word in f32: they compute as the tests of this package do.
 */
export async function openGpu(given: OpenOptions): Promise<{ readonly device: WebGpuDevice; readonly selfTest?: SelfTestResult }> {
  const { tune, ...options } = given;
  const device = await (await import('./device.ts')).openWebGpuDevice(options);
  if (device.precision === 'f32' && device.adapter.software) return { device };
  try {
    const result = await selfTest(device);
    if (result.passed) {
      if (tune) device.tune(tune);
      return { device, selfTest: result };
    }
    throw new HybridError(
      'E_DEVICE',
      `${device.adapter.name} fails the self-test of the precision ${device.precision} (${formatSelfTest(result)})`,
      device.precision === 'f32'
        ? 'Use `device: wasm`; and please report it with `hybrid doctor --markdown`.'
        : 'Use `precision: f32`; and please report it with `hybrid doctor --markdown`.',
    );
  } catch (error) {
    await device.close();
    if (usesF32Matrices(device) && error instanceof HybridError) return openGpu({ ...given, f32Matrices: false });
    throw error;
  }
}

/** A unit that experimental words of WGSL speak to: where the self-test does not pass with it, the GPU is asked again without. */
const usesF32Matrices = ({ adapter, precision }: Pick<WebGpuDevice, 'adapter' | 'precision'>): boolean =>
  unitOf(adapter, precision)?.component === 'f32';

/** What the GPU of this machine is and offers, f16 included, without opening it; null: there is none. */
export async function describeGpu(options: BindingOptions = {}): Promise<AdapterReport | null> {
  try {
    const instance = await acquireInstance({ ...options, precision: 'f16' });
    try {
      return describeAdapter(await findAdapter(instance.gpu));
    } finally {
      instance.release();
    }
  } catch (error) {
    if (error instanceof HybridError) return null;
    throw error;
  }
}

/** Opens a GPU that is one, and that computes what it should. Throws nothing that has to do with the GPU. */
export async function openTrustedGpu(given: TrustOptions = {}): Promise<GpuVerdict> {
  const { testSoftware, tune, ...options } = given;
  let device: WebGpuDevice;
  try {
    // Most machines without a GPU show it here, before the device and all its kernels are loaded.
    const instance = options.gpu ? null : await acquireInstance(options);
    try {
      device = await (await import('./device.ts')).openWebGpuDevice(options);
    } finally {
      instance?.release();
    }
  } catch (error) {
    if (error instanceof HybridError) return { device: null, reason: error.message };
    throw error;
  }
  const { adapter } = device;
  const { name } = adapter;
  let result: SelfTestResult | undefined;
  let reason = `${name} is a software adapter: it computes on the CPU, more slowly than the wasm device`;
  if (!adapter.software || testSoftware) {
    try {
      result = await selfTest(device);
      const measured = formatSelfTest(result);
      if (result.passed && !adapter.software) {
        if (tune) device.tune(tune);
        return { device, adapter, selfTest: result, reason: `${name} passes the self-test (${measured})` };
      }
      if (!result.passed) reason = `${name} fails the self-test (${measured})`;
    } catch (error) {
      reason = `${name} fails in the self-test: ${(error as Error).message}`;
    }
  }
  await device.close();
  if (!adapter.software && usesF32Matrices(device)) return openTrustedGpu({ ...given, f32Matrices: false });
  return { device: null, adapter, selfTest: result, reason };
}
