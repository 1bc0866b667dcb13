import { join } from 'node:path';
import { projectRoot, tool } from '../scripts/steps.ts';

/**
 * Compiles a program of this folder to JavaScript, with all of `src` that it imports, as it would run from the published
 * package: stripping types takes half a second of CPU at every start. Gives the path of the result.
 */
export async function buildProgram(name: string): Promise<string> {
  const folder = join(projectRoot, '.local', 'bench', 'build');
  const good = await tool('tsc', [
    ...['-p', join(import.meta.dirname, 'tsconfig.programs.json')],
    ...['--outDir', folder],
  ]);
  if (!good) throw new Error(`${name} can't be compiled: see above.`);
  return join(folder, 'bench', name.replace(/\.ts$/, '.js'));
}
