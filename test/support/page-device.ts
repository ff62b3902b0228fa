// A device in a page, as one of this process: what is asked of it is asked there, so that what holds for devices of Node can be held
// to those of a page, word for word.

import type { Batch, CompileOptions, Device, Executable, Hyperparameters, ModelGraphs } from '../../runtime/device.ts';

/** What is asked of a page, of whatever browser: Playwright's pages are such. */
export interface PageEvaluator {
  /** Calls a function there, with what can be copied; it sees nothing but its argument. */
  evaluate<Result, Argument>(body: (argument: Argument) => Result | Promise<Result>, argument: Argument): Promise<Result>;
}

/** What `servePage` has in its window, by these names. */
interface Remote {
  readonly hybrid: { readonly root: { openDevice(name: string, options: object): Promise<Device> } };
  readonly devices: Device[];
  readonly executables: Executable[];
}

/** Opens a device there. `options`: of `openDevice`, without functions. */
export async function openPageDevice(
  page: PageEvaluator,
  name: 'wasm' | 'webgpu',
  options: { readonly threads?: number } = {},
): Promise<Device> {
  const about = await page.evaluate(
    async ([device, given]) => {
      const remote = globalThis as unknown as Remote & { devices?: Device[]; executables?: Executable[] };
      const opened = await remote.hybrid.root.openDevice(device, given);
      remote.devices ??= [];
      remote.executables ??= [];
      const index = remote.devices.push(opened) - 1;
      const { description, arithmetic, threads } = opened;
      return { index, description, arithmetic, threads };
    },
    [name, options] as const,
  );
  const device = {
    ...about,
    name,
    async compile(graphs: ModelGraphs, { capacity, seed, withoutRules, programs }: CompileOptions): Promise<Executable> {
      const made = await page.evaluate(
        async ([at, text, compileOptions]) => {
          const { devices, executables } = globalThis as unknown as Remote;
          const executable = await devices[at].compile(JSON.parse(text) as ModelGraphs, compileOptions);
          return { at: executables.push(executable) - 1, state: executable.state, capacity: executable.capacity };
        },
        [about.index, JSON.stringify(graphs), { capacity, seed, withoutRules, programs }] as const,
      );
      return executableOf(page, made.at, made.state, made.capacity);
    },
    close: () => page.evaluate((at) => (globalThis as unknown as Remote).devices[at].close(), about.index),
  };
  return device as unknown as Device;
}

type Methods = 'gradient' | 'evaluate' | 'predict' | 'update' | 'read' | 'write' | 'calibrate' | 'close';

function executableOf(page: PageEvaluator, at: number, state: Executable['state'], capacity: number): Executable {
  const ask = (method: Methods, ...args: readonly unknown[]): Promise<unknown> =>
    page.evaluate(
      async ([index, name, given]) => {
        const executable = (globalThis as unknown as Remote).executables[index] as unknown as Record<
          string,
          (...all: unknown[]) => unknown
        >;
        return executable[name](...given);
      },
      [at, method, args] as const,
    );
  const executable = {
    state,
    capacity,
    gradient: (batch: Batch) => ask('gradient', batch),
    evaluate: (batch: Batch) => ask('evaluate', batch),
    predict: (batch: Batch) => ask('predict', batch),
    update: (hyper: Hyperparameters) => ask('update', hyper),
    read: (name: string) => ask('read', name),
    write: (name: string, data: ArrayLike<number>) => ask('write', name, Float32Array.from(data)),
    close: () => ask('close'),
  };
  return executable as unknown as Executable;
}
