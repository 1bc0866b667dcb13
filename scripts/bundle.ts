import { isAbsolute } from 'node:path';
import { rolldown } from 'rolldown';
import { projectRoot } from './steps.ts';

/**
 * Makes a few files of JavaScript of TypeScript modules and all of ours that they import: finding, reading and linking a
 * module costs Node up to a millisecond, and the engine has some 250. Packages stay imports, and what is imported when it is
 * first needed stays in files of its own.
 *
 * `entries`: the module, by the name of the file that is made of it, without its ending. The other files lie in `folder`
 * itself, where the engine looks for the entry of its worker threads.
 */
export async function bundle(entries: Readonly<Record<string, string>>, folder: string): Promise<void> {
  const bundler = await rolldown({
    input: { ...entries },
    cwd: projectRoot,
    platform: 'node',
    external: (id) => !id.startsWith('.') && !isAbsolute(id),
  });
  try {
    await bundler.write({
      dir: folder,
      format: 'esm',
      entryFileNames: '[name].js',
      chunkFileNames: '[name]-[hash].js',
      sourcemap: true,
      // Own copies of operators are compiled from the text of the functions: it stays what it is.
      minify: false,
    });
  } finally {
    await bundler.close();
  }
}
