import { TidemarkError } from '../../base/errors.ts';
import { LogWatch } from './log-watch.ts';
import type { MarkedRecord } from './marks.ts';
import { OutputLedger, type OutputRows, type StagedOutput } from './output-ledger.ts';
import { type LedgerPlan, PlanLedger } from './plan-ledger.ts';
import type { SimulatedRow, SimulatedTopic } from './topic.ts';
import type { Verdict } from './verdict.ts';

/** A batch that has happened: its record stands in the log. */
export interface CommittedBatch<T> {
  /** From 2: batch 1 is the empty one that fixes the starting positions. */
  readonly batchId: number;
  readonly timeMs: number;
  /** Of the program whose driver committed it. */
  readonly version: number;
  /** By partition, then sequence number. */
  readonly rows: readonly SimulatedRow<T>[];
  /** By output name; an output that did not run in this batch is missing. */
  readonly outputs: ReadonlyMap<string, OutputRows>;
}

/** A driver has taken the stream over. */
export interface SimulatedFence {
  readonly slot: number;
  /** Of its program. */
  readonly version: number;
  /** The last batch before it, 0 for none. */
  readonly lastBatchId: number;
}

export interface HistoryOptions<T> {
  readonly verdict: Verdict;
  readonly topic: SimulatedTopic<T>;
  readonly versionOf: (driver: number) => number;
  readonly onBatch: (batch: CommittedBatch<T>) => void;
  readonly onFence: (fence: SimulatedFence) => void;
}

/**
 * The verifier: what happened, kept beside the engine and without its code. It sees the raw objects of the store and what
 * sources and sinks are asked for, and puts together which batches have been committed.
 *
 * Invariants it checks, each at the moment it could break; H1, H3, H4 and H6 are those of its parts.
 *   H2. Batches follow each other without gap or overlap: per partition [last end, new end), each sequence number once.
 *   H5. A source is told of a commit only when its record stands in the log.
 *   H7. Nobody is fenced without a newer fence, and no driver ends with an error that means a bug or damage.
 */
export class History<T> {
  readonly log: LogWatch;
  readonly plans: PlanLedger;
  readonly outputs: OutputLedger;
  readonly batches: CommittedBatch<T>[] = [];
  readonly #options: HistoryOptions<T>;
  readonly #verdict: Verdict;
  /** By driver: the slot of its fence. */
  readonly #epochs = new Map<number, number>();
  #lastDriver = 0;
  #lastPlan: number | undefined;
  #lastBatchId = 0;

  constructor(options: HistoryOptions<T>) {
    this.#options = options;
    this.#verdict = options.verdict;
    this.plans = new PlanLedger(options.verdict);
    this.outputs = new OutputLedger(options.verdict, this.plans);
    this.log = new LogWatch(options.verdict, (record) => this.#recorded(record));
  }

  get fences(): number {
    return this.#epochs.size;
  }

  hasBatch(batchId: number): boolean {
    return batchId <= this.#lastBatchId;
  }

  /** Per partition: where the last committed batch ended. */
  get committedTo(): readonly number[] {
    return this.#lastPlan === undefined ? [] : this.plans.at(this.#lastPlan).to;
  }

  /** Undefined: the driver has not got its fence into the log. */
  epochOf(driver: number): number | undefined {
    return this.#epochs.get(driver);
  }

  sourceToldOfCommit(plan: number): void {
    if (!this.plans.isCommitted(plan))
      this.#verdict.violate(`The source is told that plan ${plan} is committed; it is not.`); // H5
  }

  /** `epochBefore`: the newest fence when the driver started. `allowed`: the codes it may end with. */
  driverEnded(driver: number, epochBefore: number, error: unknown, allowed: ReadonlySet<string>): void {
    if (error === undefined) return;
    const code = error instanceof TidemarkError ? error.code : undefined;
    // The simulated input fails now and then; the program must not.
    const isOfProgram = code === 'TASK_FAILED' && !String(error).includes('Simulated');
    if (code === undefined || !allowed.has(code) || isOfProgram) {
      this.#verdict.violate(`Driver ${driver} ended with ${String(error)}`, error); // H7
    }
    if (code !== 'FENCED' && code !== 'SOURCE_FENCED') return;
    // One that has not fenced yet may refuse because others have run batches since it began.
    const epoch = this.#epochs.get(driver) ?? epochBefore - 1;
    if (this.log.epoch > epoch) return;
    this.#verdict.violate(
      `Driver ${driver} of epoch ${epoch} is fenced, and there is no newer fence: ${String(error)}`,
      error,
    );
  }

  #recorded(record: MarkedRecord): void {
    const { kind, slot, driver, planned } = record;
    if (kind === 'plan' || kind === 'batch') for (const plan of planned) this.plans.recorded(plan);
    if (kind === 'batch') this.#committed(record);
    if (kind !== 'fence') return;
    if (driver === undefined) this.#verdict.fail(`Fence ${slot} does not show the name of its program.`);
    this.#epochs.set(driver, slot);
    this.#lastDriver = driver;
    this.#options.onFence({ slot, version: this.#options.versionOf(driver), lastBatchId: this.#lastBatchId });
  }

  /** The record holds the positions where its batches end, and perhaps the plan of the batch after them. */
  #committed({ slot, positions, planned, outs }: MarkedRecord): void {
    const ends = [...positions].filter((id) => !planned.has(id)).sort((a, b) => a - b);
    const end = ends.at(-1);
    if (end === undefined) this.#verdict.fail(`Record ${slot} commits no position.`); // H2
    const chain = this.plans.chain(this.#lastPlan, end);
    if (chain === undefined || chain.length !== ends.length || chain.some(({ id }, index) => id !== ends[index])) {
      this.#verdict.fail(
        `Record ${slot} commits plans ${ends.join(', ')}, which do not follow plan ${this.#lastPlan}: rows are lost or doubled.`,
      ); // H2
    }
    const committed = outs.map((id) => this.outputs.committed(id));
    for (const plan of chain) {
      this.#lastPlan = plan.id;
      this.plans.committed(plan.id);
      this.#lastBatchId += 1;
      // The first one fixes the starting positions and has no rows.
      if (this.#lastBatchId === 1) continue;
      this.#batchCommitted(
        plan,
        committed.filter(({ timeMs }) => timeMs === plan.batchTimeMs),
      );
    }
  }

  #batchCommitted(plan: LedgerPlan, staged: readonly StagedOutput[]): void {
    const batchId = this.#lastBatchId;
    const outputs = new Map<string, OutputRows>(
      this.outputs.actsOf(batchId, plan.id, this.#options.versionOf(this.#lastDriver)),
    );
    for (const { output, batchId: own, rows } of staged) {
      if (own !== batchId) this.#verdict.violate(`Output '${output}' of batch ${own} is committed as ${batchId}.`);
      if (outputs.has(output)) this.#verdict.violate(`Batch ${batchId} commits output '${output}' twice.`);
      outputs.set(output, rows);
    }
    const { topic, versionOf, onBatch } = this.#options;
    const rows = plan.to.flatMap((to, partition) => {
      const from = plan.from[partition] ?? 0;
      if (to < from) this.#verdict.violate(`Plan ${plan.id} goes back from ${from} to ${to}.`);
      return topic.rows(partition, from, to);
    });
    const timeMs = plan.batchTimeMs;
    const last = this.batches.at(-1);
    if (last !== undefined && last.timeMs >= timeMs) {
      this.#verdict.violate(`Batch ${batchId} of ${timeMs} ms follows one of ${last.timeMs} ms.`);
    }
    const batch: CommittedBatch<T> = { batchId, timeMs, version: versionOf(this.#lastDriver), rows, outputs };
    this.batches.push(batch);
    if (this.#verdict.violation === undefined) onBatch(batch);
  }
}
