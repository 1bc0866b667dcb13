/**
 * A transactional sink on SQLite, and a second process that follows an outbox into a database of its own. Both are exactly
 * once: kill either of them at any moment and start it again.
 *
 *   node examples/sqlite-ledger.ts write --folder /tmp/ledger
 *   node examples/sqlite-ledger.ts follow --folder /tmp/ledger
 *
 * `node:sqlite` is part of Node from 22.13 on and prints that it is experimental.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { parseArgs } from 'node:util';
import { readOutbox } from '../src/checkpoint-tools.ts';
import {
  Milliseconds,
  outboxSink,
  type SinkOutput,
  type SinkProgress,
  type SinkTransaction,
  type SinkWrite,
  StreamingContext,
  type TransactionalSink,
} from '../src/index.ts';

interface Entry {
  readonly number: number;
}

/** Appends entries; that none is doubled follows from the progress in the same transaction alone. */
class LedgerSink implements TransactionalSink<Entry>, SinkTransaction<Entry> {
  readonly sinkClass = 'transactional';
  readonly kind = 'sqlite';
  readonly description: string;
  readonly #file: string;
  #opened: DatabaseSync | undefined;

  constructor(file: string) {
    this.#file = file;
    this.description = `table entries of ${file}`;
  }

  async open(): Promise<void> {
    this.#opened = openDatabase(this.#file);
    this.#opened.exec(`CREATE TABLE IF NOT EXISTS progress (
      stream TEXT, output TEXT, batch INTEGER, generation INTEGER, epoch INTEGER, PRIMARY KEY (stream, output))`);
  }

  async transaction(work: (tx: SinkTransaction<Entry>) => Promise<void>): Promise<void> {
    await inTransaction(this.#database, () => work(this));
  }

  async readProgress({ streamId, uid }: SinkOutput): Promise<SinkProgress | undefined> {
    const row = this.#database
      .prepare('SELECT batch, generation, epoch FROM progress WHERE stream = ? AND output = ?')
      .get(streamId, uid);
    return row && { batchId: Number(row.batch), generation: Number(row.generation), epoch: Number(row.epoch) };
  }

  async write(rows: readonly Entry[], { batchId }: SinkWrite): Promise<void> {
    insertEntries(this.#database, rows, batchId);
    console.log(`batch ${batchId}: ${rows.length} entries`);
  }

  async writeProgress({ streamId, uid }: SinkOutput, { batchId, generation, epoch }: SinkProgress): Promise<void> {
    this.#database
      .prepare('INSERT OR REPLACE INTO progress VALUES (?, ?, ?, ?, ?)')
      .run(streamId, uid, batchId, generation, epoch);
  }

  async close(): Promise<void> {
    this.#opened?.close();
  }

  get #database(): DatabaseSync {
    if (this.#opened === undefined) throw new Error('The ledger is not open.');
    return this.#opened;
  }
}

function openDatabase(file: string): DatabaseSync {
  const database = new DatabaseSync(file);
  database.exec('PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 5000');
  database.exec('CREATE TABLE IF NOT EXISTS entries (number INTEGER, batch INTEGER)');
  return database;
}

/** IMMEDIATE: whoever else wants to write waits from here on, so what is read first stays true. */
async function inTransaction(database: DatabaseSync, work: () => Promise<void> | void): Promise<void> {
  database.exec('BEGIN IMMEDIATE');
  try {
    await work();
    database.exec('COMMIT');
  } catch (error) {
    database.exec('ROLLBACK');
    throw error;
  }
}

function insertEntries(database: DatabaseSync, rows: readonly Entry[], batchId: number): void {
  const insert = database.prepare('INSERT INTO entries VALUES (?, ?)');
  for (const { number } of rows) insert.run(number, batchId);
}

/** The stream: numbers 0, 1, 2 ... into the ledger, and into an outbox. */
async function write(folder: string): Promise<void> {
  const ssc = await StreamingContext.getOrCreate(join(folder, 'checkpoint'), () => {
    const context = new StreamingContext({ appName: 'ledger', batchInterval: Milliseconds(200) });
    const entries = context.rateStream(500, { uid: 'numbers' }).map(({ value }): Entry => ({ number: value }));
    entries.saveTo(new LedgerSink(join(folder, 'ledger.sqlite')), { uid: 'ledger' });
    entries.saveTo(outboxSink<Entry>(), { uid: 'feed' });
    return context;
  });
  await ssc.start();
  await ssc.awaitTermination();
}

/** Another process: the rows of the outbox and the position behind them go into one transaction. */
async function follow(folder: string, waitMs: number): Promise<void> {
  const database = openDatabase(join(folder, 'copy.sqlite'));
  database.exec('CREATE TABLE IF NOT EXISTS position (only INTEGER PRIMARY KEY CHECK (only = 1), json TEXT)');
  const stored = database.prepare('SELECT json FROM position').get()?.json;
  const from = stored === undefined ? 'earliest' : JSON.parse(String(stored));
  for await (const event of readOutbox<Entry>(join(folder, 'checkpoint'), 'feed', {
    from,
    waitMs,
    pollIntervalMs: 100,
  })) {
    await inTransaction(database, () => {
      if (event.kind === 'batch') insertEntries(database, event.rows, event.batchId);
      else database.prepare('DELETE FROM entries WHERE batch > ?').run(event.toBatchId);
      database.prepare('INSERT OR REPLACE INTO position VALUES (1, ?)').run(JSON.stringify(event.position));
    });
    console.log(
      event.kind === 'batch' ? `batch ${event.batchId}: ${event.rows.length} entries` : 'the stream went back',
    );
  }
  database.close();
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    folder: { type: 'string' },
    /** For `follow`: ends when nothing has come for so many milliseconds. */
    wait: { type: 'string', default: 'Infinity' },
  },
});
const [role] = positionals;
if (values.folder === undefined || (role !== 'write' && role !== 'follow')) {
  console.error('usage: node examples/sqlite-ledger.ts <write|follow> --folder <folder>');
  process.exit(2);
}
mkdirSync(values.folder, { recursive: true });
await (role === 'write' ? write(values.folder) : follow(values.folder, Number(values.wait)));
