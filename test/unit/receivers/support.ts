import { ManualClock } from '../../../src/base/clock.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import type { ReceiverInfo } from '../../../src/base/receiver-info.ts';
import type { Receiver } from '../../../src/sources/receiver/receiver.ts';
import { Receiver as ReceiverBase } from '../../../src/sources/receiver/receiver.ts';
import type { ReceiverOptions } from '../../../src/sources/receiver/receiver-options.ts';
import { type ReceiverSource, receiverSource } from '../../../src/sources/receiver/receiver-source.ts';
import type { Source, SourcePlan, SourceStart } from '../../../src/sources/source.ts';
import type { ObjectStore } from '../../../src/storage/object-store.ts';

/** A receiver that does nothing by itself: the test stores. */
export class TestReceiver<T> extends ReceiverBase<T> {
  readonly calls: string[] = [];
  /** Called by onStart, to fail or to store. */
  starting: () => void | Promise<void> = () => {};
  stopping: () => void | Promise<void> = () => {};

  override onStart(): void | Promise<void> {
    this.calls.push('start');
    return this.starting();
  }

  override onStop(): void | Promise<void> {
    this.calls.push('stop');
    return this.stopping();
  }
}

export interface StartedSource<T> {
  readonly source: ReceiverSource<T>;
  readonly clock: ManualClock;
  readonly failures: Error[];
  readonly events: { readonly event: string; readonly info: ReceiverInfo }[];
  readonly warnings: string[];
}

export interface StartSourceOptions extends ReceiverOptions {
  readonly store?: ObjectStore | undefined;
  readonly epoch?: number | undefined;
  readonly position?: unknown;
  readonly clock?: ManualClock | undefined;
}

/** As the engine starts a receiver's source. */
export async function startReceiver<T>(
  receiver: Receiver<T>,
  { store, epoch = 1, position, clock = new ManualClock(0), ...options }: StartSourceOptions = {},
): Promise<StartedSource<T>> {
  const source = receiverSource(receiver, options);
  const started: StartedSource<T> = { source, clock, failures: [], events: [], warnings: [] };
  await source.start(startWith({ store, epoch, position, clock }, started));
  return started;
}

export function startWith(
  { store, epoch = 1, position, clock = new ManualClock(0) }: StartSourceOptions,
  told: { failures?: Error[]; events?: { event: string; info: ReceiverInfo }[]; warnings?: string[] } = {},
): SourceStart {
  return {
    store,
    epoch,
    position,
    clock,
    random: new SeededRandom(epoch),
    streamId: 0,
    batchIntervalMs: 1000,
    warn: (text) => told.warnings?.push(text),
    onReceiver: (event, info) => told.events?.push({ event, info }),
    fail: (error) => told.failures?.push(error),
  };
}

/** All rows of a plan, partition by partition. */
export async function rowsOf<T>(source: Source<T>, plan: SourcePlan): Promise<T[]> {
  const rows: T[] = [];
  for (let i = 0; i < plan.partitions.length; i++) await source.read(plan, i, (chunk) => void rows.push(...chunk));
  return rows;
}

/** Lets everything that waits for nothing but promises run. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 200; i++) await Promise.resolve();
}

export async function namesIn(store: ObjectStore, prefix = ''): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of store.list(prefix)) names.push(name);
  return names;
}
