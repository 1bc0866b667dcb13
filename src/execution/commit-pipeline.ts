import { TidemarkError, toError } from '../base/errors.ts';
import type { BatchCommit } from '../checkpoint/records.ts';
import type { Batch } from '../dstream/batch.ts';
import type { BatchPlan } from './batch-plan.ts';
import type { BatchReport } from './batch-report.ts';
import type { Driver } from './driver.ts';
import { type Effects, publish, unpublishedOf } from './outputs.ts';

/** A batch that is computed: its state is part of the tables, its output is staged, and nobody has seen any of it. */
export interface SealedBatch {
  readonly batch: Batch;
  readonly plan: BatchPlan;
  readonly effects: Effects;
  readonly commit: Omit<BatchCommit, 'receipts'>;
  readonly report: BatchReport;
}

interface Ahead {
  readonly bytes: number;
  /** Resolves when its effects are out; rejects with the failure that ends the stream. */
  readonly released: Promise<void>;
}

/**
 * What is computed and not yet out: batches on their way into the log, while the next one is being computed.
 *
 * A batch is sealed, handed to the log, and released when its record is known to be ours: sources may forget its input,
 * staged output is published, prints are printed, listeners are told. One batch after the other, in order.
 *
 * The state tables need no undo. A commit that fails ends the driver, and its tables with it; so tables may run ahead of
 * the log, as long as effects don't.
 *
 * Invariants
 *   P1. Nothing of a batch is released before the record that holds it is known to be ours, nor before the batch before it.
 *   P2. After a failure nothing more is released; what waits is told as failed.
 *   P3. No more than `batchesMax` batches are in the works, the one being computed included; beyond `bytesMax` of changes
 *       the next one waits too.
 */
export class CommitPipeline {
  readonly #driver: Driver;
  readonly #batchesMax: number;
  readonly #failed: (error: Error) => void;
  #ahead: Ahead[] = [];
  /** The last batch that was submitted is released. */
  #released: Promise<void> = Promise.resolve();
  #tidying: Promise<void> | undefined;
  #failure: Error | undefined;

  /** `failed`: called once, with what ends the stream. */
  constructor(driver: Driver, failed: (error: Error) => void) {
    this.#driver = driver;
    // An output that acts during the batch acts on a plan that is recorded after the batch before it; and without a log
    // there is nothing to wait for.
    const isSerial = driver.graph.actsDuringBatch || driver.log === undefined;
    this.#batchesMax = isSerial ? 1 : driver.settings.pipelineBatchesMax;
    this.#failed = failed;
  }

  /** Resolves when one more batch may be computed (P3). Rejects with the failure that ends the stream. */
  async room(): Promise<void> {
    while (this.#ahead.length >= this.#batchesMax || this.#bytesAhead() > this.#driver.settings.pipelineBytesMax) {
      await this.#ahead[0]!.released;
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** The next batch, in order. Its record is on its way when this returns. */
  submit(sealed: SealedBatch): void {
    const driver = this.#driver;
    const { deltas, outputs = [] } = sealed.commit;
    const bytes = [...deltas, ...outputs].reduce((sum, part) => sum + part.bytes.length, 0);
    const committed = driver.log?.commitBatch({ ...sealed.commit, receipts: driver.receipts });
    committed?.catch(() => {}); // Met in its turn.
    if (committed !== undefined) driver.committing = committed;
    driver.receipts = [];
    const released = this.#released.then(async () => {
      try {
        if (this.#failure !== undefined) throw this.#failure;
        const receipt = await committed;
        if (receipt !== undefined) sealed.report.committedBytes = receipt.bytes;
        await this.#release(sealed);
      } catch (error) {
        sealed.report.failed(error);
        this.#fail(toError(error));
        throw error;
      } finally {
        this.#ahead.shift();
      }
    });
    released.catch(() => {});
    this.#ahead.push({ bytes, released });
    this.#released = released.catch(() => {});
  }

  /** Resolves when all that was submitted is released and nothing runs in the background; rejects with the failure. */
  async settled(): Promise<void> {
    await this.#released;
    await this.#tidying;
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #release({ batch, plan, effects, report }: SealedBatch): Promise<void> {
    const driver = this.#driver;
    const { graph, ports } = driver;
    await ports.crash('batch:committed');
    graph.remembered.add(batch);
    for (const { uid, source } of graph.sources) {
      const sourcePlan = plan.sources.get(uid);
      if (sourcePlan !== undefined) source.committed(sourcePlan);
    }
    await ports.crash('batch:input-freed');
    await publish(driver, unpublishedOf(effects));
    for (const print of effects.prints) print();
    report.completed(ports.clock.now());
    await ports.crash('batch:end');
    this.#tidy();
  }

  /** Deletes what is no longer needed, beside the batches. A store that refuses a delete now is asked again later. */
  #tidy(): void {
    const { log, ports } = this.#driver;
    if (log === undefined || this.#tidying !== undefined) return;
    this.#tidying = log
      .retain()
      .then(
        () => {},
        (error) => {
          if (error instanceof TidemarkError && error.kind === 'unavailable') {
            ports.warn(`Old objects of the checkpoint could not be deleted, trying again later: ${error.message}`);
          } else {
            this.#fail(toError(error));
          }
        },
      )
      .finally(() => {
        this.#tidying = undefined;
      });
  }

  #fail(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    if (error instanceof TidemarkError && error.code === 'FENCED') this.#driver.meter?.fenced();
    this.#failed(error);
  }

  #bytesAhead(): number {
    return this.#ahead.reduce((sum, { bytes }) => sum + bytes, 0);
  }
}
