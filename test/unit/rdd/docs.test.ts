import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ActionMethods } from '../../../src/rdd/action-methods.ts';
import { PairMethods } from '../../../src/rdd/pair-methods.ts';
import { RDD } from '../../../src/rdd/rdd.ts';
import { RddContext } from '../../../src/rdd/rdd-context.ts';

const page = readFileSync(new URL('../../../docs/rdd.md', import.meta.url), 'utf8');
/** For the engine, not for programs. */
const internal = new Set([
  'constructor',
  'pipe',
  'pendingCheckpoint',
  'cutLineage',
  'releaseLineage',
  'rdd',
  'checkpointDir',
  'notePendingCheckpoint',
  'nextId',
  'programAccumulators',
  'closeProgram',
]);

describe('docs/rdd.md', () => {
  it('names every method of RDDs and their context', () => {
    const names = [RDD, ActionMethods, PairMethods, RddContext].flatMap((c) => Object.getOwnPropertyNames(c.prototype));
    expect(names.length).toBeGreaterThan(80);
    const documented = new Set(page.match(/(?<=[`.])\w+/g));
    expect(names.filter((name) => !internal.has(name) && !documented.has(name))).toEqual([]);
  });
});
