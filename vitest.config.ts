import { defineConfig } from 'vitest/config';

const fast = ['test/unit/**/*.test.ts', 'test/types/**/*.test.ts'];

export default defineConfig({
  test: {
    maxWorkers: 2,
    // For a busy machine: the longest test takes a tenth of it on a quiet one.
    testTimeout: 90_000,
    projects: [
      // No network, no child process: `npm run check` runs these.
      // In shared workers: loading the engine anew for every file would be half of the time.
      { extends: true, test: { name: 'fast', include: fast, isolate: false } },
      // Azurite, the emulator, child processes, crashes. Everything that is not fast, so that no test file is left out.
      { extends: true, test: { name: 'slow', include: ['test/**/*.test.ts'], exclude: fast, hookTimeout: 60_000 } },
    ],
  },
});
