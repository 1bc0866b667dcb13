import { describe, expect, test } from 'vitest';
import { type Clock, ManualClock } from '../../src/base/clock.ts';
import { type CrashPoint, crashPoints } from '../../src/base/crash-points.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { Seconds } from '../../src/base/time.ts';
import { blobSink } from '../../src/sinks/blob-sink.ts';
import { Receiver } from '../../src/sources/receiver/receiver.ts';
import { receiverSource } from '../../src/sources/receiver/receiver-source.ts';
import { MemoryStore } from '../../src/storage/memory-store.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { StreamingContext } from '../../src/streaming-context.ts';
import { FaultyStore } from '../../src/testing/faulty-store.ts';
import { DrivenStream } from '../support/driven-stream.ts';

/** A queue as a broker has it: it gives messages again and again until they are acknowledged. */
class Broker {
  readonly acknowledged = new Map<number, number>();
  readonly attempts = new Map<number, number>();

  next(nowMs: number): number | undefined {
    const n = this.acknowledged.size;
    return n < messages && n * everyMs <= nowMs ? n : undefined;
  }
}

interface Message {
  readonly n: number;
  readonly attempt: number;
}

class BrokerReceiver extends Receiver<Message> {
  readonly #broker: Broker;
  readonly #clock: Clock;
  #over = new AbortController();

  constructor(broker: Broker, clock: Clock) {
    super();
    this.#broker = broker;
    this.#clock = clock;
  }

  override onStart(): void {
    this.#over = new AbortController();
    this.#receive(this.#over.signal).catch(() => {});
  }

  override onStop(): void {
    this.#over.abort();
  }

  async #receive(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const n = this.#broker.next(this.#clock.now());
      if (n === undefined) {
        await this.#clock.waitUntil(this.#clock.now() + everyMs, signal);
        continue;
      }
      const attempt = (this.#broker.attempts.get(n) ?? 0) + 1;
      this.#broker.attempts.set(n, attempt);
      await this.storeAll([{ n, attempt }]);
      this.#broker.acknowledged.set(n, attempt);
    }
  }
}

const messages = 60;
const everyMs = 200;
const endMs = 20_000;

/** Where a driver dies: at a point of the engine, or before or after its n-th request to the receiver's log. */
type Death =
  | { readonly at: CrashPoint; readonly occurrence: number }
  | { readonly request: 'put' | 'list' | 'delete' | 'get'; readonly when: 'before' | 'after'; readonly nth: number };

let runs = 0;

async function run(
  deaths: readonly Death[],
  downtimeMs = 0,
): Promise<{ readonly deaths: number; readonly rows: Message[]; readonly broker: Broker }> {
  const clock = new ManualClock(0);
  const broker = new Broker();
  const objects = new MemoryStore({ clock });
  const outputUrl = `memory:receiver-crashes-${++runs}`;
  const written = new Map<string, string>();
  const pending = [...deaths];
  let died = 0;

  for (let life = 1; ; life++) {
    const death = pending[0];
    const signal = new Error('crash');
    const store = new FaultyStore(objects);
    const die = (): never => {
      pending.shift();
      store.crash({ signal });
      throw signal;
    };
    let passed = 0;
    const crashHook = (point: CrashPoint): void => {
      if (death !== undefined && 'at' in death && death.at === point && ++passed === death.occurrence) die();
    };
    try {
      const context = await StreamingContext.getOrCreate(dyingAt(store, death, die), () => {
        const ssc = new StreamingContext({
          appName: 'receivers',
          batchInterval: Seconds(1),
          checkpoint: { manifestEveryRecords: 4, retainManifests: 1 },
          environment: { clock, crashHook, random: new SeededRandom(life), print: () => {} },
        });
        const rows = ssc.sourceStream(receiverSource(new BrokerReceiver(broker, clock)), { uid: 'broker' });
        rows.map((row) => JSON.stringify(row)).saveTo(blobSink({ url: outputUrl, format: 'text' }), { uid: 'out' });
        rows.foreachRDD(async (rdd, time, { batchId }) => {
          const key = `${batchId}/${time.milliseconds}`;
          const content = JSON.stringify(await rdd.collect());
          if ((written.get(key) ?? content) !== content) throw new Error(`A replay of ${key} gave other rows.`);
          written.set(key, content);
        });
        return ssc;
      });
      const driven = new DrivenStream(context, clock, 1000);
      await context.start();
      await driven.runTo(endMs + died * downtimeMs);
      await driven.stop();
      const rows = await published(outputUrl);
      const seen = [...written.values()].flatMap((content) => JSON.parse(content) as Message[]);
      expect(keysOf(seen)).toEqual(keysOf(rows));
      return { deaths: died, rows, broker };
    } catch (error) {
      if (error !== signal && (error as Error).cause !== signal) throw error;
      died += 1;
      clock.advanceBy(downtimeMs);
    }
  }
}

function dyingAt(store: FaultyStore, death: Death | undefined, die: () => never): ObjectStore {
  if (death === undefined || 'at' in death) return store;
  const { request, when, nth } = death;
  let seen = 0;
  const around = async <R>(type: string, name: string, call: () => Promise<R>): Promise<R> => {
    if (type !== request || !name.startsWith('source/') || ++seen !== nth) return call();
    if (when === 'before') die();
    await call();
    return die();
  };
  return {
    url: store.url,
    operations: store.operations,
    get: (name, range) => around('get', name, () => store.get(name, range)),
    head: (name) => store.head(name),
    putIfAbsent: (name, bytes, id) => around('put', name, () => store.putIfAbsent(name, bytes, id)),
    compareAndSwap: (name, bytes, etag, id) => store.compareAndSwap(name, bytes, etag, id),
    async *list(prefix, after) {
      await around('list', prefix, async () => {});
      yield* store.list(prefix, after);
    },
    delete: (names) => around('delete', names[0] ?? '', () => store.delete(names)),
    close: () => store.close(),
  };
}

async function published(url: string): Promise<Message[]> {
  const store = new MemoryStore({ name: url.slice('memory:'.length) });
  const rows: Message[] = [];
  for await (const { name } of store.list('')) {
    const object = await store.get(name);
    if (object.status !== 'found') continue;
    const text = Buffer.from(object.bytes).toString('utf8').trimEnd();
    if (text !== '') rows.push(...text.split('\n').map((line) => JSON.parse(line) as Message));
  }
  return rows;
}

function keysOf(rows: readonly Message[]): string[] {
  return rows.map(({ n, attempt }) => `${n}/${attempt}`).sort();
}

/** Acknowledged once means processed once; what was never acknowledged is processed at most once per attempt. */
function expectExactlyOnce({ rows, broker }: { readonly rows: Message[]; readonly broker: Broker }): void {
  const keys = keysOf(rows);
  expect(new Set(keys).size).toBe(keys.length);
  expect(broker.acknowledged.size).toBe(messages);
  const found = new Set(keys);
  expect([...broker.acknowledged].filter(([n, attempt]) => !found.has(`${n}/${attempt}`))).toEqual([]);
}

test('an uninterrupted run processes every message once', async () => {
  const outcome = await run([]);
  expectExactlyOnce(outcome);
  expect(outcome.rows).toHaveLength(messages);
});

describe.each(crashPoints)('a driver killed at %s', (point) => {
  test.each([1, 2, 5])(
    'for the %i. time > every acknowledged message is processed exactly once',
    async (occurrence) => {
      expectExactlyOnce(await run([{ at: point, occurrence }]));
    },
  );

  test('after downtime and twice in a row > every acknowledged message is processed exactly once', async () => {
    expectExactlyOnce(
      await run(
        [
          { at: point, occurrence: 3 },
          { at: point, occurrence: 1 },
        ],
        2500,
      ),
    );
  });
});

describe.each(['put', 'list', 'delete', 'get'] as const)('a driver killed at a %s of the log', (request) => {
  test.each([1, 2, 7, 30])(
    'before and after the %i. of them > every acknowledged message is processed exactly once',
    async (nth) => {
      for (const when of ['before', 'after'] as const) {
        // The first death leaves blocks behind, so that the second driver has something to read.
        const outcome = await run(
          [
            { request: 'put', when: 'after', nth: 6 },
            { request, when, nth },
            { request, when, nth },
          ],
          1500,
        );
        expectExactlyOnce(outcome);
        if (nth === 1) expect(outcome.deaths).toBe(3);
      }
    },
  );
});
