import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SystemClock } from '../../../src/base/clock.ts';
import { TidemarkError } from '../../../src/base/errors.ts';
import type { EventHubEvent } from '../../../src/sources/event-hubs/event-hub-event.ts';
import type { EventHubOptions, EventHubWarning } from '../../../src/sources/event-hubs/event-hub-options.ts';
import type { EventHubPosition } from '../../../src/sources/event-hubs/event-hub-position.ts';
import { type EventHubSource, eventHubSource } from '../../../src/sources/event-hubs/event-hub-source.ts';
import type { SourceLine, SourceLineListener, SourcePlan } from '../../../src/sources/source.ts';
import { type EventHubsEmulator, startEventHubsEmulator } from '../../../src/testing/event-hubs-emulator/emulator.ts';
import { hubName, keysOf, send, sentKeys, startSource, until } from './support.ts';

/** A source in a driver and its parts, as worker threads would hold them: whatever passes between them is copied. */
class Divided {
  readonly driver: EventHubSource;
  readonly warnings: EventHubWarning[] = [];
  readonly failed: Promise<Error>;
  readonly #options: EventHubOptions;
  readonly #parts: { source: EventHubSource; answer: (question: unknown) => Promise<unknown> }[] = [];
  readonly #listeners: SourceLineListener[] = [];
  readonly #failure = Promise.withResolvers<Error>();

  constructor(emulator: EventHubsEmulator, parts: number, options: EventHubOptions = {}) {
    this.#options = {
      connectionString: emulator.connectionString,
      eventHubName: hubName,
      startingPosition: 'earliest',
      onWarning: (warning) => this.warnings.push(warning),
      retry: { firstDelayMs: 5, maxDelayMs: 100, totalMs: 5_000, attemptTimeoutMs: 5_000 },
      ...options,
    };
    this.failed = this.#failure.promise;
    this.driver = eventHubSource(this.#options, { env: {} });
    for (let i = 0; i < parts; i++) this.#parts.push(this.#newPart(i));
    this.driver.divide(this.#parts.map((_, i) => this.#line(i)));
  }

  async start(position?: unknown): Promise<this> {
    const fail = (error: Error): void => this.#failure.resolve(error);
    await this.driver.start({ position, epoch: 1, clock: new SystemClock(), fail });
    return this;
  }

  /** Plans what the workers have, reads it where it lies, and commits it when `commit` says so. */
  async batch(commit = true): Promise<{ plan: SourcePlan; rows: EventHubEvent[] }> {
    const plan = await this.driver.plan();
    const rows = await this.read(plan);
    if (commit) this.driver.committed(plan);
    return { plan, rows };
  }

  async read(plan: SourcePlan): Promise<EventHubEvent[]> {
    const rows: EventHubEvent[] = [];
    for (let i = 0; i < plan.partitions.length; i++) {
      const { source } = this.#parts[i % this.#parts.length]!;
      await source.read(structuredClone(plan), i, (chunk) => void rows.push(...chunk));
    }
    return rows;
  }

  async rows(count: number): Promise<EventHubEvent[]> {
    const rows: EventHubEvent[] = [];
    for (let i = 0; i < 5_000 && rows.length < count; i++) {
      rows.push(...(await this.batch()).rows);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    return rows;
  }

  async kill(part: number): Promise<void> {
    const { source } = this.#parts[part]!;
    this.#parts[part] = this.#newPart(part);
    await source.stop();
    this.#listeners[part]!.replaced();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.driver.stop();
    await Promise.all(this.#parts.map(({ source }) => source.stop()));
  }

  #newPart(i: number): { source: EventHubSource; answer: (question: unknown) => Promise<unknown> } {
    const source = eventHubSource(this.#options, { env: {} });
    const answer = source.serve({
      tell: (message) => this.#listeners[i]!.told(structuredClone(message)),
      fail: (error) => this.#listeners[i]!.failed(error),
    });
    return { source, answer };
  }

  #line(i: number): SourceLine {
    return {
      ask: async (question) => {
        const part = this.#parts[i]!;
        const answer = await part.answer(structuredClone(question));
        if (this.#parts[i] !== part) throw new TidemarkError('CANCELLED', 'The thread has ended.');
        return structuredClone(answer);
      },
      listen: (listener) => {
        this.#listeners[i] = listener;
      },
    };
  }
}

describe('an event hub divided among workers', () => {
  const ids = ['0', '1', '2', '3'];
  let emulator: EventHubsEmulator;
  beforeEach(async () => {
    emulator = await startEventHubsEmulator({ hubs: [{ name: hubName, partitionCount: 4 }] });
  });
  afterEach(() => emulator.stop());

  it('delivers every event exactly once and in order, read where it was received', async () => {
    await Promise.all(ids.map((id) => send(emulator, id, 3_000)));
    await using divided = await new Divided(emulator, 3, { maxEventsPerBatch: 2_000, bufferEventsMax: 1_000 }).start();
    const sending = Promise.all(ids.map((id) => send(emulator, id, 500, 3_000)));
    const rows = await divided.rows(14_000);
    await sending;
    expect(keysOf(rows)).toEqual(sentKeys(ids, 3_500));
    expect((await divided.batch()).plan.records).toBe(0);
    expect(divided.driver.backlog()).toBe(0);
  });

  it('goes on from a recorded position, with the same rows for a recorded plan', async () => {
    await Promise.all(ids.map((id) => send(emulator, id, 200)));
    let position: EventHubPosition;
    let recorded: SourcePlan;
    {
      await using first = await new Divided(emulator, 2, { maxEventsPerBatch: 300 }).start();
      await first.rows(1);
      position = first.driver.position() as EventHubPosition;
      await until(() => first.driver.backlog() > 0, 'there is more');
      recorded = structuredClone((await first.batch(false)).plan);
    }
    await using second = await new Divided(emulator, 3).start(position);
    second.driver.adopt(recorded);
    const rows = await second.read(recorded);
    expect(rows).toHaveLength(recorded.records);
    second.driver.committed(recorded);
    const before = Object.values(position.partitions);
    const left = 800 - before.reduce((sum, next) => sum + next, 0) - rows.length;
    rows.push(...(await second.rows(left)));
    expect(new Set(keysOf(rows)).size).toBe(rows.length);
    expect(rows).toHaveLength(left + recorded.records);
  });

  it('reads again in the worker that takes the place of one that died, without a gap and without a row twice', async () => {
    await Promise.all(ids.map((id) => send(emulator, id, 1_000)));
    await using divided = await new Divided(emulator, 2, { maxEventsPerBatch: 900 }).start();
    const committed = await divided.rows(900);
    const { plan, rows } = await divided.batch(false);
    expect(rows.length).toBeGreaterThan(0);
    await divided.kill(1);
    expect(await divided.read(plan)).toEqual(rows);
    divided.driver.committed(plan);
    committed.push(...rows, ...(await divided.rows(4_000 - committed.length - rows.length)));
    expect(keysOf(committed)).toEqual(sentKeys(ids, 1_000));
  });

  it('fails as a whole when one of the workers is replaced as a reader', async () => {
    await using divided = await new Divided(emulator, 2).start();
    await using newer = await startSource(emulator, { epoch: 2 });
    const error = await divided.failed;
    expect(error).toMatchObject({ code: 'SOURCE_FENCED' });
    await expect(divided.driver.plan()).rejects.toThrow(error);
    expect(newer.failures).toEqual([]);
  });

  it('refuses to read in the driver, and to be divided after its start', async () => {
    await using divided = await new Divided(emulator, 2).start();
    const plan = await divided.driver.plan();
    await expect(divided.driver.read(plan, 0, () => {})).rejects.toThrow('divided among workers');
    expect(() => divided.driver.divide([])).toThrow('started before');
  });
});
