import { defineConfig } from 'vitest/config';

// `npm run soak`: what takes too long for every change.
export default defineConfig({
  test: { include: ['test/soak/**/*.soak.ts'], testTimeout: 4 * 3_600_000, hookTimeout: 60_000, pool: 'forks', maxWorkers: 1 },
});
