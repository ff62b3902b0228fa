import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
    // Worker threads and WebAssembly files are taken from dist, which `npm test` builds first.
    server: { deps: { external: [/\/dist\//] } },
  },
});
