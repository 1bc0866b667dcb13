import { ManualClock } from '../../src/base/clock.ts';
import type { CrashPoint } from '../../src/base/crash-points.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { Seconds } from '../../src/base/time.ts';
import { readCheckpoint } from '../../src/checkpoint/read-checkpoint.ts';
import type { StreamStatus } from '../../src/checkpoint/records.ts';
import { type State, StateSpec } from '../../src/dstream/map-with-state.ts';
import type { StateSchema } from '../../src/state/state-schema.ts';
import { MemoryStore } from '../../src/storage/memory-store.ts';
import { StreamingContext } from '../../src/streaming-context.ts';
import { FaultyStore } from '../../src/testing/faulty-store.ts';
import { MemoryTopic } from '../../src/testing/memory-topic.ts';
import { DrivenStream } from '../support/driven-stream.ts';

/** Program versions: 1 stores counts, 2 stores `{ n }`. `reads`: version 1 as one that can go back from 2. */
export type ProgramVersion = '1' | '2' | '1 reads 2';

interface Counted {
  readonly n: number;
}
type Stored = number | Counted;

// More than one batch rewrites in a partition, so that a migration takes several batches.
const devices = 1200;

/** A stream whose program changes, and that may die on the way. What it writes is checked to be the same on every replay. */
export class SchemaScenario {
  readonly clock = new ManualClock(0);
  readonly objects = new MemoryStore({ clock: this.clock });
  /** (batch id, time, output) to rows, without the form they are stored in. */
  readonly written: Record<string, string> = {};
  readonly passed = new Map<CrashPoint, number>();
  readonly #topic = readings();
  #lives = 0;

  /** Runs a version to `toSeconds`; true: it got there, false: it died at the crash. */
  async run(
    version: ProgramVersion,
    toSeconds: number,
    crash?: { readonly point: CrashPoint; readonly occurrence: number },
    fault?: (store: FaultyStore) => void,
  ): Promise<boolean> {
    const store = new FaultyStore(this.objects);
    fault?.(store);
    // A write is tried again a while later: time goes on a little after every batch time.
    const pump = setInterval(() => {
      if (fault !== undefined && this.clock.now() % 1000 < 300) this.clock.advanceBy(20);
    }, 1);
    const died = new Error('crash');
    const seen = new Map<CrashPoint, number>();
    const crashHook = (point: CrashPoint): void => {
      this.passed.set(point, (this.passed.get(point) ?? 0) + 1);
      seen.set(point, (seen.get(point) ?? 0) + 1);
      if (crash?.point !== point || crash.occurrence !== seen.get(point)) return;
      store.crash({ signal: died });
      throw died;
    };
    try {
      const context = await StreamingContext.getOrCreate(store, () => this.#program(version, crashHook));
      const driven = new DrivenStream(context, this.clock, 1000);
      await context.start();
      await driven.runTo(toSeconds * 1000);
      await driven.stop();
      return true;
    } catch (error) {
      if (error === died || (error as Error).cause === died) return false;
      throw error;
    } finally {
      clearInterval(pump);
    }
  }

  async status(): Promise<StreamStatus> {
    const found = await readCheckpoint(this.objects);
    if (found === undefined) throw new Error('There is no stream.');
    return found.status;
  }

  #program(version: ProgramVersion, crashHook: (point: CrashPoint) => void): StreamingContext {
    const isNew = version === '2';
    const pack = (n: number): Stored => (isNew ? { n } : n);
    const unpack = (stored: Stored): number => (isNew ? (stored as Counted).n : (stored as number));
    const schemas: Record<ProgramVersion, StateSchema<Stored> | undefined> = {
      '1': undefined,
      '2': { version: 2, migrate: (n: number) => ({ n }) },
      '1 reads 2': { version: 1, reads: [2], migrate: (counted: Counted) => counted.n },
    };
    const schema = schemas[version];
    const ssc = new StreamingContext({
      appName: 'schema',
      batchInterval: Seconds(1),
      defaultParallelism: 1,
      checkpoint: { manifestEveryRecords: 3, retainManifests: 1, silenceThresholdMs: 1000 },
      environment: {
        clock: this.clock,
        random: new SeededRandom(++this.#lives),
        crashHook,
        print: () => {},
        warn: () => {},
        allowSeveral: true,
      },
    });
    const rows = ssc.sourceStream(this.#topic.source(), { uid: 'readings' });
    const spec = StateSpec.function((key: string, value: number | undefined, state: State<Stored>) => {
      const n = (state.exists() ? unpack(state.get()) : 0) + (value ?? 0);
      state.update(pack(n));
      return [key, n] as const;
    }).initialState(Array.from({ length: devices }, (_, i) => [`d${i}`, pack(i)] as const));
    this.#write('devices', rows.mapWithState(spec, { uid: 'devices', schema }));
    const totals = rows.updateStateByKey<string, number, Stored>(
      (values, stored) => {
        const n = values.reduce((a, b) => a + b, stored === undefined ? 0 : unpack(stored));
        return n > 60 ? undefined : pack(n);
      },
      { uid: 'totals', schema },
    );
    this.#write('totals', totals.mapValues(unpack));
    const recent = rows
      .mapValues((value): Stored => pack(value))
      .reduceByKeyAndWindow(
        (a, b) => pack(unpack(a) + unpack(b)),
        (a, b) => pack(unpack(a) - unpack(b)),
        Seconds(4),
        Seconds(2),
        { uid: 'recent', schema },
      );
    this.#write('recent', recent.mapValues(unpack));
    return ssc;
  }

  #write(name: string, stream: ReturnType<StreamingContext['constantStream']>): void {
    stream.foreachRDD(async (rdd, time, { batchId }) => {
      const id = `${batchId}/${time.milliseconds}/${name}`;
      const content = JSON.stringify(await rdd.collect());
      if (this.written[id] !== undefined && this.written[id] !== content) {
        throw new Error(`A replay of ${id} gave ${content} instead of ${this.written[id]}.`);
      }
      this.written[id] = content;
    });
  }
}

function readings(): MemoryTopic<readonly [string, number]> {
  const topic = new MemoryTopic<readonly [string, number]>('readings', 2);
  const random = new SeededRandom(11);
  for (let t = 1000; t <= 30_000; t += 1000) {
    for (let i = 0; i < 6; i++)
      topic.send(t, i % 2, [`d${Math.floor(random.next() * 40)}`, Math.ceil(random.next() * 9)]);
  }
  return topic;
}
