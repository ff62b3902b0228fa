// Opens devices by name. Each is imported only when it is asked for.

import { HybridError, nearest } from './base/errors.ts';
import { refuseUnknown } from './base/kinds.ts';
import { own } from './base/own.ts';
import { formatSelfTest } from './compile/self-test.ts';
import { type Device, PRECISIONS, type Precision } from './device.ts';
import { DEVICE_SETTINGS, type TuneStore } from './device-settings.ts';

/** Names that `openDevice` takes. */
export const DEVICES = ['auto', 'wasm', 'webgpu', 'reference'] as const;
/**
 * `auto`: a GPU that passes the self-test, else `wasm`.
 *
 * @category Devices
 */
export type DeviceName = (typeof DEVICES)[number];

/**
 * Options for `openDevice`. Those that do not apply to a device are ignored.
 *
 * @category Devices
 */
export interface DeviceOptions {
  /** Threads of the wasm device; all usable cores by default, from four on all but one. */
  readonly threads?: number;
  /**
   * Allows the wasm device to set flags of V8, which hold for the whole process and stay set: on Node 20 for fused multiply-add, on Node 24
   * for 256-bit operations. It sets none in a worker thread, and none on later versions, where the process must be started with them
   * (`onNotice` reports how). Off by default.
   */
  readonly v8Flags?: boolean;
  /** False disables V8's revectorizer in the wasm device, even where it is faster. */
  readonly revectorize?: boolean;
  /** Tier of the numbers; others than f32 are a GPU's. `auto`, the default: f32, until the others have been measured on hardware. */
  readonly precision?: Precision | 'auto';
  /**
   * Where the webgpu device keeps which of some kernels with the same bits are the fastest on this GPU: it measures them before it
   * compiles a network for training, for half a second at most, once for each GPU, driver and network. By default it measures nothing.
   */
  readonly tuneStore?: TuneStore;
  /** Called with notices for people, such as that a lost GPU was replaced by another one. */
  readonly onNotice?: (text: string) => void;
  /** Called with the reason why `auto` chose the device. */
  readonly onChoice?: (reason: string) => void;
  /** Called with the precision in use, and the reason. */
  readonly onPrecision?: (reason: string) => void;
}

/** All names of `DeviceOptions`. */
const OPTION_NAMES = [...Object.keys(DEVICE_SETTINGS), 'v8Flags', 'tuneStore', 'onNotice', 'onChoice', 'onPrecision'];

/** Devices by the names that they have elsewhere. */
const ELSEWHERE: Readonly<Record<string, DeviceName>> = { cpu: 'wasm', gpu: 'webgpu', cuda: 'webgpu', metal: 'webgpu', mps: 'webgpu' };

/**
 * Opens a device, `auto` by default, which its caller closes. Throws E_USAGE for an unknown name, option or number of threads, E_ENVIRONMENT where this machine
 * lacks what the device needs: a GPU, the package `webgpu`, built kernels, or a tier of the GPU. E_DEVICE: the GPU fails the self-test of a tier
 * other than f32.
 *
 * @category Devices
 */
export async function openDevice(name: DeviceName = 'auto', given: DeviceOptions = {}): Promise<Device> {
  refuseUnknown(Object.keys(given), OPTION_NAMES, 'openDevice');
  const options = own(given);
  const { precision = 'auto', onNotice, onPrecision, tuneStore } = options;
  const { read, write, version } = Object(tuneStore) as Partial<TuneStore>;
  if (tuneStore !== undefined && !(typeof read === 'function' && typeof write === 'function' && typeof version === 'string'))
    throw new HybridError('E_USAGE', '`tuneStore` is incomplete', 'Give an object with `version` (text), `read` and `write` (functions).', {
      field: 'tuneStore',
    });
  const tune = tuneStore && { store: tuneStore };
  if (precision !== 'auto' && !PRECISIONS.includes(precision))
    throw new HybridError('E_USAGE', `unknown precision ${JSON.stringify(precision)}`, `Choose one of auto, ${PRECISIONS.join(', ')}.`);
  for (const [setting, { kind }] of Object.entries(DEVICE_SETTINGS)) {
    const value = options[setting as keyof typeof DEVICE_SETTINGS];
    if (value !== undefined) kind.check(value, setting);
  }
  switch (name) {
    case 'auto': {
      const { openTrustedGpu } = await import('../gpu/host/auto.ts');
      const asked = precision === 'auto' ? 'f32' : precision;
      const { device, reason, selfTest } = await openTrustedGpu({ precision: asked, onNotice, tune });
      if (!device && asked !== 'f32') throw new HybridError('E_ENVIRONMENT', `the precision ${asked} needs a GPU: ${reason}`, WITHOUT_GPU);
      options.onChoice?.(reason);
      if (!device) return openDevice('wasm', options);
      onPrecision?.(whyPrecision(precision, selfTest));
      return device;
    }
    case 'wasm':
      if (precision !== 'auto' && precision !== 'f32')
        throw new HybridError(
          'E_USAGE',
          `the wasm device computes in f32, not in ${precision}`,
          'Use `device: webgpu`, or omit `precision`.',
          { field: 'precision', suggested: 'f32' },
        );
      return (await import('../asm/host/device.ts')).openWasmDevice(options);
    case 'webgpu': {
      const { openGpu } = await import('../gpu/host/auto.ts');
      const { device, selfTest } = await openGpu({ precision: precision === 'auto' ? 'f32' : precision, onNotice, tune });
      onPrecision?.(whyPrecision(precision, selfTest));
      return device;
    }
    case 'reference':
      if (precision !== 'auto')
        throw new HybridError('E_USAGE', `the reference device computes in doubles, not in ${precision}`, 'Omit `precision`.');
      return (await import('./reference.ts')).openReferenceDevice();
    default:
      throw unknownDevice(name);
  }
}

function unknownDevice(name: unknown): HybridError {
  const word = String(name).toLowerCase();
  const near = Object.hasOwn(ELSEWHERE, word) ? ELSEWHERE[word] : nearest(word, DEVICES);
  const meant = near === undefined ? '' : `; did you mean ${near}?`;
  return new HybridError('E_USAGE', `unknown device ${JSON.stringify(name)}${meant}`, `Choose one of ${DEVICES.join(', ')}.`);
}

const WITHOUT_GPU = 'Omit `precision`, or see `hybrid doctor`.';

/** In one line. */
function whyPrecision(precision: Precision | 'auto', selfTest: Parameters<typeof formatSelfTest>[0] | undefined): string {
  if (precision === 'auto') return 'f32: the meaning of auto until f16 and f16x3 have been measured on hardware (`precision` selects them)';
  const tested = selfTest ? `; it passes the self-test (${formatSelfTest(selfTest)})` : '';
  return `${precision}: requested${tested}${precision === 'f32' ? '' : '; the loss is scaled'}`;
}
