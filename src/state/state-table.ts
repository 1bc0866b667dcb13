import type { BucketRange } from '../base/buckets.ts';
import { copyPlain } from '../base/plain-data.ts';
import { finish, type Steps } from '../base/turns.ts';
import type { BucketSums } from './bucket-sums.ts';
import { RestoredTable } from './restored-table.ts';
import { assemble, type SealedPart, type SealedTable } from './sealed-part.ts';
import { type CommittedState, type ExtentPlan, planExtents, type TableExtent, tableExtents } from './table-extents.ts';

/** What a batch did to a table, encoded. */
export interface SealedChange {
  readonly bytes: Uint8Array;
  readonly fingerprint: string;
}

/**
 * The state of one stateful operator: its partitions, and a small `meta` value for the operator's own bookkeeping.
 *
 * A batch writes to the overlays of the partitions (see StatePartition), then the table is sealed once, committed by
 * the log, and merged; or discarded when the batch failed. Bytes are opaque to the log and applied in order at a restore.
 */
export class StateTable extends RestoredTable {
  #nextMeta: unknown;
  #metaChanged = false;
  /** Of the running batch. */
  #sealed: SealedTable | undefined;
  #bytesSinceManifest = 0;

  /** Plain data of the operator as the running batch sees it. */
  get meta(): unknown {
    return this.#metaChanged ? this.#nextMeta : this.committedMeta;
  }

  set meta(value: unknown) {
    this.#nextMeta = copyPlain(value);
    this.#metaChanged = true;
  }

  /** Encodes what the running batch changed; empty bytes when nothing did. @throws VALUE_UNSUPPORTED, KEY_UNSUPPORTED */
  *sealSteps(): Steps<SealedChange> {
    return yield* this.assembleSteps(yield* this.sealPartsSteps());
  }

  /** The same before it is put together. */
  *sealPartsSteps(): Steps<SealedPart[]> {
    const parts: SealedPart[] = [];
    for (const [partition, state] of this.partitions.entries()) {
      if (!this.isOurs(partition)) continue;
      const { bytes, additions, change } = yield* state.sealSteps();
      parts.push({ partition, bytes, additions, change, dropped: [...state.droppedPanes] });
    }
    return parts;
  }

  /** Seals the table from the parts of its partitions, wherever those are; `parts` by ascending partition. */
  *assembleSteps(parts: readonly SealedPart[]): Steps<SealedChange> {
    const head = { startsAnew: this.startsAnew, base: undefined, hasMeta: this.#metaChanged, meta: this.#nextMeta };
    this.#sealed = yield* assemble(parts, head, this.share.nextOrdinal);
    return { bytes: this.#sealed.bytes, fingerprint: this.fingerprint };
  }

  /** `sealSteps` at once. */
  seal(): SealedChange {
    return finish(this.sealSteps());
  }

  /**
   * The sealed batch is committed. Until the last step no batch may begin and no manifest be made; state may be loaded.
   */
  *mergeSteps(): Steps {
    const sealed = this.#sealed;
    yield* this.mergePartsSteps(this.firstOrdinals);
    if (sealed !== undefined) {
      for (const pane of sealed.dropped) this.droppedSinceManifest.add(pane);
      this.committedFingerprint.addAll(sealed.change);
      this.share.nextOrdinal = sealed.nextOrdinal;
      this.#bytesSinceManifest += sealed.bytes.length;
      this.#sealed = undefined;
    }
    this.startsAnew = false;
  }

  /** Of the sealed batch, by partition: the place of the first new key. Needed where the partitions are merged. */
  get firstOrdinals(): ReadonlyMap<number, number> {
    return this.#sealed?.firstOrdinals ?? new Map();
  }

  /** What `mergeSteps` does to the partitions that are here, and to the meta value. `firstOrdinals`: see SealedTable. */
  *mergePartsSteps(firstOrdinals: ReadonlyMap<number, number>): Steps {
    for (const [partition, state] of this.partitions.entries()) {
      state.place(firstOrdinals.get(partition) ?? 0);
      yield* state.mergeSteps();
    }
    if (!this.#metaChanged) return;
    this.committedMeta = this.#nextMeta;
    this.#metaChanged = false;
  }

  /** `mergeSteps` at once. */
  merge(): void {
    finish(this.mergeSteps());
  }

  /** The batch failed: committed state stays as it was. */
  discard(): void {
    for (const partition of this.partitions) partition.discard();
    this.#sealed = undefined;
    this.#metaChanged = false;
    this.#nextMeta = undefined;
  }

  /** Whether batches have written anything since the last manifest. */
  get isChanged(): boolean {
    return this.#bytesSinceManifest > 0;
  }

  /** Of the state after the running batch, as far as it is sealed: entries and digest. */
  get fingerprint(): string {
    const fingerprint = this.committedFingerprint.clone();
    if (this.#sealed !== undefined) fingerprint.addAll(this.#sealed.change);
    return fingerprint.toString();
  }

  /** Decides what the next manifest must hold of the committed state. To be followed by `extentSteps`, or `giveUp`. */
  planExtents(alpha: number, sums: BucketSums = this.share.sums): ExtentPlan {
    const isLoaded = (range: BucketRange): boolean => this.isRangeLoaded(range);
    return planExtents(this.ledger, { alpha, changedBytes: this.#bytesSinceManifest, sums }, isLoaded);
  }

  /** There is no manifest after all. */
  giveUp({ before }: ExtentPlan): void {
    this.ledger.restore(before);
  }

  /**
   * What was planned, encoded: see {@link tableExtents}. No batch may be merged meanwhile. Undefined stands between two steps
   * of work. `committed`: default, what is in this table.
   */
  *extentSteps(plan: ExtentPlan, committed: CommittedState = this.#committed): Generator<TableExtent | undefined> {
    const note = { meta: this.committedMeta, nextOrdinal: this.share.nextOrdinal };
    const dropped = [...this.droppedSinceManifest];
    yield* tableExtents({ ...committed, ledger: this.ledger, note, dropped }, plan);
    this.droppedSinceManifest.clear();
    this.#bytesSinceManifest = 0;
  }

  /** What the partitions hold that are here. */
  get #committed(): CommittedState {
    const partitions = this.partitions;
    return {
      sums: this.share.sums,
      *encode(writer, range, isDelta) {
        for (const { committed } of partitions) yield* committed.encode(writer, range, isDelta);
      },
    };
  }

  /** `extentSteps` at once. */
  extents(alpha: number): TableExtent[] {
    return [...this.extentSteps(this.planExtents(alpha))].filter((extent) => extent !== undefined);
  }

  /** Without a checkpoint nobody asks for what has gone: nothing must be kept of it. */
  manifestWritten(): void {
    this.droppedSinceManifest.clear();
    for (const { committed } of this.partitions) committed.forgetRemoved();
  }
}
