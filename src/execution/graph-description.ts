import type { StreamStatus } from '../checkpoint/records.ts';
import type { DStreamGraph } from '../dstream/graph.ts';
import type { StatefulNode, StateParameters } from '../dstream/stateful-node.ts';
import type { SinkClass } from '../sinks/sink.ts';

/** What the checkpoint keeps of a program, to compare with the next one (decision A1). Plain data; code is never in it. */
export interface GraphDescription {
  readonly batchIntervalMs: number;
  readonly sources: readonly { readonly uid: string; readonly kind: string; readonly identity: Identity }[];
  readonly stateful: readonly ({ readonly uid: string } & StateDescription)[];
  readonly outputs: readonly OutputDescription[];
  /** All operators in order of definition: for people. */
  readonly operators: readonly string[];
  /** State that was given up with `dropState`, by uid. */
  readonly droppedState?: Readonly<Record<string, DroppedState>> | undefined;
}

interface OutputDescription {
  readonly uid: string;
  readonly kind: string;
  readonly description: string;
  /** Of a sink. */
  readonly sinkClass?: SinkClass | undefined;
}

type Identity = Readonly<Record<string, string>>;

export interface StateDescription {
  readonly operator: string;
  readonly parameters: StateParameters;
  /** Version of the form of the values it writes. What older values are left, the fingerprint tells. */
  readonly schema: number;
}

/** Rows that were kept for `slice` only: a program that does not want them need not say so. */
export function isDisposable({ operator }: StateDescription): boolean {
  return operator === 'checkpoint';
}

/** Given up, as of the first batch that is committed without it. Until then a former program still finds it. */
export interface DroppedState {
  readonly afterBatchId: number;
  /** What it was; undefined: there was none. */
  readonly was: StateDescription | undefined;
}

export function describeGraph(graph: DStreamGraph, stateful: readonly StatefulNode<unknown>[]): GraphDescription {
  return {
    batchIntervalMs: graph.batchIntervalMs,
    sources: graph.sources.map(({ uid, source }) => ({ uid, kind: source.kind, identity: source.identity })),
    stateful: stateful.map(({ uid, operator, parameters, table }) => {
      return { uid, operator, parameters, schema: table.schema.version };
    }),
    outputs: graph.outputs.map((output): OutputDescription => {
      const { uid, kind } = output;
      if (kind !== 'sink') return { uid, kind, description: kind };
      return { uid, kind, description: output.sink.description, sinkClass: output.sink.sinkClass };
    }),
    operators: graph.streams.map(({ operator }) => operator),
  };
}

/** The operators whose state the last batch has left, by uid. */
export function storedState(status: StreamStatus | undefined): Map<string, StateDescription> {
  const graph = status?.graph as GraphDescription | undefined;
  const state = new Map<string, StateDescription>(graph?.stateful.map(({ uid, ...node }) => [uid, node]));
  for (const [uid, { afterBatchId, was }] of Object.entries(graph?.droppedState ?? {})) {
    // No batch has followed, so that what it was is still what is stored.
    if (was !== undefined && afterBatchId === lastBatchId(status)) state.set(uid, was);
  }
  // An operator that no batch has known yet has stored nothing.
  for (const uid of state.keys()) if (!Object.hasOwn(status?.fingerprints ?? {}, uid)) state.delete(uid);
  return state;
}

/**
 * What the next fence says of given up state. A call of `dropState` takes effect once, so it may stay in the program: it
 * does so again only when the operator does not fit any more.
 *
 * `fits`: what is stored under a uid is what the program has there, or both have nothing.
 */
export function dropsAfter(
  status: StreamStatus | undefined,
  named: ReadonlySet<string>,
  fits: (uid: string) => boolean,
): Readonly<Record<string, DroppedState>> {
  const before = (status?.graph as GraphDescription | undefined)?.droppedState ?? {};
  const state = storedState(status);
  const afterBatchId = lastBatchId(status);
  const drops: Record<string, DroppedState> = {};
  for (const [uid, drop] of Object.entries(before)) if (drop.afterBatchId !== afterBatchId) drops[uid] = drop;
  for (const uid of named) {
    if (drops[uid] === undefined || !fits(uid)) drops[uid] = { afterBatchId, was: state.get(uid) };
  }
  return drops;
}

export function lastBatchId(status: StreamStatus | undefined): number {
  return status?.lastBatch?.batchId ?? 0;
}
