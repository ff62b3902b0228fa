// A page as the host, or a worker of one: what Node's modules do there is done by what browsers have, and asked of them when it is used.
//
// Bundlers take files along that are named as `new URL('…', import.meta.url)`, and threads that are named so inside of
// `new Worker(…)`: these expressions must stay as they are. Nothing that a thread loads may import this file, because a worker that
// could start itself would be bundled without end.

import { HybridError } from '../base/errors.ts';
import { refuseUnknownOptions } from '../base/kinds.ts';
import type { Host, Thread, ThreadBody } from '../host.ts';
import { type Asset, readPack } from './pack.ts';

/** What is used of browsers, whose types TypeScript has in a library that would make Node's look the same. */
interface WebWorker {
  postMessage(message: unknown): void;
  terminate(): void;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  onmessageerror: (() => void) | null;
  onerror: ((event: { readonly message?: string; preventDefault(): void }) => void) | null;
}
declare const Worker: new (script: URL, options: { readonly type: 'module'; readonly name?: string }) => WebWorker;
interface Page {
  readonly crossOriginIsolated?: boolean;
  readonly navigator?: {
    readonly hardwareConcurrency?: number;
    /** GiB, 8 at most; Chromium tells it. */
    readonly deviceMemory?: number;
    readonly userAgentData?: { readonly platform?: string };
    readonly userAgent?: string;
    readonly gpu?: unknown;
  };
}
const page = globalThis as unknown as Page;

/** Where the package's own files are, where a bundler does not take them along, or a policy does not let it. */
export interface Assets {
  /** Address of `kernels.pack`: the compiled kernels. */
  readonly kernels?: string | URL;
  /** Starts a worker with the body `gang` (`dist/asm/host/thread.worker.js`) or `data` (`dist/runtime/data/data.worker.browser.js`). */
  readonly worker?: (body: ThreadBody, name: string) => object;
}

let assets: Assets = {};
let pack: Promise<ReadonlyMap<string, Asset>> | undefined;

/**
 * Says where the package's own files are in this page: for bundlers that do not take them along, and pages whose policy allows no workers but
 * theirs. To be called before anything is opened. Throws E_USAGE for a name that is none of them.
 *
 * @category Devices
 */
export function useAssets(given: Assets): void {
  refuseUnknownOptions<Assets>(given, { kernels: true, worker: true }, 'useAssets');
  assets = given;
  pack = undefined;
}

const kernelsUrl = (): URL | string => assets.kernels ?? new URL('../../asm/kernels.pack', import.meta.url);

/** All at once: some eighty kilobytes on the wire. What failed may be mended. */
function loadPack(): Promise<ReadonlyMap<string, Asset>> {
  pack ??= fetchPack().catch((error: unknown) => {
    pack = undefined;
    throw error;
  });
  return pack;
}

async function fetchPack(): Promise<ReadonlyMap<string, Asset>> {
  const url = String(kernelsUrl());
  const fail = (what: string, cause?: unknown): never => {
    const remedy = "Serve the package's `dist/asm/kernels.pack` there, or say where it is with `useAssets`.";
    throw new HybridError('E_ENVIRONMENT', `the compiled kernels cannot be loaded from ${url}: ${what}`, remedy, { cause });
  };
  const response = await fetch(url).catch((cause: Error) => fail(cause.message, cause));
  if (!response.ok) fail(`the server answers ${response.status}`);
  return readPack(new Uint8Array(await response.arrayBuffer())) ?? fail('it is another file');
}

function start(body: ThreadBody, name: string): WebWorker {
  if (assets.worker) return assets.worker(body, name) as WebWorker;
  return body === 'gang'
    ? new Worker(new URL('../../asm/host/thread.worker.js', import.meta.url), { type: 'module', name })
    : new Worker(new URL('../data/data.worker.browser.js', import.meta.url), { type: 'module', name });
}

const GIB = 2 ** 30;
/** What a page may have where its browser does not tell. */
const UNTOLD_GIB = 4;
const PLATFORMS: readonly (readonly [RegExp, string])[] = [
  [/android/i, 'android'],
  [/linux|chrome ?os|cros/i, 'linux'],
  [/win/i, 'win32'],
  [/mac|iphone|ipad/i, 'darwin'],
];
/** Warnings that people have had. */
const warned = new Set<string>();

export const pageHost: Host = {
  cores: () => page.navigator?.hardwareConcurrency ?? 1,
  memory: {
    physical: () => (page.navigator?.deviceMemory ?? UNTOLD_GIB) * GIB,
    // No browser tells.
    state: () => ({ used: 0, free: Number.POSITIVE_INFINITY }),
  },
  get platform() {
    const told = page.navigator?.userAgentData?.platform || page.navigator?.userAgent || '';
    return PLATFORMS.find(([pattern]) => pattern.test(told))?.[1] ?? '';
  },
  // Not whether there is a SharedArrayBuffer: some browsers have one that cannot be sent to a worker.
  get unshared() {
    return page.crossOriginIsolated === true ? null : ISOLATE;
  },
  warn(text, tell) {
    if (tell) tell(text);
    else if (!warned.has(text)) console.warn(`hybrid: ${text}`);
    warned.add(text);
  },
  turn: () =>
    new Promise((resolve) => {
      // A timer would wait four milliseconds.
      const { port1, port2 } = new MessageChannel();
      const done = () => {
        port1.close();
        resolve();
      };
      Object.assign(port1, { onmessage: done });
      port2.postMessage(null);
    }),
  async asset(path) {
    const found = (await loadPack()).get(path);
    if (!found) throw Object.assign(new Error(`there is no ${path}`), { code: 'ENOENT' });
    return found;
  },
  async assets(folder) {
    const names = [...(await loadPack()).keys()].filter((path) => path.startsWith(`${folder}/`));
    if (names.length === 0) throw Object.assign(new Error(`there is no ${folder}`), { code: 'ENOENT' });
    return names.map((path) => path.slice(folder.length + 1)).sort();
  },
  assetPath: (path) => `${kernelsUrl()} (${path})`,
  thread(script, { name, onMessage, onError }) {
    const worker = script instanceof URL ? new Worker(script, { type: 'module', name }) : start(script, name);
    worker.onmessage = ({ data }) => onMessage(data);
    worker.onmessageerror = () => onError(new Error('a message cannot be read'));
    worker.onerror = (event) => {
      event.preventDefault();
      onError(new Error(event.message || 'its script cannot be loaded: look at the console and the network of the page'));
    };
    const thread: Thread = {
      postMessage: (message) => worker.postMessage(message),
      ref() {},
      unref() {},
      terminate: async () => worker.terminate(),
    };
    return thread;
  },
  gpu: {
    load: async () => () => page.navigator?.gpu,
    isMissing: () => false,
    missing: () =>
      page.navigator?.gpu
        ? null
        : {
            message: 'this browser has no WebGPU (navigator.gpu)',
            remedy: 'Use a browser that has it, over https or on localhost, or `device: wasm`.',
          },
    remedy: 'Look at what the browser says of its GPU (`about:support` or `chrome://gpu`), or use `device: wasm`.',
  },
};

const ISOLATE =
  'this page is not isolated from others, and its threads cannot share memory. Serve it with the headers `Cross-Origin-Opener-Policy: same-origin` and `Cross-Origin-Embedder-Policy: require-corp`.';
