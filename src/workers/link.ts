import { TidemarkError } from '../base/errors.ts';
import { type ErrorRecord, fromErrorRecord, toErrorRecord } from './error-record.ts';

/** One end of a channel between two threads: a MessagePort, a Worker, or a worker's parentPort. */
export interface ChannelEnd {
  postMessage(message: unknown, transfer?: readonly ArrayBuffer[]): void;
  on(event: 'message', listener: (message: unknown) => void): unknown;
}

/** Blocks of rows and what else is to be told at their end. */
export interface Reading {
  readonly blocks: Uint8Array<ArrayBuffer>[];
  readonly result?: unknown;
}

/** A result of a call whose buffers are handed over without a copy. */
export class Handed {
  readonly result: unknown;
  readonly buffers: readonly ArrayBuffer[];

  constructor(result: unknown, buffers: readonly ArrayBuffer[]) {
    this.result = result;
    this.buffers = buffers;
  }
}

/** What the other end may ask for. Arguments and results are plain data, or {@link Handed}. */
export interface LinkHandlers {
  readonly call: (name: string, argument: unknown) => Promise<unknown>;
  readonly tell: (name: string, argument: unknown) => void;
  readonly read: (name: string, argument: unknown) => Promise<Reading>;
}

/** `id`: of the sender of the request, where not said otherwise. */
type Frame =
  | { readonly kind: 'call' | 'read'; readonly id: number; readonly name: string; readonly argument: unknown }
  | { readonly kind: 'tell'; readonly name: string; readonly argument: unknown }
  | { readonly kind: 'done'; readonly id: number; readonly result: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly error: ErrorRecord }
  | { readonly kind: 'block'; readonly id: number; readonly block: Uint8Array<ArrayBuffer> }
  | { readonly kind: 'more' | 'enough'; readonly id: number };

interface Request {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly block: ((block: Uint8Array<ArrayBuffer>) => void) | undefined;
}

/** Blocks of one reader on their way at the same time. */
const blocksInFlightMax = 4;

/**
 * Questions and answers between two threads: calls, one-way messages, and streams of row blocks of which only a few are on
 * their way at a time. Either end may ask. Errors of the other end come out as what they were there.
 */
export class Link {
  readonly #end: ChannelEnd;
  readonly #handlers: LinkHandlers;
  /** Where errors say they come from. */
  readonly #place: Readonly<Record<string, unknown>>;
  readonly #requests = new Map<number, Request>();
  /** What is left to be sent to readers at the other end, by their ids. */
  readonly #sending = new Map<number, { readonly blocks: Uint8Array<ArrayBuffer>[]; readonly result: unknown }>();
  #lastId = 0;
  #failure: Error | undefined;

  constructor(end: ChannelEnd, handlers: LinkHandlers, place: Readonly<Record<string, unknown>> = {}) {
    this.#end = end;
    this.#handlers = handlers;
    this.#place = place;
    end.on('message', (message) => this.#receive(message as Frame));
  }

  call(name: string, argument: unknown, transfer?: readonly ArrayBuffer[]): Promise<unknown> {
    return this.#request('call', name, argument, undefined, transfer);
  }

  tell(name: string, argument: unknown, transfer?: readonly ArrayBuffer[]): void {
    if (this.#failure === undefined) this.#post({ kind: 'tell', name, argument }, transfer);
  }

  read(name: string, argument: unknown): BlockReader {
    const reader = new BlockReader(
      () => this.#post({ kind: 'more', id }),
      () => {
        // Nobody waits for the end of it any more.
        if (this.#requests.delete(id)) this.#post({ kind: 'enough', id });
      },
    );
    const id = this.#lastId + 1;
    this.#request('read', name, argument, (block) => reader.take(block)).then(
      (result) => reader.end(result),
      (error) => reader.fail(error),
    );
    return reader;
  }

  /** Every question that has no answer fails, and every later one. The channel itself belongs to whoever made it. */
  fail(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    for (const request of this.#requests.values()) request.reject(error);
    this.#requests.clear();
    this.#sending.clear();
  }

  #request(
    kind: 'call' | 'read',
    name: string,
    argument: unknown,
    block: ((block: Uint8Array<ArrayBuffer>) => void) | undefined,
    transfer?: readonly ArrayBuffer[],
  ): Promise<unknown> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure);
      this.#requests.set(id, { resolve, reject, block });
      this.#post({ kind, id, name, argument }, transfer);
    });
  }

  #receive(frame: Frame): void {
    if (this.#failure !== undefined) return;
    switch (frame.kind) {
      case 'call':
        this.#handlers.call(frame.name, frame.argument).then(
          (result) => this.#answer(frame.id, result),
          (error) => this.#answerFailure(frame.id, error),
        );
        return;
      case 'read':
        this.#handlers.read(frame.name, frame.argument).then(
          ({ blocks, result }) => this.#send(frame.id, blocks, result),
          (error) => this.#answerFailure(frame.id, error),
        );
        return;
      case 'tell':
        this.#handlers.tell(frame.name, frame.argument);
        return;
      case 'done':
        this.#requests.get(frame.id)?.resolve(frame.result);
        this.#requests.delete(frame.id);
        return;
      case 'failed':
        this.#requests.get(frame.id)?.reject(fromErrorRecord(frame.error));
        this.#requests.delete(frame.id);
        return;
      case 'block':
        this.#requests.get(frame.id)?.block?.(frame.block);
        return;
      case 'more':
        this.#sendNext(frame.id);
        return;
      case 'enough':
        this.#sending.delete(frame.id);
        return;
    }
  }

  #send(id: number, blocks: Uint8Array<ArrayBuffer>[], result: unknown): void {
    this.#sending.set(id, { blocks: blocks.reverse(), result });
    for (let i = 0; i < blocksInFlightMax && this.#sending.has(id); i++) this.#sendNext(id);
  }

  #sendNext(id: number): void {
    const left = this.#sending.get(id);
    if (left === undefined) return;
    const block = left.blocks.pop();
    if (block !== undefined) this.#post({ kind: 'block', id, block }, [block.buffer]);
    if (left.blocks.length > 0) return;
    this.#sending.delete(id);
    this.#post({ kind: 'done', id, result: left.result });
  }

  #answer(id: number, answer: unknown): void {
    if (answer instanceof Handed) this.#post({ kind: 'done', id, result: answer.result }, answer.buffers);
    else this.#post({ kind: 'done', id, result: answer });
  }

  #answerFailure(id: number, error: unknown): void {
    this.#post({ kind: 'failed', id, error: toErrorRecord(error, this.#place) });
  }

  #post(frame: Frame, transfer: readonly ArrayBuffer[] = []): void {
    if (this.#failure !== undefined) return;
    this.#end.postMessage(frame, transfer);
  }
}

/** The blocks of one `read`, in order. */
export class BlockReader {
  readonly #askForMore: () => void;
  readonly #cancel: () => void;
  readonly #blocks: Uint8Array<ArrayBuffer>[] = [];
  #wake: () => void = () => {};
  #isEnded = false;
  #result: unknown;
  #failure: Error | undefined;

  constructor(askForMore: () => void, cancel: () => void) {
    this.#askForMore = askForMore;
    this.#cancel = cancel;
  }

  /** Undefined at the end. @throws what the other end has thrown */
  async next(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    for (;;) {
      const block = this.#blocks.shift();
      if (block !== undefined) {
        this.#askForMore();
        return block;
      }
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#isEnded) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** What was told at the end. */
  get result(): unknown {
    return this.#result;
  }

  /** No more is wanted. */
  cancel(): void {
    this.#cancel();
  }

  // For the link.

  take(block: Uint8Array<ArrayBuffer>): void {
    this.#blocks.push(block);
    this.#wake();
  }

  end(result: unknown): void {
    this.#result = result;
    this.#isEnded = true;
    this.#wake();
  }

  fail(error: Error): void {
    this.#failure = error;
    this.#wake();
  }
}

/** For a handler that is asked for what it does not know: the two ends are of different versions. */
export function unknownRequest(name: string): TidemarkError {
  return new TidemarkError('INTERNAL', `A worker thread asked for '${name}', which the other end does not know.`);
}
