// A software adapter that passes for a GPU, so that the device takes the kernels of GPUs: those that use workgroup memory and barriers.

/** `gpu` with adapters that do not say that they are software. */
export function asHardware(gpu: GPU): GPU {
  const disguised = {
    async requestAdapter(options: GPURequestAdapterOptions) {
      const adapter = await gpu.requestAdapter(options);
      if (!adapter) return null;
      const { info } = adapter;
      const name = {
        vendor: 'disguised',
        architecture: '',
        device: '',
        description: 'a software adapter in disguise',
        isFallbackAdapter: false,
      };
      Object.defineProperty(adapter, 'info', {
        value: new Proxy(info, { get: (_, key) => name[key as keyof typeof name] ?? info[key as keyof GPUAdapterInfo] }),
      });
      return adapter;
    },
  };
  return disguised as unknown as GPU;
}
