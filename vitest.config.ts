import { defineConfig } from 'vitest/config';
import { v8Flags } from './runtime/base/v8-flags.ts';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
    // As the command line's process has them: later versions of V8 take flags at the start only.
    execArgv: [...v8Flags(process).own],
    // Worker threads and WebAssembly files are taken from dist, which `npm test` builds first.
    server: { deps: { external: [/\/dist\//] } },
  },
});
