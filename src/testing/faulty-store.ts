import { TidemarkError } from '../base/errors.ts';
import type {
  ByteRange,
  DeleteOutcome,
  GetOutcome,
  HeadOutcome,
  ObjectInfo,
  ObjectStore,
  PutOutcome,
} from '../storage/object-store.ts';
import type { OperationCounters, OperationType } from '../storage/operation-counters.ts';

export type StoreFault =
  /** No effect; the call throws. Default: STORE_UNAVAILABLE. */
  | { readonly kind: 'fail'; readonly error?: Error | undefined }
  /** The write takes effect, its answer is lost: `unknown`. Of a read: STORE_UNAVAILABLE. */
  | { readonly kind: 'lose-answer' }
  /** No effect, and the caller cannot know: `unknown`. Of a read: STORE_UNAVAILABLE. */
  | { readonly kind: 'lose-request' }
  /** The call waits for `until`, then it runs as usual. */
  | { readonly kind: 'delay'; readonly until: Promise<unknown> }
  /** The caller gets `unknown` at once; the write takes effect when `until` resolves. `applied` sees its outcome or its error. */
  | {
      readonly kind: 'apply-late';
      readonly until: Promise<unknown>;
      readonly applied?: ((outcome: unknown) => void) | undefined;
    };

export interface StoreFaultPattern {
  /** Default: any. `put` stands for putIfAbsent and compareAndSwap. */
  readonly type?: OperationType | undefined;
  /** Tested on the name, of a list on its prefix, of a delete on its names. Default: any. */
  readonly name?: RegExp | undefined;
  /** The n-th match from now on, from 1. Default 1. */
  readonly nth?: number | undefined;
  /** How many matches from the n-th on. Default 1. */
  readonly times?: number | undefined;
}

interface Rule {
  readonly pattern: StoreFaultPattern;
  readonly fault: StoreFault;
  seen: number;
}

export interface CrashOptions {
  /** What calls reject with. Default: they never settle, as in a process that is gone. */
  readonly signal?: Error | undefined;
  /** Operations under way still take effect. Default: those that wait in a fault do not. */
  readonly applyInFlight?: boolean | undefined;
}

/**
 * A store as a bad day shows it: writes without answers, late writes, and a process that is suddenly gone.
 *
 * Wraps the store of one driver; the objects behind it survive, so a second driver with a wrapper of its own finds what
 * a real one would find. Owns no objects. Faults are used up in the order they were injected, one per call.
 */
export class FaultyStore implements ObjectStore {
  readonly url: string;
  readonly operations: OperationCounters;
  readonly #store: ObjectStore;
  readonly #rules: Rule[] = [];
  #crash: CrashOptions | undefined;

  constructor(store: ObjectStore) {
    this.#store = store;
    this.url = store.url;
    this.operations = store.operations;
  }

  get crashed(): boolean {
    return this.#crash !== undefined;
  }

  /** From now on no call has an effect or an answer. */
  crash(options: CrashOptions = {}): void {
    this.#crash ??= options;
  }

  inject(pattern: StoreFaultPattern, fault: StoreFault): void {
    this.#rules.push({ pattern, fault, seen: 0 });
  }

  get(name: string, range?: ByteRange): Promise<GetOutcome> {
    return this.#run('get', name, () => this.#store.get(name, range));
  }

  head(name: string): Promise<HeadOutcome> {
    return this.#run('head', name, () => this.#store.head(name));
  }

  putIfAbsent(name: string, bytes: Uint8Array, commitId: string): Promise<PutOutcome> {
    return this.#runPut(name, bytes, (copy) => this.#store.putIfAbsent(name, copy, commitId));
  }

  compareAndSwap(name: string, bytes: Uint8Array, etag: string | undefined, commitId: string): Promise<PutOutcome> {
    return this.#runPut(name, bytes, (copy) => this.#store.compareAndSwap(name, copy, etag, commitId));
  }

  async *list(prefix: string, after?: string): AsyncIterable<ObjectInfo> {
    await this.#run('list', prefix, async () => undefined);
    for await (const info of this.#store.list(prefix, after)) {
      if (this.#crash !== undefined) await this.#gone();
      yield info;
    }
  }

  delete(names: readonly string[]): Promise<DeleteOutcome> {
    return this.#run('delete', names.join('\n'), () => this.#store.delete(names));
  }

  async close(): Promise<void> {
    if (this.#crash === undefined) await this.#store.close();
  }

  async #runPut(name: string, bytes: Uint8Array, put: (bytes: Uint8Array) => Promise<PutOutcome>): Promise<PutOutcome> {
    // A write that lands late has the bytes of the call, whatever the caller does with its buffer meanwhile.
    const copy = new Uint8Array(bytes);
    try {
      return await this.#run('put', name, () => put(copy));
    } catch (error) {
      if (error instanceof LostAnswer) return { status: 'unknown', cause: error.unavailable };
      throw error;
    }
  }

  async #run<T>(type: OperationType, name: string, operation: () => Promise<T>): Promise<T> {
    if (this.#crash !== undefined) return this.#gone();
    const fault = this.#take(type, name);
    try {
      const result = await this.#apply(fault, type, name, operation);
      // The answer arrives at a process that is gone.
      return this.crashed ? await this.#gone() : result;
    } catch (error) {
      if (this.crashed) return this.#gone();
      throw type !== 'put' && error instanceof LostAnswer ? error.unavailable : error;
    }
  }

  async #apply<T>(
    fault: StoreFault | undefined,
    type: OperationType,
    name: string,
    operation: () => Promise<T>,
  ): Promise<T> {
    switch (fault?.kind) {
      case undefined:
        return operation();
      case 'fail':
        throw fault.error ?? unavailable(type, name);
      case 'lose-request':
        throw new LostAnswer(type, name);
      case 'lose-answer':
        await operation();
        throw new LostAnswer(type, name);
      case 'delay':
        await fault.until;
        return this.#mayStillApply() ? operation() : this.#gone();
      case 'apply-late':
        void fault.until
          .then(() => (this.#mayStillApply() ? operation() : undefined))
          .then(fault.applied, fault.applied);
        throw new LostAnswer(type, name);
    }
  }

  #mayStillApply(): boolean {
    return this.#crash === undefined || this.#crash.applyInFlight === true;
  }

  #take(type: OperationType, name: string): StoreFault | undefined {
    for (const rule of this.#rules) {
      const { type: ruleType, name: ruleName, nth = 1, times = 1 } = rule.pattern;
      if (ruleType !== undefined && ruleType !== type) continue;
      if (ruleName !== undefined && !ruleName.test(name)) continue;
      rule.seen += 1;
      if (rule.seen < nth) continue;
      if (rule.seen >= nth + times - 1) this.#rules.splice(this.#rules.indexOf(rule), 1);
      return rule.fault;
    }
    return undefined;
  }

  #gone(): Promise<never> {
    const signal = this.#crash?.signal;
    return signal === undefined ? new Promise(() => undefined) : Promise.reject(signal);
  }
}

class LostAnswer extends Error {
  readonly unavailable: TidemarkError;

  constructor(type: OperationType, name: string) {
    super('the answer is lost');
    this.unavailable = unavailable(type, name);
  }
}

function unavailable(type: OperationType, name: string): TidemarkError {
  return new TidemarkError('STORE_UNAVAILABLE', `Injected fault: ${type} of "${name}" has no answer.`, {
    context: { type, name },
  });
}
