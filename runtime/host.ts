// What the package asks of the program that runs it: Node, or a page. hosts/index.ts says which host there is.

export interface Host {
  /** Cores that this process may use. */
  cores(): number;
  readonly memory: HostMemory;
  /** The operating system by Node's name for it, such as `linux` or `win32`; empty where nobody tells. */
  readonly platform: string;
  /** Why threads cannot have memory in common here, and what to do about it, in sentences; null: they can. */
  readonly unshared: string | null;
  /** Tells people something once in the life of the program: by `tell`, or where nobody listens in a page, in its console. */
  warn(text: string, tell?: (text: string) => void): void;
  /** Resolves when what waits in the event loop has had its turn. */
  turn(): Promise<void>;
  /** The bytes of a file that the build has made, by its path: `kernels/conv.wasm`. Rejects where there is none. */
  asset(path: string): Promise<Uint8Array<ArrayBuffer>>;
  /** Names of the files in a folder of assets, sorted. Rejects where there is no such folder. */
  assets(folder: string): Promise<string[]>;
  /** Where an asset is, for messages. */
  assetPath(path: string): string;
  /** A further thread. `script`: a body of the package, or any URL. */
  thread(script: ThreadBody | URL, options: ThreadOptions): Thread;
  /** What there is of WebGPU. */
  readonly gpu: HostGpu;
}

/** Bytes of memory. */
export interface HostMemory {
  /** What this machine, or the limit of a group of processes, can give to a process at all. */
  physical(): number;
  /** What is used of it by this process and those that share its limit, and what the machine has free. */
  state(): { readonly used: number; readonly free: number };
}

/** Instances of WebGPU, each with its switches. */
export interface HostGpu {
  /** Loads what makes instances. Rejects where it is not installed, or does not load; `isMissing` tells these apart. */
  load(): Promise<(switches: string[]) => unknown>;
  isMissing(error: unknown): boolean;
  /** What an instance would need to find a GPU, and is missing: it would complain on the terminal. Null: nothing. */
  missing(): { readonly message: string; readonly remedy: string } | null;
  /** What helps where WebGPU finds no adapter, as a sentence. */
  readonly remedy: string;
}

/** What threads of the package do: compute as one of a gang, or prepare batches. (In Node the latter are piscina's.) */
export type ThreadBody = 'gang' | 'data';

/** What a thread is called, and who hears of it. */
export interface ThreadOptions {
  readonly name: string;
  onMessage(message: unknown): void;
  onError(error: Error): void;
  onExit(status: number): void;
}

/** A thread, as the calling one sees it. */
export interface Thread {
  postMessage(message: unknown): void;
  /** Whether it keeps the process alive. */
  ref(): void;
  unref(): void;
  terminate(): Promise<unknown>;
}
