import type { RewindInfo, SinkProgress } from '../../sinks/sink.ts';
import type { BatchIds } from './batch-ids.ts';
import type { ExpectedRows } from './line.ts';
import { sameRows } from './same-rows.ts';
import type { Verdict } from './verdict.ts';

/** Rows that reach the place where an output writes, and whose they are. */
export interface RowsWritten {
  readonly batchId: number;
  readonly generation: number;
  /** Of the driver that writes. */
  readonly epoch: number;
  readonly rows: readonly unknown[];
}

interface Stored {
  readonly generation: number;
  readonly partitions: Map<number, readonly unknown[]>;
}

/** What one output has written, at its place: a table that outlives all drivers. */
interface Table {
  readonly batches: Map<number, Stored>;
  readonly rewinds: RewindInfo[];
  /** When a driver first opened it: by batch id. */
  readonly sinceBatchId: number;
  progress: SinkProgress | undefined;
  /** Rises with every transaction. */
  version: number;
}

/**
 * What outputs of the classes `idempotent` and `transactional` have written.
 *
 * Invariants
 *   H8. Rows are written only of a batch that is committed, and every repetition has identical content; a transaction
 *       writes no batch a second time. A driver that follows a rewind does not write what it gave up, and each output is
 *       told of a rewind before it is given a batch of the new generation. In the end the rows of all batches that count
 *       are there, and no others.
 */
export class WrittenLedger<T> {
  readonly counts = { writes: 0, transactions: 0, rewindsTold: 0 };
  readonly #verdict: Verdict;
  readonly #ids: BatchIds<T>;
  readonly #tables = new Map<string, Table>();
  readonly #expected = new Map<number, ExpectedRows | undefined>();

  constructor(verdict: Verdict, ids: BatchIds<T>) {
    this.#verdict = verdict;
    this.#ids = ids;
  }

  opened(output: string): void {
    if (this.#tables.has(output)) return;
    const table = { batches: new Map(), rewinds: [], sinceBatchId: this.#ids.last, progress: undefined, version: 0 };
    this.#tables.set(output, table);
  }

  /** What the model says of a batch that is committed now. */
  expect(batchId: number, rows: ExpectedRows | undefined): void {
    this.#expected.set(batchId, rows);
  }

  progress(output: string): SinkProgress | undefined {
    return this.#table(output).progress;
  }

  version(output: string): number {
    return this.#table(output).version;
  }

  /** Under keys: a repetition stands where the first one stood. Late rows of a given up batch find the mark of the rewind. */
  wrote(output: string, partition: number, write: RowsWritten): void {
    const what = `Output '${output}' writes partition ${partition} of batch ${write.batchId}`;
    this.counts.writes += 1;
    this.#check(output, what, write);
    const { batches, rewinds } = this.#table(output);
    if (rewinds.some(({ batchId, generation }) => isBehind(write, batchId, generation))) return;
    const stored = this.#stored(batches, write);
    const before = stored.partitions.get(partition);
    if (before !== undefined && JSON.stringify(before) !== JSON.stringify(write.rows)) {
      this.#verdict.violate(`${what} again with ${JSON.stringify(write.rows)} instead of ${JSON.stringify(before)}.`); // H8
    }
    stored.partitions.set(partition, write.rows);
  }

  /** A transaction that nobody came between. It does not look at rewinds: the engine's progress is all its protection. */
  transacted(output: string, writes: readonly RowsWritten[], progress: SinkProgress | undefined): void {
    const table = this.#table(output);
    table.version += 1;
    if (writes.length > 0) this.counts.transactions += 1;
    for (const write of writes) {
      const what = `A transaction of output '${output}' writes batch ${write.batchId}`;
      this.#check(output, what, write);
      if (table.batches.has(write.batchId)) this.#verdict.violate(`${what} a second time.`); // H8
      if (table.rewinds.some(({ batchId, generation }) => isBehind(write, batchId, generation))) {
        this.#verdict.violate(`${what}, and was told before that it is given up.`); // H8
      }
      this.#stored(table.batches, write).partitions.set(0, write.rows);
    }
    if (progress !== undefined) table.progress = progress;
  }

  /** The sink removes what was given up, and keeps a mark. */
  rewound(output: string, rewind: RewindInfo): void {
    const inLog = this.#ids.rewindOf(rewind.generation);
    if (inLog === undefined || this.#ids.get(rewind.batchId)?.station !== inLog.station) {
      this.#verdict.violate(
        `Output '${output}' is told of a rewind to batch ${rewind.batchId}, generation ${rewind.generation}: there is none.`,
      ); // H8
    }
    const { batches, rewinds } = this.#table(output);
    rewinds.push(rewind);
    this.counts.rewindsTold += 1;
    for (const [batchId, { generation }] of batches) {
      if (isBehind({ batchId, generation }, rewind.batchId, rewind.generation)) batches.delete(batchId);
    }
  }

  /** At the end. */
  requireComplete(): void {
    for (const [output, { batches }] of this.#tables) {
      for (const batchId of batches.keys()) {
        if (this.#ids.get(batchId)?.givenUpBy === undefined) continue;
        this.#verdict.violate(`Output '${output}' still holds rows of batch ${batchId}, which was given up.`); // H8
      }
      for (const [batchId, expected] of this.#expected) {
        const rows = expected?.get(output);
        if (rows === undefined || this.#ids.get(batchId)?.givenUpBy !== undefined) continue;
        const actual = [...(batches.get(batchId)?.partitions.values() ?? [])].flat();
        if (sameRows(rows, actual)) continue;
        this.#verdict.violate(
          `Output '${output}' has written ${JSON.stringify(actual)} of batch ${batchId}, not ${JSON.stringify(rows)}.`,
        ); // H8
      }
    }
  }

  #check(output: string, what: string, { batchId, generation, epoch }: RowsWritten): void {
    const id = this.#ids.get(batchId);
    if (id === undefined || id.isRewind) {
      this.#verdict.violate(`${what}, which is not committed.`); // H8
      return;
    }
    if (id.generation !== generation) {
      this.#verdict.violate(`${what} as one of generation ${generation}; it is of ${id.generation}.`); // H8
    }
    if (id.givenUpBy !== undefined && epoch > id.givenUpBy) {
      this.#verdict.violate(`${what} in epoch ${epoch}; record ${id.givenUpBy} gave it up.`); // H8
    }
    const { rewinds, sinceBatchId } = this.#table(output);
    const began = this.#ids.rewindOf(generation);
    const isTold = rewinds.some((rewind) => rewind.generation >= generation);
    if (began !== undefined && began.batchId > sinceBatchId && !isTold) {
      this.#verdict.violate(`${what} of generation ${generation}, and was not told of the rewind.`); // H8
    }
  }

  #stored(batches: Map<number, Stored>, { batchId, generation }: RowsWritten): Stored {
    let stored = batches.get(batchId);
    if (stored === undefined) batches.set(batchId, (stored = { generation, partitions: new Map() }));
    return stored;
  }

  #table(output: string): Table {
    return this.#tables.get(output) ?? this.#verdict.fail(`Output '${output}' writes, and was not opened.`);
  }
}

/** Of an older generation, and after the batch that a rewind went back to. */
function isBehind(
  write: { readonly batchId: number; readonly generation: number },
  toBatchId: number,
  generation: number,
): boolean {
  return write.batchId > toBatchId && write.generation < generation;
}
