// The package is this repository itself, and a page may have threads in common memory only where its server sends these two headers.

import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const headers = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  base: './',
  // A dependency that Vite finds only when a file is written would make it load the page anew, and what was learned were gone.
  optimizeDeps: { exclude: ['@hybrid-train/hybrid'], include: ['fflate', 'h5wasm', 'protobufjs'] },
  worker: { format: 'es' },
  // The HDF5 library, which writes .keras files, is loaded where one is asked for.
  build: { target: 'esnext', chunkSizeWarningLimit: 5000 },
  server: { headers, fs: { allow: ['../..'] } },
  preview: { headers },
});
