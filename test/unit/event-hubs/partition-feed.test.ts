import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import type { TidemarkError } from '../../../src/base/errors.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import {
  type EventHubOptions,
  type EventHubWarning,
  parseEventHubOptions,
} from '../../../src/sources/event-hubs/event-hub-options.ts';
import {
  type HubConnection,
  HubFailure,
  type PartitionProperties,
  type ReceiverRequest,
} from '../../../src/sources/event-hubs/hub-connection.ts';
import { HubSession } from '../../../src/sources/event-hubs/hub-session.ts';
import { PartitionFeed } from '../../../src/sources/event-hubs/partition-feed.ts';
import { arrivedOf, eventOf } from './support.ts';

const place = { host: 'ns', hub: 'h', consumerGroup: 'g', partitionId: '0' };
const connectionString = 'Endpoint=sb://ns/;SharedAccessKeyName=a;SharedAccessKey=b;EntityPath=h';

/** The port, played by hand: the test is the service. */
class PlayedConnection implements HubConnection {
  readonly closed = new Promise<HubFailure>(() => {});
  readonly requests: ReceiverRequest[] = [];
  partition: PartitionProperties = {
    partitionId: '0',
    beginSequenceNumber: 0,
    lastSequenceNumber: 100,
    lastEnqueuedTimeMs: 0,
    isEmpty: false,
  };

  hubProperties = async () => ({ createdOn: 1, partitionIds: ['0'] });
  partitionProperties = async () => this.partition;
  openReceiver = async (request: ReceiverRequest) => {
    this.requests.push(request);
    return { addCredit: () => {}, close: async () => {} };
  };
  close = async () => {};

  /** The same, as one read of the socket. */
  sendTogether(...sequenceNumbers: number[]): void {
    this.requests.at(-1)!.onArrived!(arrivedOf(sequenceNumbers));
  }

  /** Sequence numbers the links asked to begin after. */
  get places(): unknown[] {
    return this.requests.map(({ after }) => after);
  }

  send(...sequenceNumbers: number[]): void {
    for (const n of sequenceNumbers) this.requests.at(-1)!.onEvent(eventOf(n), 100, undefined);
  }
}

describe('a partition', () => {
  let connection: PlayedConnection;
  let clock: ManualClock;
  let failures: TidemarkError[];
  let warnings: EventHubWarning[];
  const feeds: PartitionFeed[] = [];

  beforeEach(() => {
    connection = new PlayedConnection();
    clock = new ManualClock(1_000);
    failures = [];
    warnings = [];
  });
  afterEach(() => Promise.all(feeds.splice(0).map((feed) => feed.stop())));

  async function start(options: EventHubOptions = {}, from = 5): Promise<PartitionFeed> {
    const session = new HubSession(
      async () => connection,
      place,
      () => {},
    );
    const feed = new PartitionFeed(
      { partitionId: '0', next: from, earliest: 0, lastEnqueued: 100, floating: false },
      {
        session,
        place,
        settings: parseEventHubOptions({ connectionString, ...options }, {}),
        epoch: 1,
        clock,
        random: new SeededRandom(1),
        fail: (error) => failures.push(error),
        warn: (warning) => warnings.push(warning),
      },
    );
    feeds.push(feed);
    feed.start();
    await feed.attached;
    return feed;
  }

  async function attachedAgain(times: number): Promise<void> {
    for (let i = 0; i < 100 && connection.requests.length < times; i++) await Promise.resolve();
    expect(connection.requests).toHaveLength(times);
    for (let i = 0; i < 20; i++) await Promise.resolve();
  }

  async function failed(): Promise<TidemarkError> {
    for (let i = 0; i < 100 && failures.length === 0; i++) await Promise.resolve();
    return failures[0]!;
  }

  it('drops events that come again and keeps the order', async () => {
    const feed = await start();
    connection.send(5, 6, 7, 6, 5, 7, 8);
    expect(feed.statistics).toMatchObject({ received: 4, duplicates: 3, buffered: 4 });
    const numbers: number[] = [];
    await feed.read(feed.take(4), (chunk) => void numbers.push(...chunk.map((event) => event.sequenceNumber)));
    expect(numbers).toEqual([5, 6, 7, 8]);
  });

  it('takes what comes together as it takes one after the other', async () => {
    const feed = await start();
    connection.sendTogether(5, 6, 7, 6);
    connection.send(8);
    connection.sendTogether(5, 7, 8, 9, 10);
    expect(feed.statistics).toMatchObject({ received: 6, duplicates: 4, buffered: 6 });
    const credit = feed.statistics.credit;
    connection.sendTogether(11, 12);
    expect(feed.statistics.credit).toBe(credit - 2);
    const rows: unknown[] = [];
    await feed.read(feed.take(8), (chunk) => void rows.push(...chunk));
    expect(rows).toEqual([5, 6, 7, 8, 9, 10, 11, 12].map((n) => eventOf(n)));
  });

  it('keeps what comes before a gap, and nothing after it', async () => {
    const feed = await start();
    connection.sendTogether(5, 6, 9, 10);
    connection.sendTogether(7, 8);
    await attachedAgain(2);
    expect(feed.statistics).toMatchObject({ buffered: 2, lost: 0 });
    connection.sendTogether(9, 10);
    const error = await failed();
    expect([error.code, error.context.lost]).toEqual(['DATA_LOSS', [{ partitionId: '0', from: 7, to: 9 }]]);
  });

  it('lets go at once of what was committed before it came', async () => {
    const feed = await start();
    feed.free(8);
    connection.sendTogether(5, 6, 7, 8, 9);
    expect(feed.statistics).toMatchObject({ received: 5, buffered: 2 });
    expect(feed.take(2)).toEqual({ partitionId: '0', from: 8, to: 10 });
  });

  it('learns from what comes together how far the partition reaches', async () => {
    const feed = await start();
    connection.requests[0]!.onArrived!(arrivedOf([5, 6], '0', 300));
    expect(feed.backlog).toBe(296);
  });

  it('asks again when a number is missing, and goes on when it was only the link', async () => {
    const feed = await start();
    connection.send(5, 8);
    // What follows on the same link is not trusted.
    connection.send(6, 7);
    await attachedAgain(2);
    connection.send(6, 7, 8, 9);
    expect(feed.statistics).toMatchObject({ buffered: 5, lost: 0 });
    expect(connection.places).toEqual([{ sequenceNumber: 4 }, { sequenceNumber: 5 }]);
    expect(failures).toEqual([]);
  });

  it('believes a gap that a second link shows too', async () => {
    await start();
    connection.send(5, 8);
    await attachedAgain(2);
    connection.send(8);
    const error = await failed();
    expect([error.code, error.context.lost]).toEqual(['DATA_LOSS', [{ partitionId: '0', from: 6, to: 8 }]]);
    expect(connection.requests).toHaveLength(2);
  });

  it('skips it when that is the policy, and begins a new range after it', async () => {
    const feed = await start({ onDataLoss: 'skip' });
    connection.send(5, 8);
    await attachedAgain(2);
    connection.send(8);
    await attachedAgain(3);
    connection.send(8, 9);
    expect(connection.places.at(-1)).toEqual({ sequenceNumber: 7 });
    expect(warnings).toMatchObject([{ kind: 'events_lost', from: 6, to: 8 }]);
    expect(feed.claim(10).available).toBe(1);
    expect(feed.take(1)).toEqual({ partitionId: '0', from: 5, to: 6 });
    expect(feed.take(2)).toEqual({ partitionId: '0', from: 8, to: 10 });
  });

  it('takes a gap for a hub created anew when the hub ends before it', async () => {
    await start();
    connection.send(5, 8);
    await attachedAgain(2);
    connection.partition = { ...connection.partition, lastSequenceNumber: 3 };
    connection.send(8);
    expect((await failed()).code).toBe('SOURCE_RECREATED');
  });

  it('is not attached again after a stolen link', async () => {
    const feed = await start();
    connection.requests[0]!.onClosed(new HubFailure('stolen', 'by test'));
    expect((await failed()).code).toBe('SOURCE_FENCED');
    clock.advanceBy(1_000_000);
    for (let i = 0; i < 50; i++) await Promise.resolve();
    expect(connection.requests).toHaveLength(1);
    await expect(feed.read({ partitionId: '0', from: 5, to: 6 }, () => {})).rejects.toBe(failures[0]);
  });

  it('waits before it attaches again, and at its own place', async () => {
    await start();
    connection.send(5, 6);
    connection.requests[0]!.onClosed(new HubFailure('transient', 'server busy'));
    for (let i = 0; i < 50; i++) await Promise.resolve();
    expect(connection.requests).toHaveLength(1);
    clock.advanceBy(200);
    await attachedAgain(2);
    expect(connection.places.at(-1)).toEqual({ sequenceNumber: 6 });
    expect(warnings).toMatchObject([{ kind: 'reconnecting' }]);
  });

  it('tells what waits at the service beside what is here', async () => {
    const feed = await start();
    connection.send(5, 6);
    expect(feed.backlog).toBe(96);
    feed.take(1);
    expect(feed.backlog).toBe(95);
    connection.requests[0]!.onEvent(eventOf(7), 100, 200);
    expect(feed.backlog).toBe(195);
  });

  it('reports a position beyond the log as what it is', async () => {
    await start();
    connection.partition = { ...connection.partition, lastSequenceNumber: 2 };
    connection.requests[0]!.onClosed(new HubFailure('position_invalid', 'invalid'));
    const error = await failed();
    expect([error.code, error.message]).toEqual([
      'SOURCE_RECREATED',
      expect.stringContaining('up to sequence number 2'),
    ]);
  });
});
