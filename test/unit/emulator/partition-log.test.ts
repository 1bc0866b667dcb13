import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import rhea from 'rhea';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MalformedMessage } from '../../../src/testing/event-hubs-emulator/encoded-values.ts';
import { PartitionLog } from '../../../src/testing/event-hubs-emulator/partition-log.ts';
import { SegmentFiles } from '../../../src/testing/event-hubs-emulator/segment-files.ts';
import { batchFormat, SentEvents } from '../../../src/testing/event-hubs-emulator/sent-events.ts';
import { delivered } from './delivered.ts';

const limits = { retentionBytesMax: 2 ** 30, retentionMs: 2 ** 40, cacheBytesMax: 2 ** 20 };

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'partition-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Events with the bodies `from`..., padded to about `bytes`. */
function events(from: number, count: number, bytes = 0): SentEvents {
  const encoded = Array.from({ length: count }, (_, i) =>
    rhea.message.encode({ body: from + i, application_properties: { pad: 'x'.repeat(bytes) } } as never),
  );
  return batch(encoded);
}

function batch(encoded: readonly Buffer[]): SentEvents {
  return new SentEvents(rhea.message.encode({ body: rhea.message.data_sections([...encoded]) } as never), batchFormat);
}

interface Stored {
  readonly body: unknown;
  readonly sequenceNumber: unknown;
  readonly offset: unknown;
  readonly timeMs: unknown;
}

function readAll(log: PartitionLog, from = 0): Stored[] {
  const cursor = log.cursor(from);
  const stored: Stored[] = [];
  while (cursor.ready()) {
    const message = rhea.message.decode(delivered(cursor));
    const annotations = message.message_annotations as Record<string, unknown>;
    expect(annotations['x-opt-sequence-number']).toBe(cursor.sequenceNumber);
    stored.push({
      body: message.body,
      sequenceNumber: cursor.sequenceNumber,
      offset: annotations['x-opt-offset'],
      timeMs: Number(annotations['x-opt-enqueued-time']),
    });
    cursor.advance();
  }
  return stored;
}

const bodies = (log: PartitionLog, from = 0): unknown[] => readAll(log, from).map((event) => event.body);
const range = (from: number, until: number): number[] => Array.from({ length: until - from }, (_, i) => from + i);

type Step =
  | { readonly kind: 'append'; readonly count: number; readonly bytes: number; readonly laterMs: number }
  | { readonly kind: 'trim'; readonly share: number }
  | { readonly kind: 'reopen' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      count: fc.integer({ min: 1, max: 40 }),
      bytes: fc.nat(3000),
      laterMs: fc.nat(5),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('trim' as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('reopen' as const) }) },
);

describe.each(['memory', 'files'])('a log in %s', (where) => {
  it('reads back what a plain array would hold, after any appends, trims and restarts', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), fc.integer({ min: 1, max: 200_000 }), (steps, segmentBytes) => {
        const path = folder();
        const open = (): PartitionLog =>
          where === 'memory'
            ? new PartitionLog(limits)
            : new PartitionLog({ ...limits, cacheBytesMax: 100_000 }, new SegmentFiles(path, segmentBytes));
        let log = open();
        const model: Stored[] = [];
        let begin = 0;
        let nowMs = 1000;
        for (const action of steps) {
          if (action.kind === 'append') {
            nowMs += action.laterMs;
            const first = log.append(events(model.length, action.count, action.bytes), nowMs);
            expect(first).toBe(model.length);
            for (let i = 0; i < action.count; i++) {
              model.push({ body: first + i, sequenceNumber: first + i, offset: '', timeMs: nowMs });
            }
          } else if (action.kind === 'trim') {
            begin = Math.max(begin, Math.floor(action.share * model.length));
            log.trimTo(begin);
          } else if (where === 'files') {
            log.close();
            log = open();
          }
        }
        const stored = readAll(log);
        expect(stored.map((event) => ({ ...event, offset: '' }))).toEqual(model.slice(begin));
        expect([log.begin, log.next]).toEqual([begin, model.length]);
        for (const [i, event] of stored.entries()) {
          const offset = Number(event.offset);
          if (i > 0) expect(offset).toBeGreaterThan(Number(stored[i - 1]!.offset));
          expect(log.findOffset(offset, true)).toBe(begin + i);
          expect(log.findOffset(offset, false)).toBe(begin + i + 1);
        }
        for (const timeMs of new Set(model.map((event) => event.timeMs as number))) {
          const expected = model.findIndex((event, i) => i >= begin && (event.timeMs as number) > timeMs);
          expect(log.findTimeAfter(timeMs)).toBe(expected === -1 ? model.length : expected);
        }
        log.close();
        rmSync(path, { recursive: true, force: true });
      }),
      { numRuns: 40 },
    );
  });

  it('stores nothing of a batch that holds something else than events', () => {
    const path = folder();
    const open = (): PartitionLog =>
      new PartitionLog(limits, where === 'memory' ? undefined : new SegmentFiles(path, 1000));
    const log = open();
    const event = (body: number): Buffer => rhea.message.encode({ body } as never);
    for (const first of [0, 2]) {
      expect(() => log.append(batch([event(7), event(8), Buffer.from([1, 2, 3])]), 1)).toThrow(MalformedMessage);
      expect(log.next).toBe(first);
      log.append(events(first, 2, 600), 1);
    }
    expect(bodies(log)).toEqual(range(0, 4));
    log.close();
    if (where === 'files') expect(bodies(open())).toEqual(range(0, 4));
  });

  it('gives times that never go back when the clock does', () => {
    const log =
      where === 'memory' ? new PartitionLog(limits) : new PartitionLog(limits, new SegmentFiles(folder(), 1000));
    log.append(events(0, 1), 5000);
    log.append(events(1, 1), 4000);
    expect(readAll(log).map((event) => event.timeMs)).toEqual([5000, 5000]);
  });
});

describe('a cursor', () => {
  it('goes on at the oldest event when the log is trimmed under it', () => {
    const log = new PartitionLog(limits);
    log.append(events(0, 10), 1);
    const cursor = log.cursor(2);
    expect(cursor.ready()).toBe(true);
    cursor.advance();
    log.trimTo(8);
    expect(cursor.ready()).toBe(true);
    expect(cursor.sequenceNumber).toBe(8);
  });

  it('reads what is retained, not what was stored over the block it stood in', () => {
    const log = new PartitionLog({ ...limits, retentionBytesMax: 200_000 });
    const cursor = log.cursor(0);
    for (let i = 0; i < 400; i++) {
      log.append(events(i * 10, 10, 900), 1);
      // It lags behind by more than is retained, and moves on by little.
      if (i % 30 !== 29) continue;
      expect(cursor.ready()).toBe(true);
      expect(cursor.sequenceNumber).toBe(log.begin);
      const message = rhea.message.decode(delivered(cursor));
      expect(message.body).toBe(log.begin);
      cursor.advance();
    }
    expect(bodies(log)).toEqual(range(log.begin, 4000));
  });

  it('waits at the end and finds what is appended later, across blocks', () => {
    const log = new PartitionLog(limits);
    const cursor = log.cursor(0);
    expect(cursor.ready()).toBe(false);
    for (let i = 0; i < 500; i++) {
      log.append(events(i, 1, 700), 1);
      expect(cursor.ready()).toBe(true);
      expect(cursor.sequenceNumber).toBe(i);
      cursor.advance();
      expect(cursor.ready()).toBe(false);
    }
  });
});

describe('retention', () => {
  it('by size keeps no more than the limit', () => {
    const log = new PartitionLog({ ...limits, retentionBytesMax: 100_000 });
    for (let i = 0; i < 500; i++) log.append(events(i, 1, 900), 1);
    const left = log.next - log.begin;
    expect(left).toBeGreaterThan(80);
    expect(left).toBeLessThan(110);
    expect(bodies(log)).toEqual(range(log.begin, 500));
  });

  it('by age expires exactly the events that are too old', () => {
    const log = new PartitionLog({ ...limits, retentionMs: 100 });
    for (let i = 0; i < 50; i++) log.append(events(i, 1), i * 10);
    expect(log.begin).toBe(39);
    log.retain(590);
    expect(log.begin).toBe(49);
    log.retain(591);
    expect([log.begin, log.isEmpty, log.lastTimeMs]).toEqual([50, true, 490]);
  });

  it('deletes segments that hold only expired events', () => {
    const path = folder();
    const log = new PartitionLog({ ...limits, retentionBytesMax: 200_000 }, new SegmentFiles(path, 50_000));
    for (let i = 0; i < 1000; i++) log.append(events(i, 1, 900), 1);
    const segments = readdirSync(path).filter((name) => name.endsWith('.events'));
    expect(segments.length).toBeLessThan(8);
    log.close();
    const reopened = new PartitionLog({ ...limits, retentionBytesMax: 200_000 }, new SegmentFiles(path, 50_000));
    reopened.retain(1);
    expect(bodies(reopened)).toEqual(range(log.begin, 1000));
  });
});

describe('a file', () => {
  function writtenLog(path: string): { segment: string; bytes: Buffer } {
    const log = new PartitionLog(limits, new SegmentFiles(path, 2 ** 20));
    for (let i = 0; i < 5; i++) log.append(events(i * 2, 2), 1);
    log.close();
    const segment = join(path, readdirSync(path)[0]!);
    return { segment, bytes: readFileSync(segment) };
  }

  it('cut at any byte opens with the records that are whole, and goes on', () => {
    const path = folder();
    const { segment, bytes } = writtenLog(path);
    let longest = 0;
    for (let length = 0; length <= bytes.length; length++) {
      writeFileSync(segment, bytes.subarray(0, length));
      const log = new PartitionLog(limits, new SegmentFiles(path, 2 ** 20));
      expect(bodies(log)).toEqual(range(0, log.next));
      expect(log.next).toBeGreaterThanOrEqual(longest);
      longest = log.next;
      if (length % 50 === 0) {
        log.append(events(log.next, 1), 1);
        expect(bodies(log)).toEqual(range(0, log.next));
      }
      log.close();
      for (const name of readdirSync(path)) rmSync(join(path, name));
    }
    expect(longest).toBe(10);
  });

  it('with a flipped bit is refused, unless the bit makes the end look cut', () => {
    const path = folder();
    const { segment, bytes } = writtenLog(path);
    for (let at = 0; at < bytes.length; at += 3) {
      // Bytes 28 to 31 of the header are unused.
      if (at >= 28 && at < 32) continue;
      const damaged = Buffer.from(bytes);
      damaged[at]! ^= 0x10;
      writeFileSync(segment, damaged);
      const open = (): PartitionLog => new PartitionLog(limits, new SegmentFiles(path, 2 ** 20));
      let log: PartitionLog | undefined;
      try {
        log = open();
      } catch (error) {
        expect(error).toMatchObject({ code: 'EMULATOR_DATA_CORRUPT' });
      }
      if (log !== undefined) {
        expect(bodies(log)).toEqual(range(0, log.next));
        expect(log.next).toBeLessThan(10);
        log.close();
      }
    }
  });
});
