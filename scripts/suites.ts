import { join } from 'node:path';
import { projectRoot, type Step, tool } from './steps.ts';
import { totalsFileVariable } from './totals.ts';

/** Everything that looks at the code without running it, then the unit tests. Order: what fails fastest comes first. */
export function fastSteps(totalsFile?: string): Step[] {
  return [
    { name: 'format and lint', run: () => tool('biome', ['check', '--error-on-warnings', '.']) },
    { name: 'types', run: () => tool('tsc', ['-p', '.']) },
    { name: 'layers', run: () => tool('node', [join('scripts', 'check-layers.ts')]) },
    { name: 'repository', run: () => tool('node', [join('scripts', 'check-repository.ts')]) },
    { name: 'unused code', run: () => tool('knip', []) },
    { name: 'unit tests', run: () => vitest(['--project', 'fast'], totalsFile) },
  ];
}

/** Azurite, the emulator, child processes, crashes. */
export function slowSteps(totalsFile?: string): Step[] {
  return [{ name: 'conformance, end-to-end and crash tests', run: () => vitest(['--project', 'slow'], totalsFile) }];
}

/** One vitest run over what `args` select; its totals are appended to `totalsFile`. */
export function vitest(args: readonly string[], totalsFile?: string): Promise<boolean> {
  const reporters =
    totalsFile === undefined
      ? []
      : ['--reporter=default', `--reporter=${join(projectRoot, 'scripts', 'totals-reporter.ts')}`];
  return tool(
    'vitest',
    ['run', ...reporters, ...args],
    totalsFile === undefined ? {} : { [totalsFileVariable]: totalsFile },
  );
}
