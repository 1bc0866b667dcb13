import { chmodSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { bundle } from './bundle.ts';
import { tool } from './steps.ts';

const entries = {
  index: 'src/index.ts',
  testing: 'src/testing.ts',
  'checkpoint-tools': 'src/checkpoint-tools.ts',
  'worker-entry': 'src/workers/worker-entry.ts',
  'cli/main': 'src/cli/main.ts',
};

/** What is published: JavaScript and declarations, from scratch, so that nothing is in it that `src` no longer has. */
export async function buildPackage(folder: string): Promise<boolean> {
  rmSync(folder, { recursive: true, force: true });
  if (!(await tool('tsc', ['-p', 'tsconfig.build.json', '--outDir', folder]))) return false;
  await bundle(entries, folder);
  chmodSync(join(folder, 'cli', 'main.js'), 0o755);
  return true;
}
