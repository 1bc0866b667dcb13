import { describe, expect, it } from 'vitest';
import { decodeRowSteps, encodeRowSteps, encodeRows } from '../../../src/base/stored-rows.ts';
import type { Steps } from '../../../src/base/turns.ts';
import { blobSink } from '../../../src/sinks/blob-sink.ts';
import { encodeLines } from '../../../src/sinks/line-format.ts';

/** How many rows are worked on in the longest step, as `count` has it. */
function longestStep(work: Steps<unknown>, count: () => number): number {
  let longest = 0;
  for (let before = 0; ; before = count()) {
    const { done } = work.next();
    longest = Math.max(longest, count() - before);
    if (done) return longest;
  }
}

describe('rows on their way to a sink', () => {
  const plain = Array.from({ length: 5000 }, (_, i) => ({ id: i, name: `row ${i}` }));

  it('are written as lines in steps of some dozens', () => {
    let encoded = 0;
    const rows = plain.map((row) => ({
      toJSON: () => {
        encoded += 1;
        return row;
      },
    }));
    expect(longestStep(encodeLines('jsonl', [rows.slice(0, 3000), rows.slice(3000)]), () => encoded)).toBe(32);
    expect(encoded).toBe(5000);
  });

  it('are stored and read in steps of some dozens', () => {
    const bytes = encodeRows(1, [plain, plain]);
    for (const work of [encodeRowSteps(1, [plain, plain]), decodeRowSteps(bytes)]) {
      let steps = 0;
      let step = work.next();
      for (; !step.done; step = work.next()) steps += 1;
      expect(steps).toBeGreaterThanOrEqual(10_000 / 64);
    }
  });

  it('let the event loop turn while a sink stages many', async () => {
    const many = Array.from({ length: 60_000 }, (_, i) => ({ id: i, name: `row ${i}`, rest: 'x'.repeat(50) }));
    const sink = blobSink({ url: 'memory:turns-of-a-sink' });
    await sink.open?.({ streamId: 's', uid: 'out', epoch: 1 } as never);
    let turns = 0;
    const timer = setInterval(() => {
      turns += 1;
    }, 0);
    await sink.stage({ batchId: 1, batchTimeMs: 1000, generation: 0 }, [many]);
    clearInterval(timer);
    expect(turns).toBeGreaterThan(0);
  });
});
