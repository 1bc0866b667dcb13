import { describe, expect, it } from 'vitest';
import { TidemarkError } from '../../../src/base/errors.ts';
import type { StartingPosition } from '../../../src/sources/event-hubs/event-hub-options.ts';
import {
  type EventHubPosition,
  parsePosition,
  parseRange,
  type ResolvedStart,
  resolveStart,
} from '../../../src/sources/event-hubs/event-hub-position.ts';
import type { PartitionProperties } from '../../../src/sources/event-hubs/hub-connection.ts';

const createdOn = Date.UTC(2026, 0, 1);
const partition = (id: string, begin: number, last: number, isEmpty = last < begin): PartitionProperties => ({
  partitionId: id,
  beginSequenceNumber: begin,
  lastSequenceNumber: last,
  lastEnqueuedTimeMs: 5_000,
  isEmpty,
});
const neverWritten = partition('0', -1, -1, true);

function resolve(
  partitions: PartitionProperties[],
  recorded: EventHubPosition | undefined,
  start: StartingPosition = 'latest',
): ResolvedStart {
  const properties = { createdOn, partitionIds: partitions.map(({ partitionId }) => partitionId) };
  return resolveStart({ name: 'hub', properties }, partitions, recorded, () => start);
}

function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    return error instanceof TidemarkError ? error.code : String(error);
  }
  return 'no error';
}

describe('the start of a stream', () => {
  it.each<[string, PartitionProperties, StartingPosition, number]>([
    ['earliest in a partition that was never written', neverWritten, 'earliest', 0],
    ['latest in a partition that was never written', neverWritten, 'latest', 0],
    ['earliest after some events expired', partition('0', 40, 99), 'earliest', 40],
    ['earliest after all events expired', partition('0', 100, 99, true), 'earliest', 100],
    ['latest', partition('0', 40, 99), 'latest', 100],
    ['after a sequence number', partition('0', 40, 99), { sequenceNumber: 60 }, 61],
    ['with a sequence number', partition('0', 40, 99), { sequenceNumber: 60, isInclusive: true }, 60],
    ['after the last sequence number', partition('0', 40, 99), { sequenceNumber: 99 }, 100],
    ['a moment after the last event', partition('0', 40, 99), { enqueuedTime: new Date(5_000) }, 100],
    ['a moment in an empty partition', neverWritten, { enqueuedTime: 1 }, 0],
  ])('%s is found without reading', (_, properties, start, next) => {
    const resolved = resolve([properties], undefined, start);
    expect(resolved.partitions[0]!.next).toBe(next);
    expect(resolved.lost).toEqual([]);
  });

  it('needs a look-up for a moment before the last event', () => {
    const resolved = resolve([partition('0', 40, 99)], undefined, { enqueuedTime: 4_999 });
    expect(resolved.partitions[0]!.next).toEqual({ enqueuedTimeMs: 4_999 });
  });

  it('reports what expired before an explicit sequence number', () => {
    const resolved = resolve([partition('0', 40, 99)], undefined, { sequenceNumber: 30, isInclusive: true });
    expect(resolved.lost).toEqual([{ partitionId: '0', from: 30, to: 40 }]);
  });

  it('refuses a sequence number beyond the end', () => {
    expect(codeOf(() => resolve([partition('0', 40, 99)], undefined, { sequenceNumber: 100 }))).toBe('OPTION_INVALID');
  });
});

describe('the start at a recorded position', () => {
  const recorded = (partitions: Record<string, number>): EventHubPosition => ({ createdOn, partitions });

  it('goes on exactly there, whatever the starting position says', () => {
    const resolved = resolve(
      [partition('0', 40, 99), partition('1', 0, 9)],
      recorded({ '0': 70, '1': 10 }),
      'earliest',
    );
    expect(resolved.partitions.map(({ next, floating }) => [next, floating])).toEqual([
      [70, false],
      [10, false],
    ]);
    expect([resolved.lost, resolved.added]).toEqual([[], []]);
  });

  it('reports the exact range that expired meanwhile', () => {
    const resolved = resolve([partition('0', 40, 99), partition('1', 10, 9, true)], recorded({ '0': 33, '1': 4 }));
    expect(resolved.lost).toEqual([
      { partitionId: '0', from: 33, to: 40 },
      { partitionId: '1', from: 4, to: 10 },
    ]);
    expect(resolved.partitions.map(({ next, earliest }) => [next, earliest])).toEqual([
      [33, 40],
      [4, 10],
    ]);
  });

  it('reads partitions that came later from their first event, and tells of them', () => {
    const resolved = resolve([partition('0', 0, 9), partition('1', 3, 5)], recorded({ '0': 10 }), 'latest');
    expect(resolved.added).toEqual(['1']);
    expect(resolved.partitions[1]!.next).toBe(3);
  });

  it.each<[string, PartitionProperties[], EventHubPosition]>([
    ['another time of creation', [partition('0', 0, 99)], { createdOn: createdOn + 1, partitions: { '0': 5 } }],
    ['a position beyond the end', [partition('0', 0, 99)], recorded({ '0': 101 })],
    ['fewer partitions', [partition('0', 0, 99)], recorded({ '0': 5, '1': 5 })],
  ])('takes %s for a hub that was created anew', (_, partitions, position) => {
    expect(codeOf(() => resolve(partitions, position))).toBe('SOURCE_RECREATED');
  });
});

describe('recorded values', () => {
  it('of another kind of source are refused with a code', () => {
    for (const value of [undefined, 7, {}, { createdOn: 1 }, { createdOn: 1, partitions: { '0': -1 } }]) {
      expect(codeOf(() => parsePosition(value))).toBe('CHECKPOINT_INCOMPATIBLE');
    }
    for (const value of [undefined, 'x', { partitionId: '0', from: 5, to: 4 }, { partitionId: 0, from: 1, to: 2 }]) {
      expect(codeOf(() => parseRange(value))).toBe('CHECKPOINT_INCOMPATIBLE');
    }
  });
});
