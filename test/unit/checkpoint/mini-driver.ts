import { SeededRandom } from '../../../src/base/random.ts';
import { CheckpointLog } from '../../../src/checkpoint/checkpoint-log.ts';
import type { CheckpointOptions } from '../../../src/checkpoint/checkpoint-options.ts';
import { readCheckpoint } from '../../../src/checkpoint/read-checkpoint.ts';
import type { ObjectStore } from '../../../src/storage/object-store.ts';
import { batch, CounterState, fence, type JumpingClock, loadCounters } from './support.ts';

/** The least engine that uses every part of the log: two keyed operators, manifests and retention after each batch. */
export class MiniDriver {
  readonly log: CheckpointLog;
  readonly states: Map<string, CounterState>;
  readonly recordsRead: number;

  private constructor(log: CheckpointLog, states: Map<string, CounterState>) {
    this.log = log;
    this.states = states;
    this.recordsRead = log.recovered.recordsRead;
  }

  static async start(
    store: ObjectStore,
    clock: JumpingClock,
    seed: number,
    more: Partial<CheckpointOptions> = {},
  ): Promise<MiniDriver> {
    const options = { clock, random: new SeededRandom(seed), ...more };
    const log = await CheckpointLog.takeOver(store, await readCheckpoint(store), fence, options);
    const states = await loadCounters(log.recovered);
    for (const uid of ['wide', 'narrow']) if (!states.has(uid)) states.set(uid, new CounterState(uid));
    return new MiniDriver(log, states);
  }

  get nextBatchId(): number {
    return (this.log.status.lastBatch?.batchId ?? 0) + 1;
  }

  /** Batch n changes two of 50 keys of `wide`, and every 40th batch the one key of `narrow`. */
  async runBatch(): Promise<void> {
    const id = this.nextBatchId;
    const wide = this.states.get('wide')!.set({ [`key ${id % 50}`]: id, [`key ${(id * 7) % 50}`]: -id });
    const narrow = this.states.get('narrow')!;
    const delta = id % 40 === 0 ? narrow.set({ only: id }) : narrow.delta([]);
    await this.log.commitBatch(batch(id, { deltas: [wide, delta] }));
    const due = this.log.manifestDue();
    if (due !== undefined) {
      await this.log.writeManifest([...due].map(([uid, kind]) => this.states.get(uid)!.extent(kind)));
      for (const uid of due.keys()) this.states.get(uid)!.manifestWritten();
    }
    await this.log.retain();
  }

  /** What the state must be after batch n, computed from the rule alone. */
  static expected(lastBatchId: number): Record<'wide' | 'narrow', Map<string, number>> {
    const wide = new Map<string, number>();
    const narrow = new Map<string, number>();
    for (let id = Math.max(1, lastBatchId - 100); id <= lastBatchId; id++) {
      wide.set(`key ${id % 50}`, id);
      wide.set(`key ${(id * 7) % 50}`, -id);
    }
    const last = lastBatchId - (lastBatchId % 40);
    if (last > 0) narrow.set('only', last);
    return { wide, narrow };
  }
}
