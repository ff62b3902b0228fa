// A GPU that fails on demand: the real binding, on Dawn's null backend (it accepts everything and computes nothing), with faults
// that no driver would give us when we ask.

import type { BufferRequest } from '../../gpu/host/gpu.ts';

export interface Faults {
  /** No adapter at all. */
  noAdapter?: boolean;
  /** The n-th submission (from 0) loses the device; or every one does. */
  loseAtSubmit?: number | 'every';
  /** The reason that is given for it. */
  lossReason?: GPUDeviceLostReason;
  /** Mapping never settles. */
  silent?: boolean;
  /** Buffers above this many bytes cannot be had. */
  memoryBytes?: number;
  /** What the adapters from now on tell otherwise of themselves. */
  info?: Partial<GPUAdapterInfo> & { readonly subgroupMatrixConfigs?: readonly object[] };
  /** The adapter has no timestamps. */
  noTimestamps?: boolean;
  /** The n-th submission contains a command that is not valid. */
  invalidAtSubmit?: number;
}

class GPUOutOfMemoryError extends Error {}

/** `gpu` with these faults, which may be changed at any time. `devices` counts those that were given. */
export function faultyGpu(
  gpu: GPU,
  faults: Faults,
): {
  readonly gpu: GPU;
  readonly seen: { devices: number; submits: number; buffers: BufferRequest[] };
  /** Loses the device that was given last. */
  lose(): void;
} {
  let lose = (): void => {};
  const seen = { devices: 0, submits: 0, buffers: [] as BufferRequest[] };
  const faulty = {
    async requestAdapter(options: GPURequestAdapterOptions) {
      if (faults.noAdapter) return null;
      const adapter = (await gpu.requestAdapter(options)) as GPUAdapter;
      if (faults.info) {
        const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
        Object.defineProperty(adapter, 'info', { value: { vendor, architecture, device, description, isFallbackAdapter, ...faults.info } });
      }
      if (faults.noTimestamps) {
        const features = new Set([...adapter.features].filter((feature) => feature !== 'timestamp-query'));
        Object.defineProperty(adapter, 'features', { value: features });
      }
      const requestDevice = adapter.requestDevice.bind(adapter);
      adapter.requestDevice = async (descriptor) => {
        seen.devices++;
        const instrumented = instrument(await requestDevice(descriptor), faults, seen);
        lose = instrumented.lose;
        return instrumented.device;
      };
      return adapter;
    },
  };
  return { gpu: faulty as unknown as GPU, seen, lose: () => lose() };
}

function instrument(
  device: GPUDevice,
  faults: Faults,
  seen: { submits: number; buffers: BufferRequest[] },
): { readonly device: GPUDevice; lose(): void } {
  let tell = (_info: { reason: GPUDeviceLostReason; message: string }): void => {};
  const lost = new Promise((resolve) => {
    tell = resolve as typeof tell;
  });
  const lose = (): void => {
    device.destroy();
    tell({ reason: faults.lossReason ?? 'unknown', message: 'the cable was pulled' });
  };
  Object.defineProperty(device, 'lost', { value: lost });
  let memoryError: Error | null = null;

  const createBuffer = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) => {
    const { label = '', size: bytes, usage } = descriptor;
    seen.buffers.push({ label, bytes, usage });
    if (bytes > (faults.memoryBytes ?? Number.POSITIVE_INFINITY)) memoryError = new GPUOutOfMemoryError(`${label} of ${bytes} bytes`);
    const buffer = createBuffer(descriptor);
    if (faults.silent) buffer.mapAsync = () => new Promise(() => {});
    return buffer;
  };
  const popErrorScope = device.popErrorScope.bind(device);
  device.popErrorScope = async () => {
    const found = memoryError as GPUError | null;
    memoryError = null;
    return (await popErrorScope()) ?? found;
  };
  const createCommandEncoder = device.createCommandEncoder.bind(device);
  device.createCommandEncoder = (descriptor) => {
    const encoder = createCommandEncoder(descriptor);
    if (faults.invalidAtSubmit === seen.submits) {
      const small = createBuffer({ label: 'too small', size: 4, usage: 0xc });
      encoder.copyBufferToBuffer(small, 0, small, 0, 1024);
    }
    return encoder;
  };
  const { queue } = device;
  const submit = queue.submit.bind(queue);
  Object.defineProperty(queue, 'submit', {
    value: (commands: GPUCommandBuffer[]) => {
      submit(commands);
      const n = seen.submits++;
      if (faults.loseAtSubmit !== 'every' && faults.loseAtSubmit !== n) return;
      lose();
    },
  });
  Object.defineProperty(device, 'queue', { value: queue });
  return { device, lose };
}
