import type { Clock } from '../base/clock.ts';
import type { CheckpointLog } from '../checkpoint/checkpoint-log.ts';
import type { CommittedRecord } from '../checkpoint/checkpoint-options.ts';
import {
  azureHotPrices,
  type CheckpointBytes,
  type CheckpointCommitInfo,
  type CheckpointMetrics,
  type OperationsByPriceClass,
  type RequestPrices,
  type TimeSummary,
} from '../observe/checkpoint-metrics.ts';
import type { ListenerBus } from '../observe/listener-bus.ts';
import type { ObjectStore } from '../storage/object-store.ts';

const monthMs = 30 * 24 * 3_600_000;
/** Of a start: root objects, manifest and first window, fence, floor. */
const recoveryRoundTrips = 4;
/** Records a start reads in one round trip. */
const recordsPerRoundTrip = 16;
// A modest figure for one process and one storage account.
const recoveryBytesPerMs = 50_000;

const noBytes: CheckpointBytes = { records: 0, segments: 0, manifests: 0, snapshots: 0 };

/** Counts what the commits of one driver take, tells the listeners of each, and sums up. */
export class CheckpointMeter {
  readonly #clock: Clock;
  readonly #store: ObjectStore;
  readonly #listeners: ListenerBus;
  readonly #waitMs = new Times();
  readonly #encodeMs = new Times();
  readonly #uploadMs = new Times();
  #log: CheckpointLog | undefined;
  #startMs = 0;
  #startBytes = noBytes;
  #startOperations: OperationsByPriceClass;
  #toldBytes = noBytes;
  #toldOperations: OperationsByPriceClass;
  #commits = 0;
  #batches = 0;
  #groupSizeMax = 0;
  #changeBytes = 0;
  #fenceEvents = 0;

  constructor(clock: Clock, store: ObjectStore, listeners: ListenerBus) {
    this.#clock = clock;
    this.#store = store;
    this.#listeners = listeners;
    this.#startOperations = operationsOf(store);
    this.#toldOperations = this.#startOperations;
  }

  /** The start is through: what it took does not count. */
  begin(log: CheckpointLog): void {
    this.#log = log;
    this.#startMs = this.#clock.now();
    this.#startBytes = log.standing.written;
    this.#toldBytes = this.#startBytes;
    this.#startOperations = operationsOf(this.#store);
    this.#toldOperations = this.#startOperations;
  }

  fenced(): void {
    this.#fenceEvents = 1;
  }

  committed(record: CommittedRecord): void {
    // The empty batch of a first start.
    if (this.#log === undefined) return;
    const { batches: groupSize, ...rest } = record;
    this.#commits += 1;
    this.#batches += groupSize;
    this.#groupSizeMax = Math.max(this.#groupSizeMax, groupSize);
    this.#changeBytes += record.changeBytes;
    this.#waitMs.add(record.waitMs);
    this.#encodeMs.add(record.encodeMs);
    this.#uploadMs.add(record.uploadMs);
    const { written } = this.#log.standing;
    const operations = operationsOf(this.#store);
    const info: CheckpointCommitInfo = {
      ...rest,
      groupSize,
      timeMs: this.#clock.now(),
      bytes: minus(written, this.#toldBytes),
      operations: minus(operations, this.#toldOperations),
    };
    this.#toldBytes = written;
    this.#toldOperations = operations;
    this.#listeners.post('onCheckpointCommitted', info);
  }

  /** Undefined before the start is through. */
  metrics(prices: RequestPrices = azureHotPrices): CheckpointMetrics | undefined {
    if (this.#log === undefined) return undefined;
    const { status, standing } = this.#log;
    const bytes = minus(standing.written, this.#startBytes);
    const operations = minus(operationsOf(this.#store), this.#startOperations);
    const nowMs = this.#clock.now();
    const written = bytes.records + bytes.segments + bytes.manifests + bytes.snapshots;
    const trips = recoveryRoundTrips + Math.ceil(standing.recordsSinceManifest / recordsPerRoundTrip);
    return {
      commits: this.#commits,
      batches: this.#batches,
      groupSizeMax: this.#groupSizeMax,
      waitMs: this.#waitMs.summary(),
      encodeMs: this.#encodeMs.summary(),
      uploadMs: this.#uploadMs.summary(),
      changeBytes: this.#changeBytes,
      bytes,
      writeAmplification: this.#changeBytes === 0 ? undefined : written / this.#changeBytes,
      operations,
      floorLagRecords: status.tailSlot - standing.floor,
      // A read takes no longer than a write.
      estimatedRecoveryMs: Math.round(trips * this.#uploadMs.summary().mean + standing.stateBytes / recoveryBytesPerMs),
      lastDurableBatchAgeMs: Math.max(0, nowMs - (status.lastBatch?.batchTimeMs ?? nowMs)),
      unpublishedHandles: status.unpublished.length,
      fenceEvents: this.#fenceEvents,
      estimatedMonthlyRequestUsd: monthlyUsd(operations, prices, nowMs - this.#startMs),
    };
  }
}

class Times {
  #count = 0;
  #sum = 0;
  #max = 0;
  #last = 0;

  add(ms: number): void {
    this.#count += 1;
    this.#sum += ms;
    this.#max = Math.max(this.#max, ms);
    this.#last = ms;
  }

  summary(): TimeSummary {
    return { last: this.#last, mean: this.#count === 0 ? 0 : this.#sum / this.#count, max: this.#max };
  }
}

function operationsOf(store: ObjectStore): OperationsByPriceClass {
  const { put, list, get, head, delete: deletes } = store.operations.snapshot();
  return {
    write: put.requests,
    list: list.requests,
    read: get.requests,
    other: head.requests,
    delete: deletes.requests,
  };
}

function minus<T extends object>(now: T, before: T): T {
  const difference = { ...now } as Record<string, number>;
  for (const key of Object.keys(difference)) difference[key]! -= (before as Record<string, number>)[key]!;
  return difference as T;
}

function monthlyUsd(operations: OperationsByPriceClass, prices: RequestPrices, elapsedMs: number): number | undefined {
  if (elapsedMs <= 0) return undefined;
  const classes = Object.keys(operations) as (keyof OperationsByPriceClass)[];
  const usd = classes.reduce((sum, one) => sum + (operations[one] / 10_000) * prices[one], 0);
  return (usd * monthMs) / elapsedMs;
}
