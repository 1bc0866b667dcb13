import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { ListenerBus } from '../../../src/observe/listener-bus.ts';
import type { RecoveryInfo, StreamingListener } from '../../../src/observe/streaming-listener.ts';
import { settle } from '../engine/support.ts';

class TestBus extends ListenerBus {
  readonly warnings: string[];
  readonly clock: ManualClock;

  constructor(queueLengthMax = 10) {
    const warnings: string[] = [];
    const clock = new ManualClock(0);
    super({ queueLengthMax, warn: (text) => warnings.push(text), clock, enter: (call) => call() });
    this.warnings = warnings;
    this.clock = clock;
  }

  post1(timeMs: number): void {
    this.post('onStreamingStarted', { timeMs } as RecoveryInfo);
  }
}

function recorder(seen: number[]): StreamingListener {
  return { onStreamingStarted: ({ timeMs }) => void seen.push(timeMs) };
}

describe('the listener bus', () => {
  test('delivers in order, and never within post', async () => {
    const bus = new TestBus();
    const seen: number[] = [];
    bus.add(recorder(seen));
    for (const n of [1, 2, 3]) bus.post1(n);
    expect(seen).toEqual([]);
    await settle();
    expect(seen).toEqual([1, 2, 3]);
  });

  test('calls the methods of an instance as methods', async () => {
    class Counter implements StreamingListener {
      count = 0;
      onStreamingStarted(): void {
        this.count += 1;
      }
    }
    const bus = new TestBus();
    const counter = new Counter();
    bus.add(counter);
    bus.add(counter);
    bus.post1(1);
    await settle();
    expect(counter.count).toBe(1);
  });

  test('hands an async listener the next event when it has dealt with the last', async () => {
    const bus = new TestBus();
    const seen: string[] = [];
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    bus.add({
      onStreamingStarted: async ({ timeMs }) => {
        seen.push(`${timeMs} begins`);
        await gates[timeMs]?.promise;
        seen.push(`${timeMs} ends`);
      },
    });
    bus.post1(0);
    bus.post1(1);
    await settle();
    expect(seen).toEqual(['0 begins']);
    gates[0]!.resolve();
    await settle();
    expect(seen).toEqual(['0 begins', '0 ends', '1 begins']);
    gates[1]!.resolve();
    await settle();
    expect(seen.at(-1)).toBe('1 ends');
  });

  test('a listener that never returns loses what its queue cannot hold, counted; another gets everything', async () => {
    const bus = new TestBus(3);
    const seen: number[] = [];
    const blocked: number[] = [];
    class SlowDashboard implements StreamingListener {
      onStreamingStarted({ timeMs }: RecoveryInfo): Promise<void> {
        blocked.push(timeMs);
        return new Promise(() => {});
      }
    }
    bus.add(new SlowDashboard());
    bus.add(recorder(seen));
    for (let n = 0; n < 10; n++) {
      bus.post1(n);
      await settle();
    }
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(blocked).toEqual([0]);
    expect(bus.warnings).toEqual([
      "Streaming listener 'SlowDashboard' is too slow: 3 events wait for it, further ones are dropped.",
    ]);
    let isClosed = false;
    const closed = bus.close().then(() => {
      isClosed = true;
    });
    await settle();
    expect(isClosed).toBe(false);
    bus.clock.advanceBy(2000);
    await closed;
    expect(bus.warnings[1]).toBe("Streaming listener 'SlowDashboard' has missed 9 events: it was too slow.");
  });

  test('a listener that throws or rejects is reported and goes on getting events', async () => {
    const bus = new TestBus();
    let calls = 0;
    bus.add({
      onStreamingStarted: () => {
        calls += 1;
        throw new Error('thrown');
      },
    });
    bus.add({
      onStreamingStarted: async () => {
        calls += 1;
        throw new Error('rejected');
      },
    });
    bus.post1(1);
    bus.post1(2);
    await settle();
    expect(calls).toBe(4);
    expect(bus.warnings.toSorted()).toEqual([
      'Streaming listener number 1 failed in onStreamingStarted: thrown',
      'Streaming listener number 1 failed in onStreamingStarted: thrown',
      'Streaming listener number 2 failed in onStreamingStarted: rejected',
      'Streaming listener number 2 failed in onStreamingStarted: rejected',
    ]);
  });

  test('delivers what waits when it is closed, and nothing after that', async () => {
    const bus = new TestBus();
    const seen: number[] = [];
    bus.add({
      onStreamingStarted: async ({ timeMs }) => {
        await settle();
        seen.push(timeMs);
      },
    });
    bus.post1(1);
    bus.post1(2);
    await bus.close();
    expect(seen).toEqual([1, 2]);
    bus.post1(3);
    bus.add(recorder(seen));
    bus.post1(4);
    await bus.close();
    await settle();
    expect(seen).toEqual([1, 2]);
    expect(bus.warnings).toEqual([]);
  });

  test('a listener that is slow beyond the end gets nothing when it wakes up', async () => {
    const bus = new TestBus();
    const gate = Promise.withResolvers<void>();
    const seen: number[] = [];
    bus.add({
      onStreamingStarted: async ({ timeMs }) => {
        seen.push(timeMs);
        await gate.promise;
      },
    });
    bus.post1(1);
    bus.post1(2);
    const closed = bus.close();
    bus.clock.advanceBy(2000);
    await closed;
    gate.resolve();
    await settle();
    expect(seen).toEqual([1]);
  });

  test('a listener that is removed gets nothing more', async () => {
    const bus = new TestBus();
    const seen: number[] = [];
    const listener = recorder(seen);
    bus.add(listener);
    bus.post1(1);
    await settle();
    bus.post1(2);
    bus.remove(listener);
    bus.post1(3);
    await settle();
    expect(seen).toEqual([1]);
    bus.add(listener);
    bus.post1(4);
    await settle();
    expect(seen).toEqual([1, 4]);
  });
});
