import { DatabaseSync } from 'node:sqlite';
import { ManualClock } from '../../../src/base/clock.ts';
import type { CrashHook, CrashPoint } from '../../../src/base/crash-points.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { Seconds } from '../../../src/base/time.ts';
import type { CheckpointOptions } from '../../../src/checkpoint/checkpoint-options.ts';
import { readBlobOutput } from '../../../src/sinks/blob-output.ts';
import { blobSink } from '../../../src/sinks/blob-sink.ts';
import { outboxSink } from '../../../src/sinks/outbox-sink.ts';
import type {
  IdempotentSink,
  Sink,
  SinkOutput,
  SinkPartition,
  SinkProgress,
  SinkTransaction,
  SinkWrite,
  TransactionalSink,
} from '../../../src/sinks/sink.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import { StreamingContext } from '../../../src/streaming-context.ts';
import { FaultyStore } from '../../../src/testing/faulty-store.ts';
import { MemoryTopic } from '../../../src/testing/memory-topic.ts';
import { DrivenStream } from '../../support/driven-stream.ts';

export type Total = readonly [device: string, total: number];

/** Where a driver can die: crash points of the engine, and places inside the sinks themselves. */
export type Place = CrashPoint | `${'upsert' | 'ledger'}: ${'before' | 'inside' | 'applied, answer lost'}`;

/** Uids of the outputs, one of each class, in order of the classes. */
export const outputNames = ['table', 'ledger', 'folder', 'feed'] as const;
export type OutputName = (typeof outputNames)[number];

export interface Death {
  readonly at: Place;
  /** Counted within the life of the driver, from 1. */
  readonly nth: number;
}

export const died: Error = new Error('the driver died');

/** Dies at one place: called wherever one is passed. */
export type Pass = (place: Place) => void;

let worlds = 0;

/**
 * What outlives the drivers of a stream that writes to sinks of all four classes: the checkpoint, a table with keys (A), a
 * database (B), a folder (C), and the outbox in the checkpoint (D).
 */
export class SinkWorld {
  readonly clock = new ManualClock(0);
  readonly store = new MemoryStore({ clock: this.clock });
  readonly outputUrl = `memory:sink-world-${++worlds}`;
  readonly table = new Map<string, { readonly total: number; readonly batchId: number }>();
  readonly database = ledgerDatabase();
  readonly topic = new MemoryTopic<Total>('readings', 2);
  readonly passed = new Map<Place, number>();
  readonly #checkpoint: Partial<CheckpointOptions>;
  readonly #outputs: readonly OutputName[];
  #lives = 0;

  constructor(
    untilMs: number,
    checkpoint: Partial<CheckpointOptions> = {},
    outputs: readonly OutputName[] = outputNames,
  ) {
    this.#checkpoint = checkpoint;
    this.#outputs = outputs;
    for (let t = 1000; t <= untilMs; t += 1000) {
      // Every fourth batch has no rows.
      if (t % 4000 !== 0) this.topic.send(t, (t / 1000) % 2, [`d${t % 3}`, t / 1000], [`d${t % 2}`, 1]);
    }
  }

  /** Runs a driver to `untilMs`; true when it died. */
  async live(untilMs: number, death?: Death): Promise<boolean> {
    const driven = await this.start(death).catch(ofDeath);
    if (driven === undefined) return true;
    const end = await driven.runTo(untilMs).catch(ofDeath);
    const isDead = end === undefined && driven.lastBatchTimeMs < untilMs;
    const stopped = await driven.stop().then(() => true, ofDeath);
    return isDead || stopped === undefined;
  }

  /** With `freeze` the driver stops at a crash point when it is told to, until the promise resolves. */
  async start(
    death?: Death,
    freeze?: { readonly at: CrashPoint; readonly until: () => Promise<void> | undefined },
  ): Promise<DrivenStream> {
    this.#lives += 1;
    const store = new FaultyStore(this.store);
    let seen = 0;
    const pass: Pass = (place) => {
      this.passed.set(place, (this.passed.get(place) ?? 0) + 1);
      if (place !== death?.at || ++seen !== death.nth) return;
      store.crash({ signal: died });
      throw died;
    };
    const hook = async (point: CrashPoint): Promise<void> => {
      pass(point);
      if (point === freeze?.at) await freeze.until();
    };
    const context = await StreamingContext.getOrCreate(store, () => this.#program(pass, hook));
    const driven = new DrivenStream(context, this.clock, 1000);
    await context.start();
    return driven;
  }

  #program(pass: Pass, crashHook: CrashHook): StreamingContext {
    const ssc = new StreamingContext({
      appName: 'sink-world',
      batchInterval: Seconds(1),
      defaultParallelism: 2,
      checkpoint: this.#checkpoint,
      environment: {
        clock: this.clock,
        random: new SeededRandom(this.#lives),
        crashHook,
        print: () => {},
        allowSeveral: true,
      },
    });
    const totals = ssc
      .sourceStream(this.topic.source(), { uid: 'readings' })
      .reduceByKey((a, b) => a + b)
      .updateStateByKey((values, state: number | undefined) => values.reduce((a, b) => a + b, state ?? 0), {
        uid: 'totals',
      })
      .transform((rdd, time) => (time.milliseconds % 4000 === 0 ? rdd.filter(() => false) : rdd));
    const sinks: Record<OutputName, () => Sink<Total>> = {
      table: () => new TableSink(this.table, pass),
      ledger: () => new LedgerSink(this.database, pass),
      folder: () => blobSink({ url: this.outputUrl, inlineBytesMax: 40 }),
      feed: () => outboxSink<Total>(),
    };
    for (const uid of this.#outputs) totals.saveTo(sinks[uid](), { uid });
    return ssc;
  }

  /** Everything there is to see outside. */
  async outputs(): Promise<{ table: unknown; ledger: unknown; folder: unknown }> {
    const folder: unknown[] = [];
    for await (const row of readBlobOutput(this.outputUrl, 'folder')) folder.push(row);
    return {
      table: Object.fromEntries([...this.table].sort()),
      ledger: this.database.prepare('SELECT batch, device, total FROM ledger ORDER BY rowid').all(),
      folder,
    };
  }
}

function ofDeath(error: unknown): undefined {
  if (error === died || (error as Error).cause === died) return undefined;
  throw error;
}

/** Class A: the last total of every device. A late repetition of an older batch changes nothing. */
export class TableSink implements IdempotentSink<Total> {
  readonly sinkClass = 'idempotent';
  readonly kind = 'table';
  readonly description = 'totals by device';
  readonly #table: Map<string, { readonly total: number; readonly batchId: number }>;
  readonly #pass: Pass;

  constructor(table: SinkWorld['table'], pass: Pass) {
    this.#table = table;
    this.#pass = pass;
  }

  async write(rows: readonly Total[], { batchId }: SinkPartition): Promise<void> {
    this.#pass('upsert: before');
    for (const [index, [device, total]] of rows.entries()) {
      if (index > 0) this.#pass('upsert: inside');
      if ((this.#table.get(device)?.batchId ?? 0) <= batchId) this.#table.set(device, { total, batchId });
    }
    this.#pass('upsert: applied, answer lost');
  }
}

/** Class B: appends every row, so that a repetition would show. */
export class LedgerSink implements TransactionalSink<Total>, SinkTransaction<Total> {
  readonly sinkClass = 'transactional';
  readonly kind = 'ledger';
  readonly description = 'sqlite ledger';
  readonly #database: DatabaseSync;
  readonly #pass: Pass;

  constructor(database: DatabaseSync, pass: Pass) {
    this.#database = database;
    this.#pass = pass;
  }

  async transaction(work: (tx: SinkTransaction<Total>) => Promise<void>): Promise<void> {
    this.#pass('ledger: before');
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      await work(this);
      this.#database.exec('COMMIT');
      this.#pass('ledger: applied, answer lost');
    } finally {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
    }
  }

  async readProgress({ streamId, uid }: SinkOutput): Promise<SinkProgress | undefined> {
    const row = this.#database
      .prepare('SELECT batch, generation, epoch FROM progress WHERE stream = ? AND sink = ?')
      .get(streamId, uid);
    return row && { batchId: Number(row.batch), generation: Number(row.generation), epoch: Number(row.epoch) };
  }

  async writeProgress({ streamId, uid }: SinkOutput, progress: SinkProgress): Promise<void> {
    const { batchId, generation, epoch } = progress;
    const upsert = this.#database.prepare('INSERT OR REPLACE INTO progress VALUES (?, ?, ?, ?, ?)');
    upsert.run(streamId, uid, batchId, generation, epoch);
  }

  async write(rows: readonly Total[], { batchId }: SinkWrite): Promise<void> {
    const insert = this.#database.prepare('INSERT INTO ledger VALUES (?, ?, ?)');
    for (const [index, [device, total]] of rows.entries()) {
      if (index > 0) this.#pass('ledger: inside');
      insert.run(batchId, device, total);
    }
  }
}

export function ledgerDatabase(): DatabaseSync {
  const database = new DatabaseSync(':memory:');
  database.exec('CREATE TABLE ledger (batch INTEGER, device TEXT, total REAL)');
  database.exec(
    'CREATE TABLE progress (stream TEXT, sink TEXT, batch INTEGER, generation INTEGER, epoch INTEGER, PRIMARY KEY (stream, sink))',
  );
  return database;
}
