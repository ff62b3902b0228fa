// Opens devices by name. Each is imported only when it is asked for.

import { HybridError } from './base/errors.ts';
import { own } from './base/own.ts';
import type { Device } from './device.ts';

/** Names that `openDevice` takes. */
export const DEVICES = ['auto', 'wasm', 'webgpu', 'reference'] as const;
/** `auto`: a GPU that passes the self-test, else `wasm`. */
export type DeviceName = (typeof DEVICES)[number];

/** Of `openDevice`; what a device has no use for it passes over. */
export interface DeviceOptions {
  /** Threads of the wasm device; all usable cores by default, from four on all but one. */
  readonly threads?: number;
  /**
   * Allows the wasm device to set V8 flags, which hold for the whole process, while it compiles its kernels: for faster
   * code, and on Node 20 for fused multiply-add. Off by default, as befits a library; the command line sets it.
   */
  readonly v8Flags?: boolean;
  /** False: the wasm device does without V8's revectorizer, even where it is faster. */
  readonly revectorize?: boolean;
  /** Told in a sentence what people should know of: that a GPU was lost and another one goes on. */
  readonly onNotice?: (text: string) => void;
  /** Told why `auto` took the device that it took. */
  readonly onChoice?: (reason: string) => void;
}

/**
 * Opens a device, which its caller closes. Throws E_USAGE for an unknown name or number of threads, E_ENVIRONMENT where this machine
 * lacks what the device needs: a GPU, the package `webgpu`, built kernels.
 */
export async function openDevice(name: DeviceName, given: DeviceOptions = {}): Promise<Device> {
  const options = own(given);
  switch (name) {
    case 'auto': {
      const { openTrustedGpu } = await import('../gpu/host/auto.ts');
      const { device, reason } = await openTrustedGpu({ onNotice: options.onNotice });
      options.onChoice?.(reason);
      return device ?? openDevice('wasm', options);
    }
    case 'wasm':
      return (await import('../asm/host/device.ts')).openWasmDevice(options);
    case 'webgpu':
      return (await import('../gpu/host/device.ts')).openWebGpuDevice({ onNotice: options.onNotice });
    case 'reference':
      return (await import('./reference.ts')).openReferenceDevice();
    default:
      throw new HybridError('E_USAGE', `no device is called ${JSON.stringify(name)}`, `Choose one of ${DEVICES.join(', ')}.`);
  }
}
