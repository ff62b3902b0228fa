// A device whose executables are changed before anybody gets them.

import type { Device, Executable } from '../../runtime/device.ts';

/** `device`, but for its executables and for closing: whoever opened it does that. */
export function onCompile(device: Device, change: (executable: Executable) => Executable | Promise<Executable>): Device {
  const { name, description, arithmetic, threads, memoryLimit } = device;
  return {
    ...{ name, description, arithmetic, threads, memoryLimit },
    memoryFor: (...args) => device.memoryFor(...args),
    inspect: (...args) => device.inspect(...args),
    compile: async (...args) => change(await device.compile(...args)),
    close: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
}
