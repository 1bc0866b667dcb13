import { TidemarkError } from '../base/errors.ts';
import type { Time } from '../base/time.ts';
import type { RDD } from '../rdd/rdd.ts';
import type { Sink } from '../sinks/sink.ts';
import type { StoreOptions } from '../storage/open-store.ts';
import type { Output } from './output.ts';
import { RememberedBatches } from './remembered-batches.ts';
import type { SourceNode } from './source-node.ts';
import type { StatefulNode } from './stateful-node.ts';
import type { StreamNode } from './stream-node.ts';

const uidForm = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

export type FileFormat = 'text' | 'objects';

/** Names of one file per batch: `prefix-<batch time in ms>[.suffix]`. */
export interface FilePlace {
  readonly prefix: string;
  readonly suffix: string | undefined;
}

/** Makes the sink behind saveAsTextFiles and saveAsObjectFiles: streams know no technology. */
export type FileSinkFactory = (format: FileFormat, place: FilePlace, options: StoreOptions) => Sink<unknown>;

/** The program as the user defined it: streams in order of definition, outputs in order of registration. */
export class DStreamGraph {
  readonly batchIntervalMs: number;
  /** Partitions of a shuffle when the program names no number. */
  readonly defaultParallelism: number;
  readonly streams: StreamNode<unknown>[] = [];
  readonly sources: SourceNode<unknown>[] = [];
  readonly stateful: StatefulNode<unknown>[] = [];
  readonly outputs: Output[] = [];
  readonly remembered: RememberedBatches = new RememberedBatches();
  readonly #uids = new Set<string>();
  readonly #derivedUids: string[] = [];
  readonly #countByKind = new Map<string, number>();
  readonly #requiresOpen: () => void;

  readonly fileSink: FileSinkFactory;

  /** `requireOpen` throws when the program may no longer be extended. */
  constructor(batchIntervalMs: number, defaultParallelism: number, requireOpen: () => void, fileSink: FileSinkFactory) {
    this.batchIntervalMs = batchIntervalMs;
    this.defaultParallelism = defaultParallelism;
    this.#requiresOpen = requireOpen;
    this.fileSink = fileSink;
  }

  /** @throws STATUS_INVALID when the program may no longer be changed. */
  requireOpen(): void {
    this.#requiresOpen();
  }

  /** A source object belongs to one input: it has one position. @throws GRAPH_INVALID */
  addSource(node: SourceNode<unknown>): void {
    const other = this.sources.find(({ source }) => source === node.source);
    if (other !== undefined) throw usedTwice('source', node.uid, other.uid);
    this.sources.push(node);
  }

  /** Adds a stream and returns its id: 0, 1, 2 ... in order of definition, parents first. */
  add(stream: StreamNode<unknown>): number {
    this.#requiresOpen();
    this.streams.push(stream);
    return this.streams.length - 1;
  }

  addOutput(output: Output): void {
    this.#requiresOpen();
    if (output.kind === 'sink') {
      const other = this.outputs.find((known) => known.kind === 'sink' && known.sink === output.sink);
      if (other !== undefined) throw usedTwice('sink', output.uid, other.uid);
    }
    this.outputs.push(output);
  }

  /** The identity under which a source, stateful operator or output is found again after a restart. */
  assignUid(kind: string, given: string | undefined): string {
    this.#requiresOpen();
    const ordinal = (this.#countByKind.get(kind) ?? 0) + 1;
    this.#countByKind.set(kind, ordinal);
    const uid = given ?? `${kind}-${ordinal}`;
    if (!uidForm.test(uid)) {
      throw new TidemarkError(
        'OPTION_INVALID',
        `uid '${uid}' of ${kind} is not usable: letters, digits, '.', '_' and '-', starting with a letter or digit, at most 64.`,
      );
    }
    if (this.#uids.has(uid)) {
      throw new TidemarkError('OPTION_INVALID', `uid '${uid}' is used twice: give ${kind} a uid of its own.`);
    }
    this.#uids.add(uid);
    if (given === undefined) this.#derivedUids.push(uid);
    return uid;
  }

  /** Uids the program did not give, of whatever is found again by its uid: sources, state and sinks. */
  get derivedUids(): readonly string[] {
    const acting = new Set(this.outputs.flatMap(({ kind, uid }) => (kind === 'sink' ? [] : [uid])));
    return this.#derivedUids.filter((uid) => !acting.has(uid));
  }

  /** The streams an output depends on, parents first. Others are never generated. */
  reachable(): Set<StreamNode<unknown>> {
    const seen = new Set<StreamNode<unknown>>();
    const visit = (stream: StreamNode<unknown>): void => {
      if (seen.has(stream)) return;
      for (const parent of stream.parents) visit(parent);
      seen.add(stream);
    };
    for (const output of this.outputs) visit(output.stream);
    for (const node of this.stateful) {
      if (node.followsParent && node.parents.every((parent) => seen.has(parent))) seen.add(node);
    }
    return seen;
  }

  /** See RememberedBatches. @throws STATUS_INVALID also for state that no output advances. */
  slice<T>(stream: StreamNode<T>, from: Time, to: Time): RDD<T>[] {
    const advanced = this.reachable();
    const visit = (node: StreamNode<unknown>): void => {
      if (advanced.has(node)) return;
      if (this.stateful.some((candidate) => candidate === node)) {
        throw new TidemarkError(
          'STATUS_INVALID',
          `slice: no output depends on '${node.operator}', so it is not run. Add an output, or slice another stream.`,
        );
      }
      for (const parent of node.parents) visit(parent);
    };
    visit(stream);
    return this.remembered.slice(stream, from, to);
  }

  /** True when an output acts while the batch runs, so that its plan must be durable first. */
  get actsDuringBatch(): boolean {
    return this.outputs.some((output) => output.kind === 'foreach');
  }

  /** @throws GRAPH_INVALID */
  validate(): void {
    if (this.outputs.length === 0) {
      throw new TidemarkError(
        'GRAPH_INVALID',
        'No output operations registered, so nothing to execute: end a stream with print(), foreachRDD() or saveTo().',
      );
    }
  }
}

function usedTwice(what: 'sink' | 'source', uid: string, otherUid: string): TidemarkError {
  return new TidemarkError(
    'GRAPH_INVALID',
    `The ${what} of '${uid}' is that of '${otherUid}' already: make one of its own for each of them.`,
  );
}
