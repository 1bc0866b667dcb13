import { flushCompileCache } from 'node:module';
import type { StreamingContext } from '../../../src/index.ts';
import { loadCaseFiles } from './cases.ts';
import { createCases, type NamedCase, nothingSeen } from './run-pipeline.ts';

/** The URL that worker threads load for these cases: {@link create} finds them again by their ids. */
export function caseModule(cases: readonly NamedCase[]): string {
  const ids = cases.map(({ sparkCase }) => sparkCase.id).join(',');
  return `${new URL('./case-worker.ts', import.meta.url).href}?${new URLSearchParams({ ids })}`;
}

export function create(): StreamingContext {
  flushCompileCache();
  const files = loadCaseFiles();
  const ids = new URL(import.meta.url).searchParams.get('ids')!.split(',');
  const cases = ids.map((id): NamedCase => {
    for (const file of files) {
      const sparkCase = file.cases.find((candidate) => candidate.id === id);
      if (sparkCase !== undefined) return { sparkCase, functions: file.functions };
    }
    throw new Error(`There is no case '${id}'.`);
  });
  return createCases(cases, { seen: cases.map(nothingSeen) });
}
