import { defineConfig } from 'vitest/config';

// Four groups, each of which can be run alone: `npm run test:seconds`, `test:minutes`, `test:outside`, `test:whole`. What is in no list is of the last.

/** What computes nothing on a device, or a few numbers on the reference: graphs, passes, layers, settings, files. */
const SECONDS = [
  ...['compile', 'formats', 'model', 'ops'].map((folder) => `test/${folder}/**/*.test.ts`),
  'test/page/build.test.ts',
  ...['entries', 'files', 'host', 'layering', 'philox'].map((file) => `test/${file}.test.ts`),
  ...['callbacks', 'checkpoint-writer', 'flight', 'saved-weights', 'schedule'].map((file) => `test/train/${file}.test.ts`),
];
/** What is computed outside Node, by shaders, in Chromium or from texts: it is the same in every version of Node, and .ci/run runs it in one. */
const OUTSIDE = [
  ...['candidates', 'f16', 'kernels', 'long-sums', 'matrices', 'networks', 'race', 'tune'].map((file) => `test/gpu/${file}.test.ts`),
  'test/page/**/*.test.ts',
  ...['api', 'docstrings', 'links', 'stability'].map((file) => `test/docs/${file}.test.ts`),
];
/** Kernels, devices, the data pipeline, training in this process. */
const MINUTES = [
  ...['asm', 'bench', 'data', 'device-contract', 'distributed', 'gpu', 'report', 'train'].map((folder) => `test/${folder}/**/*.test.ts`),
  'test/golden.test.ts',
];

const group = (name: string, include: string[], exclude: string[]) => ({ extends: true as const, test: { name, include, exclude } });

export default defineConfig({
  test: {
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
    // Worker threads and WebAssembly files are taken from dist, which `npm test` builds first.
    server: { deps: { external: [/\/dist\//] } },
    projects: [
      group('seconds', SECONDS, []),
      group('outside', OUTSIDE, SECONDS),
      group('minutes', MINUTES, [...SECONDS, ...OUTSIDE]),
      // Programs in processes of their own, faults, documents, models at full width.
      group('whole', ['test/**/*.test.ts'], [...SECONDS, ...OUTSIDE, ...MINUTES]),
    ],
  },
});
