/**
 * A manifest between the moment its state was taken and the moment it is in the store.
 *
 * The state may be taken before the record of its last batch is durable. The upload begins when it is: only then slot,
 * hash and status are known, and a manifest never describes what may not have happened.
 */
export class ManifestUpload {
  readonly afterBatchId: number;
  readonly #work: () => Promise<void>;
  readonly #done = Promise.withResolvers<void>();
  #isBegun = false;

  constructor(afterBatchId: number, work: () => Promise<void>) {
    this.afterBatchId = afterBatchId;
    this.#work = work;
    this.#done.promise.catch(() => {}); // Told to whoever asks.
  }

  /** Resolves when it can be adopted. */
  get done(): Promise<void> {
    return this.#done.promise;
  }

  get isBegun(): boolean {
    return this.#isBegun;
  }

  /** The record of its last batch is the newest one. What `work` reads before it first waits is what is described. */
  begin(): void {
    this.#isBegun = true;
    this.#work().then(this.#done.resolve, this.#done.reject);
  }

  /** The record of its last batch will never be. */
  drop(error: unknown): void {
    this.#done.reject(error);
  }
}
