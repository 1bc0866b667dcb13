import { TidemarkError } from '../../base/errors.ts';
import type {
  ByteRange,
  DeleteOutcome,
  GetOutcome,
  HeadOutcome,
  ObjectInfo,
  ObjectStore,
  PutOutcome,
} from '../../storage/object-store.ts';
import type { OperationCounters, OperationType } from '../../storage/operation-counters.ts';
import type { SimulationFaults } from './faults.ts';
import { drawLatencyMs } from './latency.ts';
import type { SimulatedProcess } from './process.ts';
import type { StoredObjects } from './stored-objects.ts';
import type { SimulatedWorld } from './world.ts';

/** The one store of a world: its objects, its faults at this moment, its clock. */
export interface SimulatedStorage {
  readonly url: string;
  readonly objects: StoredObjects;
  /** Read anew for every request: the faults of a world end. */
  faults(): SimulationFaults;
  /** Until then everybody is refused. */
  outageUntilMs: number;
  /** Of the store's clock: 1,000 on Blob storage. */
  readonly clockResolutionMs: number;
  readonly batchIntervalMs: number;
  /** The request is under way. */
  readonly onWriteSent: (process: SimulatedProcess) => void;
  readonly operations: OperationCounters;
}

/** Objects per page of a listing: few, so that others act in the middle of one. */
const pageSize = 4;

/** What a request meets on its way, drawn when it is sent. */
type Fate = 'fine' | 'forbidden' | 'refused' | 'reset before' | 'reset after' | 'late' | 'duplicate';

/**
 * One driver's connection to the store of a world: requests take time, and meet what a bad network and a busy store
 * do to them. Failures are reported as the port demands: an outcome that the driver cannot know is `unknown` for a write.
 * Listings are never stale.
 */
export class SimulatedStore implements ObjectStore {
  readonly url: string;
  readonly operations: OperationCounters;
  readonly #process: SimulatedProcess;
  readonly #world: SimulatedWorld;
  readonly #storage: SimulatedStorage;

  constructor(process: SimulatedProcess, storage: SimulatedStorage) {
    this.#process = process;
    this.#world = process.world;
    this.#storage = storage;
    this.operations = storage.operations;
    this.url = storage.url;
  }

  get(name: string, range?: ByteRange): Promise<GetOutcome> {
    return this.#read('get', name, () => {
      const object = this.#storage.objects.get(name);
      const serverTimeMs = this.#serverTimeMs();
      if (object === undefined) return { status: 'missing', serverTimeMs };
      const bytes = object.bytes.slice(range?.offset ?? 0, range && range.offset + range.length);
      return { status: 'found', bytes, etag: object.etag, serverTimeMs };
    });
  }

  head(name: string): Promise<HeadOutcome> {
    return this.#read('head', name, () => {
      const object = this.#storage.objects.get(name);
      const serverTimeMs = this.#serverTimeMs();
      if (object === undefined) return { status: 'missing', serverTimeMs };
      const { bytes, etag, commitId } = object;
      return { status: 'found', sizeBytes: bytes.length, etag, commitId, serverTimeMs };
    });
  }

  putIfAbsent(name: string, bytes: Uint8Array, commitId: string): Promise<PutOutcome> {
    return this.compareAndSwap(name, bytes, undefined, commitId);
  }

  compareAndSwap(name: string, bytes: Uint8Array, etag: string | undefined, commitId: string): Promise<PutOutcome> {
    if (!this.#process.isAlive) return this.#process.forever();
    this.operations.add('put', bytes.length);
    const copy = new Uint8Array(bytes);
    const { objects } = this.#storage;
    const apply = (): PutOutcome => {
      const put = objects.put(name, copy, etag, commitId, this.#serverTimeMs());
      this.#note('put', name, put === undefined ? 'lost' : put.recognised ? 'recognised' : 'done');
      const serverTimeMs = this.#serverTimeMs();
      if (put === undefined) return { status: 'lost', serverTimeMs };
      return { status: 'done', etag: put.object.etag, serverTimeMs, recognised: put.recognised };
    };
    const unknown = (): PutOutcome => ({ status: 'unknown', cause: unavailable('put', name) });
    const fate = this.#fate('write');
    switch (fate) {
      case 'fine':
        return this.#send(apply);
      case 'reset after':
        return this.#send(() => {
          apply();
          return unknown();
        });
      case 'reset before':
        return this.#send(unknown);
      case 'late':
        this.#later(apply);
        return this.#send(unknown);
      case 'duplicate':
        this.#later(apply);
        return this.#send(apply);
      default:
        return this.#send(() => this.#fail(fate, 'put', name));
    }
  }

  async *list(prefix: string, after?: string): AsyncIterable<ObjectInfo> {
    let last = after;
    for (;;) {
      const page = await this.#read('list', prefix, () => {
        const { objects } = this.#storage;
        return objects.list(prefix, last, pageSize).map((name): ObjectInfo => {
          const { bytes, modifiedMs } = objects.get(name)!;
          return { name, sizeBytes: bytes.length, modifiedMs };
        });
      });
      yield* page;
      if (page.length < pageSize) return;
      last = page.at(-1)!.name;
    }
  }

  delete(names: readonly string[]): Promise<DeleteOutcome> {
    if (!this.#process.isAlive) return this.#process.forever();
    if (names.length > 0) this.operations.add('delete');
    const { objects } = this.#storage;
    const apply = (some: readonly string[]): DeleteOutcome => {
      objects.delete(some);
      this.#note('delete', some.join(' '), 'done');
      return { refused: [], serverTimeMs: this.#serverTimeMs() };
    };
    const isHalf = this.#world.chance(this.#storage.faults().halfDelete);
    const half = names.filter(() => isHalf && this.#world.chance(0.5));
    const fate = this.#fate('write');
    if (fate === 'late' || fate === 'duplicate') this.#later(() => apply(names));
    return this.#send(() => {
      if (isHalf) apply(half);
      else if (fate === 'fine' || fate === 'reset after' || fate === 'duplicate') apply(names);
      if (!isHalf && (fate === 'fine' || fate === 'duplicate')) {
        return { refused: [], serverTimeMs: this.#serverTimeMs() };
      }
      return this.#fail(fate, 'delete', names[0] ?? '');
    });
  }

  async close(): Promise<void> {}

  #read<T>(type: OperationType, name: string, look: () => T): Promise<T> {
    if (!this.#process.isAlive) return this.#process.forever();
    this.operations.add(type);
    const fate = this.#fate('read');
    return this.#send(() => {
      if (fate !== 'fine') return this.#fail(fate, type, name);
      this.#note(type, name, 'done');
      return look();
    }, 'read');
  }

  #send<T>(act: () => T, kind: 'read' | 'write' = 'write'): Promise<T> {
    const isSlow = this.#world.chance(this.#storage.faults().slow);
    const latencyMs = drawLatencyMs(kind, this.#world.random) + (isSlow ? this.#world.between(1000, 30_000) : 0);
    const answer = this.#process.request(latencyMs, act);
    if (kind === 'write') this.#storage.onWriteSent(this.#process);
    return answer;
  }

  #later(act: () => unknown): void {
    const { batchIntervalMs } = this.#storage;
    const delayMs = this.#world.chance(0.5)
      ? this.#world.between(0, 10_000)
      : this.#world.between(0, 12 * batchIntervalMs);
    this.#world.after(delayMs, undefined, act);
  }

  #fate(kind: 'read' | 'write'): Fate {
    const world = this.#world;
    const faults = this.#storage.faults();
    if (this.#process.forbiddenUntilMs > world.nowMs) return 'forbidden';
    if (this.#storage.outageUntilMs > world.nowMs || world.chance(faults.refused)) return 'refused';
    if (world.chance(faults.reset)) return world.chance(0.5) ? 'reset before' : 'reset after';
    if (kind === 'read') return 'fine';
    if (world.chance(faults.lostAnswer)) return 'reset after';
    if (world.chance(faults.lateWrite)) return 'late';
    return world.chance(faults.duplicate) ? 'duplicate' : 'fine';
  }

  #fail(fate: Fate, type: OperationType, name: string): never {
    this.#note(type, name, fate);
    if (fate !== 'forbidden') throw unavailable(type, name);
    throw new TidemarkError('STORE_FORBIDDEN', `Simulated: the token has expired (${type} of "${name}").`);
  }

  #serverTimeMs(): number {
    const { clockResolutionMs } = this.#storage;
    return Math.floor(this.#world.nowMs / clockResolutionMs) * clockResolutionMs;
  }

  #note(type: OperationType, name: string, outcome: string): void {
    this.#world.note(() => `driver ${this.#process.id}: ${type} ${name}: ${outcome}`);
  }
}

function unavailable(type: OperationType, name: string): TidemarkError {
  return new TidemarkError('STORE_UNAVAILABLE', `Simulated: ${type} of "${name}" has no answer.`, {
    context: { type, name },
  });
}
