import { flushCompileCache } from 'node:module';
import { behaviours } from '../behaviours.ts';
import { engineBehaviours } from '../behaviours-engine.ts';
import { streamCases } from '../operations-stream.ts';
import { loadCaseFiles } from './cases.ts';
import { upToContext } from './threads-of-case.ts';

/** Loaded by worker threads: see threads-of-case.ts. A check never comes back from the start of its context. */
flushCompileCache();
const given = new URL(import.meta.url).searchParams;
const id = given.get('id')!;

function checkOf(): () => Promise<void> {
  const behaviour = behaviours[id] ?? engineBehaviours[id];
  if (behaviour !== undefined) return behaviour;
  const sparkCase = loadCaseFiles()
    .flatMap(({ cases }) => cases)
    .find((candidate) => candidate.id === id)!;
  return () => streamCases[sparkCase.operation!]!(sparkCase);
}

await upToContext(id, Number(given.get('context')), checkOf());
