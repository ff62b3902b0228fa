// The package as a page has it: built by Vite from dist, and served by a server of the test's own, isolated from other pages or not.

import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { builtinModules } from 'node:module';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'vite';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Entries of the package that a page may import, by the name under which the built one exports them. */
export const PAGE_ENTRIES = { root: '', data: '/data', layers: '/layers', graph: '/graph', formats: '/formats' } as const;

export interface PageFile {
  readonly name: string;
  /** The main file of the page, a worker with all that it imports, an asset, or a part that is loaded later. */
  readonly kind: 'main' | 'later' | 'asset';
  readonly bytes: Uint8Array;
}

export interface PageBuild {
  /** Where the files are; `main.js` among them. */
  readonly folder: string;
  readonly files: readonly PageFile[];
  /** What was imported that only Node has, and by which file. */
  readonly nodeImports: readonly string[];
  /** What the bundler warned of. */
  readonly warnings: readonly string[];
  /** Removes the folder. */
  remove(): void;
}

/** Builds a page of `source`, which may import the package. */
export async function buildPage(source: string): Promise<PageBuild> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'hybrid-page-')));
  mkdirSync(join(folder, 'node_modules/@hybrid-train'), { recursive: true });
  symlinkSync(root, join(folder, 'node_modules/@hybrid-train/hybrid'));
  writeFileSync(join(folder, 'main.js'), source);
  const nodeImports = new Set<string>();
  const warnings: string[] = [];
  const watch: Plugin = {
    name: 'what only Node has',
    enforce: 'pre',
    resolveId(id, importer) {
      // Other packages that name a module so say themselves, in their `browser`, that there is none in a page.
      const isBuiltin = /^node:/.test(id) || (builtinModules.includes(id) && !importer?.includes('/node_modules/'));
      if (isBuiltin) nodeImports.add(`${id} by ${importer}`);
      return null;
    },
  };
  const built = await build({
    root: folder,
    configFile: false,
    logLevel: 'silent',
    plugins: [watch],
    worker: { format: 'es', plugins: () => [watch] },
    build: {
      target: 'esnext',
      outDir: 'out',
      modulePreload: false,
      chunkSizeWarningLimit: 10_000, // the HDF5 library is one, loaded where there is such a file
      rolldownOptions: {
        input: join(folder, 'main.js'),
        preserveEntrySignatures: 'strict',
        checks: { pluginTimings: false }, // how busy the machine is, is nothing to warn of
        onwarn: ({ message }) => warnings.push(message),
        output: { entryFileNames: 'main.js' },
      },
    },
  });
  const { output } = built as Extract<typeof built, { readonly output: unknown }>;
  const files = output.map(
    (file): PageFile => ({
      name: file.fileName,
      kind: file.type === 'asset' ? 'asset' : file.isEntry ? 'main' : 'later',
      bytes: readFileSync(join(folder, 'out', file.fileName)),
    }),
  );
  return {
    folder: join(folder, 'out'),
    files,
    nodeImports: [...nodeImports],
    warnings,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

const TYPES: Readonly<Record<string, string>> = { '.js': 'text/javascript', '.html': 'text/html' };
const PAGE =
  '<!doctype html><title>hybrid</title><script type="module">window.hybrid = await import("/main.js"); window.ready = true</script>';

/** Serves a built page; `isolated`: with the headers that let its threads share memory. */
export async function servePage(
  folder: string,
  isolated: boolean,
): Promise<{ readonly url: string /** Files that were asked for. */; readonly served: ReadonlySet<string>; close(): void }> {
  const headers = isolated
    ? { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' }
    : ({} as Record<string, string>);
  const served = new Set<string>();
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? '/', 'http://localhost').pathname);
    const answer = (status: number, type: string, body: string | Uint8Array) =>
      response.writeHead(status, { ...headers, 'Content-Type': type }).end(body);
    if (path === '/') return answer(200, TYPES['.html'], PAGE);
    served.add(path.slice(1));
    try {
      answer(200, TYPES[extname(path)] ?? 'application/octet-stream', readFileSync(join(folder, path)));
    } catch {
      answer(404, 'text/plain', 'not found');
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://localhost:${port}/`,
    served,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** A page that has all entries. */
export const allEntries = (): string =>
  Object.entries(PAGE_ENTRIES)
    .map(([name, entry]) => `export * as ${name} from '@hybrid-train/hybrid${entry}';\n`)
    .join('');
