// A software Vulkan driver for tests of the WebGPU device on machines without a GPU: SwiftShader, from inside the npm package
// `@sparticuz/chromium`, with its own Vulkan loader. Nothing of the system is needed or changed.

import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliDecompressSync } from 'node:zlib';

const FILES = ['libvulkan.so.1', 'libvk_swiftshader.so', 'vk_swiftshader_icd.json'];
/** Not in `os.constants`: the library stays, though Node takes it for an addon that failed to register itself. */
const RTLD_NODELETE = 0x1000;

/** Whether the package has a driver for this machine. */
export const hasSwiftShader = process.platform === 'linux' && process.arch === 'x64';

/** Makes SwiftShader the only Vulkan driver of this process. Must be called before `webgpu` is loaded. */
export function useSwiftShader(): void {
  const folder = unpack();
  process.env.VK_ICD_FILENAMES = join(folder, 'vk_swiftshader_icd.json');
  open(join(folder, 'libvulkan.so.1'));
}

/** What a child of Node's needs on its command line and in its environment for the same. */
export function swiftShaderChild(): { readonly args: readonly string[]; readonly env: Readonly<Record<string, string>> } {
  const folder = unpack();
  const flags = constants.dlopen.RTLD_NOW | constants.dlopen.RTLD_GLOBAL | RTLD_NODELETE;
  const library = JSON.stringify(join(folder, 'libvulkan.so.1'));
  const code = `try{process.dlopen({exports:{}},${library},${flags})}catch(e){if(!/self-register/.test(e.message))throw e}`;
  return {
    args: ['--import', `data:text/javascript,${encodeURIComponent(code)}`],
    env: { VK_ICD_FILENAMES: join(folder, 'vk_swiftshader_icd.json') },
  };
}

/** What a program that looks for Vulkan needs in its environment for the same. */
export function swiftShaderProgram(): Readonly<Record<string, string>> {
  const folder = unpack();
  return { LD_LIBRARY_PATH: folder, VK_ICD_FILENAMES: join(folder, 'vk_swiftshader_icd.json') };
}

function open(library: string): void {
  const { RTLD_NOW, RTLD_GLOBAL } = constants.dlopen;
  try {
    process.dlopen({ exports: {} }, library, RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE);
  } catch (error) {
    if (!/self-register/.test((error as Error).message)) throw error;
  }
}

/** The folder with the driver's files, unpacked once for all test processes. */
function unpack(): string {
  const source = fileURLToPath(new URL('../../node_modules/@sparticuz/chromium', import.meta.url));
  const { version } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8')) as { version: string };
  const folder = join(tmpdir(), `hybrid-swiftshader-${version}-${process.getuid?.() ?? 0}`);
  if (existsSync(join(folder, FILES[0]))) return folder;
  const tar = brotliDecompressSync(readFileSync(join(source, 'bin', 'swiftshader.tar.br')));
  const fresh = mkdtempSync(`${folder}-`);
  // Blocks of 512 bytes: a header with name and size (octal), then the contents.
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0; ) {
    const field = (begin: number, length: number) => tar.toString('latin1', at + begin, at + begin + length).replace(/\0.*/s, '');
    const size = Number.parseInt(field(124, 12), 8);
    const name = basename(field(0, 100));
    if (FILES.includes(name)) writeFileSync(join(fresh, name), tar.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  try {
    renameSync(fresh, folder);
  } catch {
    rmSync(fresh, { recursive: true }); // another process was faster
  }
  return folder;
}
