import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Turns } from '../../../src/base/turns.ts';
import { Batch } from '../../../src/dstream/batch.ts';
import { DStreamGraph } from '../../../src/dstream/graph.ts';
import { SourceNode } from '../../../src/dstream/source-node.ts';
import type { PushChunk, Source, SourcePlan } from '../../../src/sources/source.ts';
import { newContext } from '../rdd/fixture.ts';

const chunks = Array.from({ length: 20 }, (_, c) => Array.from({ length: 100 }, (_, i) => c * 100 + i));

function sourceOf(read: (push: PushChunk<number>) => Promise<void>): Source<number> {
  return {
    kind: 'chunks',
    identity: {},
    start: async () => {},
    position: () => 0,
    plan: async () => ({ partitions: [0], position: 0, records: 0 }),
    adopt: () => {},
    read: (_plan, _partition, push) => read(push),
    committed: () => {},
    backlog: () => 0,
    stop: async () => {},
  };
}

/** What comes of reading with a function that takes a millisecond a row, and the turns it took. */
async function collect(read: (push: PushChunk<number>) => Promise<void>, f: (row: number) => void = () => {}) {
  let ms = 0;
  let turns = 0;
  const yieldToLoop = async (): Promise<void> => {
    await setImmediate();
    turns += 1;
  };
  const rdds = newContext(1, { turns: new Turns({ now: () => ms, yieldToLoop }) });
  const graph = new DStreamGraph(
    1000,
    1,
    () => {},
    () => {
      throw new Error('no files here');
    },
  );
  const node = new SourceNode(graph, sourceOf(read), 'rows');
  const plan: SourcePlan = { partitions: [0], position: 0, records: 0 };
  const batch = new Batch({
    batchId: 1,
    timeMs: 1000,
    zeroTimeMs: 0,
    generation: 0,
    rdds,
    plans: new Map([['rows', plan]]),
  });
  const rows = await node
    .rdd(batch)!
    .map((row) => {
      ms += 1;
      f(row);
      return row;
    })
    .collect();
  return { rows, turns };
}

describe('rows of a source', () => {
  it('keep their order over the pauses of the engine, also when the source does not wait for them', async () => {
    const waits = await collect(async (push) => {
      for (const chunk of chunks) await push(chunk);
    });
    const goesOn = await collect(async (push) => {
      for (const chunk of chunks.slice(1)) {
        push(chunk);
      }
      push(chunks[0]!);
    });
    expect(waits.rows).toEqual(chunks.flat());
    expect(goesOn.rows).toEqual([...chunks.slice(1), chunks[0]!].flat());
    expect(waits.turns).toBeGreaterThan(100);
    expect(goesOn.turns).toBeGreaterThan(100);
  });

  it('bring an error after a pause to whoever reads, awaited or not', async () => {
    const failAt = (row: number): void => {
      if (row === 150) throw new Error('row 150');
    };
    const awaited = collect(async (push) => {
      for (const chunk of chunks) await push(chunk);
    }, failAt);
    await expect(awaited).rejects.toThrow('row 150');
    const ignored = collect(async (push) => {
      for (const chunk of chunks) push(chunk);
    }, failAt);
    await expect(ignored).rejects.toThrow('row 150');
  });
});
