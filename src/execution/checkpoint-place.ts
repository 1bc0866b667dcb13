import { TidemarkError } from '../base/errors.ts';
import { readCheckpoint } from '../checkpoint/read-checkpoint.ts';
import type { StreamCheckpoint } from '../checkpoint/stream-checkpoint.ts';
import type { DStreamGraph } from '../dstream/graph.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { type CheckpointStorageOptions, openCheckpointStore } from '../storage/open-checkpoint-store.ts';

/** The checkpoint a context runs on. */
export interface OpenedCheckpoint {
  readonly store: ObjectStore;
  readonly found: StreamCheckpoint | undefined;
  /** Opened by us, so closed by us. */
  readonly owned: boolean;
}

/** Where a context keeps its checkpoint: found by getOrCreate, or named by the program for a new stream, or nowhere. */
export class CheckpointPlace {
  #location: { readonly url: string; readonly options: CheckpointStorageOptions } | undefined;
  #opened: OpenedCheckpoint | undefined;

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
      this.#opened = { store, found: undefined, owned: true };
      if ((await readCheckpoint(store)) !== undefined) {
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

  async close(): Promise<void> {
    if (this.#opened?.owned) await this.#opened.store.close();
  }
}
