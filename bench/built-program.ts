import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { bundle } from '../scripts/bundle.ts';
import { projectRoot } from '../scripts/steps.ts';

export interface BuiltProgram {
  readonly file: string;
  /** What the program imports of us, alone. */
  readonly engine: string;
}

/**
 * A program of this folder as JavaScript, with all of `src` that it imports, made as the published package is: stripping
 * types takes half a second of CPU at every start.
 */
export async function buildProgram(name: string): Promise<BuiltProgram> {
  const program = name.replace(/\.ts$/, '');
  const folder = join(projectRoot, '.local', 'bench', 'build', program);
  rmSync(folder, { recursive: true, force: true });
  const entries = {
    [program]: `bench/${name}`,
    engine: 'src/index.ts',
    'worker-entry': 'src/workers/worker-entry.ts',
  };
  await bundle(entries, folder);
  return { file: join(folder, `${program}.js`), engine: join(folder, 'engine.js') };
}
