import { Time } from '../base/time.ts';
import type { RDD } from '../rdd/rdd.ts';
import type { RddContext } from '../rdd/rdd-context.ts';
import type { SourcePlan } from '../sources/source.ts';
import type { StreamNode } from './stream-node.ts';

/** Where the RDDs of a batch are computed, when that is not all in this thread. */
export interface Placement {
  /** The RDD of `stream`, from what it computes here. */
  generate<T>(stream: StreamNode<T>, compute: () => RDD<T> | undefined): RDD<T> | undefined;
  /** Reads a partition of a plan on the thread that can; undefined: on this one. */
  readSource?(
    uid: string,
  ): ((partition: number, push: (chunk: readonly unknown[]) => void) => Promise<void>) | undefined;
}

interface BatchFields {
  readonly batchId: number;
  readonly timeMs: number;
  readonly zeroTimeMs: number;
  readonly generation: number;
  readonly rdds: RddContext;
  readonly plans: ReadonlyMap<string, SourcePlan>;
  /** Its RDDs are asked for again after the batch: see {@link RememberedBatches}. */
  readonly isRemembered?: boolean | undefined;
  /** Default: all is computed in this thread. */
  readonly placement?: Placement | undefined;
}

/** One batch while it is generated and run: its identity, its recorded plan, and the RDD of every stream at its time. */
export class Batch {
  /** Dense counter in the log, from 1. */
  readonly batchId: number;
  readonly time: Time;
  readonly zeroTimeMs: number;
  /** Counts rewinds of the stream, from 0. */
  readonly generation: number;
  readonly rdds: RddContext;
  /** By source uid. */
  readonly plans: ReadonlyMap<string, SourcePlan>;
  readonly isRemembered: boolean;
  readonly placement: Placement | undefined;
  readonly #generated = new Map<StreamNode<unknown>, RDD<unknown> | undefined>();

  constructor(fields: BatchFields) {
    this.batchId = fields.batchId;
    this.time = new Time(fields.timeMs);
    this.zeroTimeMs = fields.zeroTimeMs;
    this.generation = fields.generation;
    this.rdds = fields.rdds;
    this.plans = fields.plans;
    this.isRemembered = fields.isRemembered ?? false;
    this.placement = fields.placement;
  }

  get timeMs(): number {
    return this.time.milliseconds;
  }

  /** True when a stream of this slide has an RDD at the time of this batch. */
  isValidFor(slideMs: number): boolean {
    const sinceZeroMs = this.timeMs - this.zeroTimeMs;
    return sinceZeroMs > 0 && sinceZeroMs % slideMs === 0;
  }

  /** The RDDs that were generated in this batch. */
  generated(): RDD<unknown>[] {
    return [...this.#generated.values()].filter((rdd) => rdd !== undefined);
  }

  /** The RDD of `stream`, generated on the first call; a stream used twice is generated once. */
  once<T>(stream: StreamNode<T>, generate: () => RDD<T> | undefined): RDD<T> | undefined {
    if (!this.#generated.has(stream)) this.#generated.set(stream, generate());
    return this.#generated.get(stream) as RDD<T> | undefined;
  }
}
