import { TidemarkError, toError } from '../base/errors.ts';
import { type Random, SystemRandom } from '../base/random.ts';
import { readCheckpoint } from '../checkpoint/read-checkpoint.ts';
import type { StreamCheckpoint } from '../checkpoint/stream-checkpoint.ts';
import type { DStreamGraph } from '../dstream/graph.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { type CheckpointStorageOptions, openCheckpointStore } from '../storage/open-checkpoint-store.ts';
import { probeStore } from '../storage/store-probe.ts';

/** The checkpoint a context runs on. */
export interface OpenedCheckpoint {
  readonly store: ObjectStore;
  readonly found: StreamCheckpoint | undefined;
  /** Opened by us, so closed by us. */
  readonly owned: boolean;
  /** Try the store out at the start. */
  readonly probe: boolean;
}

/** Where a context keeps its checkpoint: found by getOrCreate, or named by the program for a new stream, or nowhere. */
export class CheckpointPlace {
  #location: { readonly url: string; readonly options: CheckpointStorageOptions } | undefined;
  #opened: OpenedCheckpoint | undefined;
  readonly #random: Random;
  #probing: Promise<readonly string[]> | undefined;

  constructor(random: Random = new SystemRandom()) {
    this.#random = random;
  }

  /** The URL the program named. */
  get url(): string | undefined {
    return this.#location?.url;
  }

  name(url: string, options: CheckpointStorageOptions): void {
    this.#location = { url, options };
  }

  attach(opened: OpenedCheckpoint): void {
    this.#opened = opened;
  }

  /** Undefined: no checkpoint. @throws CHECKPOINT_EXISTS, GRAPH_INVALID, and what the store refuses. */
  async open(graph: DStreamGraph): Promise<OpenedCheckpoint | undefined> {
    if (this.#opened === undefined && this.#location !== undefined) {
      const store = await openCheckpointStore(this.#location.url, this.#location.options);
      const { probe = true } = this.#location.options;
      this.#opened = { store, found: undefined, owned: true, probe };
      if ((await this.find(store, probe)) !== undefined) {
        throw new TidemarkError(
          'CHECKPOINT_EXISTS',
          `${store.url} already holds a stream. Go on from it with StreamingContext.getOrCreate(url, create), or give ` +
            'checkpoint() another URL for a new stream.',
        );
      }
    }
    const stateful = graph.stateful.filter(({ mustCheckpoint }) => mustCheckpoint);
    if (this.#opened !== undefined || stateful.length === 0) return this.#opened;
    const uids = stateful.map(({ uid }) => uid).join(', ');
    throw new TidemarkError(
      'GRAPH_INVALID',
      `The checkpoint directory has not been set, and ${uids} keep state. Call checkpoint(url) or use ` +
        "getOrCreate(url, create); 'memory:name' keeps it in this process only.",
    );
  }

  /** The stream that is stored there. What the credentials lack is told in full. */
  async find(store: ObjectStore, probe: boolean): Promise<StreamCheckpoint | undefined> {
    try {
      return await readCheckpoint(store);
    } catch (error) {
      if (probe && isForbidden(error)) await probeStore(store, this.#random);
      throw error;
    }
  }

  /**
   * Begins to try the store out. Of a new stream this must succeed before anything is written; a take-over goes on
   * meanwhile, and waits for {@link probed} before its first batch.
   */
  async probe(warn: (text: string) => void): Promise<void> {
    if (this.#opened?.probe !== true) return;
    const { store, found } = this.#opened;
    this.#probing = probeStore(store, this.#random);
    this.#probing.then(
      (notices) => {
        for (const notice of notices) warn(`${store.url}: ${notice}`);
      },
      () => {}, // Told by those who wait for it.
    );
    if (found === undefined) await this.#probing;
  }

  /** @throws STORE_UNSAFE, STORE_FORBIDDEN, and what the store throws */
  async probed(): Promise<void> {
    await this.#probing;
  }

  /** What a start failed with; of a missing permission what the probe says of it, which is all that is missing. */
  async explain(error: Error): Promise<Error> {
    if (!isForbidden(error)) return error;
    return this.probed().then(() => error, toError);
  }

  async close(): Promise<void> {
    // It cleans up behind itself.
    await this.probed().catch(() => {});
    if (this.#opened?.owned) await this.#opened.store.close();
  }
}

function isForbidden(error: unknown): boolean {
  return error instanceof TidemarkError && error.code === 'STORE_FORBIDDEN';
}
