import { type Debugger, Session } from 'node:inspector';
import { describe, expect, it } from 'vitest';
import { ownCopy } from '../../../src/rdd/own-copy.ts';
import * as stages from '../../../src/rdd/stages.ts';
import { combineStage, makeCombineStage, mapStage } from '../../../src/rdd/stages.ts';
import { newContext } from './fixture.ts';

const outside = 3;

/** Scripts this process has compiled and not yet forgotten. Not while it makes them: V8 behaves otherwise under a debugger. */
function scripts(): Set<string> {
  const session = new Session();
  session.connect();
  const ids = new Set<string>();
  session.on('Debugger.scriptParsed', ({ params }: { params: Debugger.ScriptParsedEventDataType }) => {
    ids.add(params.scriptId);
  });
  session.post('Debugger.enable');
  session.disconnect();
  return ids;
}

describe('own copies of stage factories', () => {
  it('exist for every stage and do the same', async () => {
    const { combineStage: _, ...factories } = stages;
    for (const [name, factory] of Object.entries(factories)) {
      const copy = ownCopy(factory as () => unknown);
      expect(copy, name).not.toBe(factory);
      expect(copy.toString(), name).toBe(factory.toString());
    }
    const map = ownCopy(mapStage) as typeof mapStage;
    const double = (x: number): number => x * 2;
    const rdd = newContext().parallelize([1, 2, 3], 2);
    expect(await rdd.through<number>('map', (push) => map(double, push)).collect()).toEqual([2, 4, 6]);
    const stage = ownCopy(makeCombineStage)();
    expect(stage).not.toBe(combineStage);
    const pairs = rdd.keyBy((x) => x % 2);
    const aggregator = { create: (x: number) => x, mergeValue: Math.max, mergeCombiners: Math.max };
    expect(await pairs.combineByKey({ ...aggregator, stage }).collect()).toEqual(
      await pairs.combineByKey(aggregator).collect(),
    );
  });

  it('are compiled one by one, or they would share the statistics they are made for', () => {
    const before = scripts();
    const copies = Array.from({ length: 5 }, () => ownCopy(mapStage));
    expect([...scripts()].filter((id) => !before.has(id))).toHaveLength(copies.length);
  });

  it('are not made when switched off, not possible, or not safe', () => {
    expect(ownCopy(mapStage, false)).toBe(mapStage);
    const usesOutside = (push: (x: number) => void) => (x: number) => push(x + outside);
    expect(ownCopy(usesOutside)).toBe(usesOutside);
    const condition = (push: () => void) => () => {
      if (outside) {
        push();
      }
    };
    expect(ownCopy(condition)).toBe(condition);
    const holder = {
      method(x: number): number {
        return x;
      },
    };
    expect(ownCopy(holder.method)).toBe(holder.method);
    expect(ownCopy(Math.max)).toBe(Math.max);
  });
});
