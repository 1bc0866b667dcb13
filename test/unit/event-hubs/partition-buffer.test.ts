import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ArrivedEvents, arrivedMax, form } from '../../../src/sources/event-hubs/arrived-events.ts';
import type { EventHubEvent } from '../../../src/sources/event-hubs/event-hub-event.ts';
import { PartitionBuffer } from '../../../src/sources/event-hubs/partition-buffer.ts';
import { arrivedOf, eventOf } from './support.ts';

function filled(from: number, to: number): PartitionBuffer {
  const buffer = new PartitionBuffer(from);
  for (let n = from; n < to; n++) buffer.append(eventOf(n), 10);
  return buffer;
}

describe('a partition buffer', () => {
  it('refuses an event out of order', () => {
    expect(() => filled(5, 8).append(eventOf(9), 1)).toThrow('Event 9 is appended where 8 belongs');
    expect(() => filled(5, 8).append(eventOf(7), 1)).toThrow('Event 7');
  });

  it('finds the run at a position and ends it at a gap', () => {
    const buffer = filled(5, 8);
    buffer.skipTo(20);
    buffer.append(eventOf(20), 10);
    expect(buffer.runFrom(5)).toEqual({ from: 5, to: 8 });
    expect(buffer.runFrom(7)).toEqual({ from: 7, to: 8 });
    expect(buffer.runFrom(8)).toEqual({ from: 20, to: 21 });
    expect(buffer.runFrom(21)).toBeUndefined();
    expect(buffer.countFrom(6)).toBe(3);
    expect(() => buffer.slice(7, 21)).toThrow('not held in one run');
  });

  it('keeps its start when what comes first is lost, so that a replay need not ask for it again', () => {
    const buffer = new PartitionBuffer(5);
    buffer.skipTo(9);
    expect([buffer.start, buffer.end]).toEqual([5, 9]);
  });

  it('holds events of any size and number that came as bytes', () => {
    const buffer = new PartitionBuffer(0);
    const arrived = arrivedOf([0]);
    const large = Buffer.alloc(300_000, '7');
    const sizes = [10, 300_000, 20, 100_000, 100_000, ...Array.from({ length: 1_200 }, () => 1)];
    for (const [n, size] of sizes.entries()) {
      arrived.begin(large);
      arrived.sequenceNumbers[0] = n;
      arrived.starts[0] = 0;
      arrived.ends[0] = size;
      arrived.count = 1;
      buffer.appendArrived(arrived, 0);
    }
    buffer.dropBelow(3);
    const sizesHeld = buffer.slice(3, 5).map(({ body }) => (body === Infinity ? 'large' : body));
    expect(sizesHeld).toEqual(['large', 'large']);
    expect(buffer.slice(5, 1_205).every(({ body }) => body === 7)).toBe(true);
    expect([buffer.size, buffer.runFrom(0)]).toEqual([1_202, { from: 3, to: 1_205 }]);
  });

  it('uses memory again without changing what it handed out, of which one body holds on to 8 KB', () => {
    const buffers = [new PartitionBuffer(0), new PartitionBuffer(0)];
    const arrived = new ArrivedEvents('0', 'bytes');
    const kept: { readonly body: unknown; readonly value: number }[] = [];
    for (let round = 0; round < 8; round++) {
      const buffer = buffers[round % 2]!;
      arrived.begin(Buffer.alloc(200 * arrivedMax, round));
      for (let i = 0; i < arrivedMax; i++) {
        arrived.sequenceNumbers[i] = buffer.end + i;
        arrived.forms[i] = form.bare;
        arrived.starts[i] = 200 * i;
        arrived.ends[i] = 200 * (i + 1);
        arrived.count++;
      }
      const { end } = buffer;
      for (let i = 0; i < arrivedMax; i++) buffer.appendArrived(arrived, i);
      for (const { body } of buffer.slice(end, buffer.end)) kept.push({ body, value: round });
      buffer.dropBelow(buffer.end);
    }
    for (const { body, value } of kept) {
      expect((body as Buffer).equals(Buffer.alloc(200, value))).toBe(true);
      expect((body as Buffer).buffer.byteLength).toBeLessThanOrEqual(8192);
    }
  });

  it('holds the same events as a plain list of numbers, whatever happens to it', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('append' as const), count: fc.integer({ min: 1, max: 6 }) }),
      fc.record({ kind: fc.constant('arrive' as const), count: fc.integer({ min: 1, max: 6 }) }),
      fc.record({ kind: fc.constant('skip' as const), count: fc.nat(4) }),
      fc.record({ kind: fc.constant('drop' as const), count: fc.nat(12) }),
      fc.record({ kind: fc.constant('reset' as const), count: fc.nat(30) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const buffer = new PartitionBuffer(10);
        let end = 10;
        let model: number[] = [];
        const bytesOf = new Map<number, number>();
        for (const { kind, count } of steps) {
          switch (kind) {
            case 'append':
              for (let i = 0; i < count; i++) {
                buffer.append(eventOf(end), end);
                bytesOf.set(end, end);
                model.push(end++);
              }
              break;
            case 'arrive': {
              const arrived = arrivedOf(Array.from({ length: count }, (_, i) => end + i));
              for (let i = 0; i < count; i++) {
                bytesOf.set(end, buffer.appendArrived(arrived, i));
                model.push(end++);
              }
              break;
            }
            case 'skip':
              buffer.skipTo((end += count));
              break;
            case 'drop': {
              const below = buffer.start + count;
              buffer.dropBelow(below);
              model = model.filter((n) => n >= below);
              break;
            }
            case 'reset':
              buffer.reset(count);
              end = count;
              model = [];
              break;
          }
          const held: EventHubEvent[] = [];
          for (let next = 0, run = buffer.runFrom(next); run; next = run.to, run = buffer.runFrom(next)) {
            held.push(...buffer.slice(run.from, run.to));
          }
          expect(held).toEqual(model.map((n) => eventOf(n)));
          expect(buffer.size).toBe(model.length);
          expect(buffer.bytes).toBe(model.reduce((sum, n) => sum + bytesOf.get(n)!, 0));
          expect(buffer.end).toBe(end);
          expect(buffer.start).toBeLessThanOrEqual(model[0] ?? end);
        }
      }),
    );
  });
});
