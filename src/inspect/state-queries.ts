import { TidemarkError } from '../base/errors.ts';
import { positiveInteger } from '../base/options.ts';
import { equalPlain } from '../base/plain-data.ts';
import {
  type CheckpointTarget,
  type OnProgress,
  type WalkOptions,
  walksAsOne,
  withCheckpoint,
} from './checkpoint-target.ts';
import { onSteadyFloor } from './retained-log.ts';
import { type LogIndex, loadStateAt, readLogIndex, type StateAt } from './state-at.ts';
import type { StoredEntry, StoredState } from './stored-state.ts';

export type { StoredEntry } from './stored-state.ts';

export interface StateOptions extends WalkOptions {
  /** The state right after this batch. Default: the last one. */
  readonly batchId?: number | undefined;
}

interface At {
  readonly batchId: number;
  readonly batchTimeMs: number;
}

export interface StateOperators extends At {
  readonly operators: readonly {
    readonly uid: string;
    /** Over all panes. */
    readonly keys: number;
    /** 1 where there is no window. */
    readonly panes: number;
    /** What the operator notes for itself. */
    readonly meta: unknown;
    readonly fingerprint: string;
  }[];
}

/** The operators that hold state. @throws CHECKPOINT_MISSING, BATCH_NOT_RETAINED, CHECKPOINT_CORRUPT, STATE_MISMATCH */
export function listOperators(target: CheckpointTarget, options: StateOptions = {}): Promise<StateOperators> {
  return atBatch(target, options, ({ batchId, batchTimeMs, operators }) => ({
    batchId,
    batchTimeMs,
    operators: [...operators].map(([uid, state]) => ({
      uid,
      keys: state.entryCount,
      panes: state.panes.length,
      meta: state.meta,
      fingerprint: state.fingerprint,
    })),
  }));
}

export interface StateEntries extends At {
  readonly uid: string;
  /** Of the whole state, also when fewer are returned. */
  readonly count: number;
  readonly entries: readonly StoredEntry[];
}

/** The first `limit` entries of one operator's state, by pane and in the order of their arrival. Default: all of them. */
export function listState(
  target: CheckpointTarget,
  uid: string,
  options: StateOptions & { readonly limit?: number | undefined } = {},
): Promise<StateEntries> {
  const limit = options.limit === undefined ? Number.POSITIVE_INFINITY : positiveInteger('limit', options.limit);
  return atBatch(target, options, (at) => {
    const state = operatorOf(at, uid);
    const entries = firstOf(state.entries(), limit);
    return { batchId: at.batchId, batchTimeMs: at.batchTimeMs, uid, count: state.entryCount, entries };
  });
}

/** What one operator holds under a key: one entry per pane of a window, at most one elsewhere; none: no state. */
export function getState(
  target: CheckpointTarget,
  uid: string,
  key: unknown,
  options: StateOptions = {},
): Promise<readonly StoredEntry[]> {
  return atBatch(target, options, (at) => {
    const state = operatorOf(at, uid);
    return state.panes.flatMap((pane) => state.get(pane, key) ?? []);
  });
}

export interface StateDifference {
  readonly uid: string;
  readonly pane: number;
  readonly key: unknown;
  /** Undefined: it was not there. */
  readonly before: StoredEntry | undefined;
  /** Undefined: it is gone. */
  readonly after: StoredEntry | undefined;
}

export interface StateDiff {
  readonly from: At;
  readonly to: At;
  readonly differences: readonly StateDifference[];
}

/**
 * What changed between the states after two batches, by operator. The order of the batches is as given: a newer one
 * first shows what going back would change.
 * @throws BATCH_NOT_RETAINED with the range that is kept
 */
export function diffState(
  target: CheckpointTarget,
  fromBatchId: number,
  toBatchId: number,
  options: WalkOptions = {},
): Promise<StateDiff> {
  return withIndex(target, options, async (store, index, nextWalk) => {
    const from = await loadStateAt(store, index, fromBatchId, nextWalk());
    const to = await loadStateAt(store, index, toBatchId, nextWalk());
    const differences: StateDifference[] = [];
    for (const uid of new Set([...from.operators.keys(), ...to.operators.keys()])) {
      differences.push(...compareStates(uid, from.operators.get(uid), to.operators.get(uid)));
    }
    return { from: placeOf(from), to: placeOf(to), differences };
  });
}

function* compareStates(
  uid: string,
  from: StoredState | undefined,
  to: StoredState | undefined,
): Generator<StateDifference> {
  for (const before of from?.entries() ?? []) {
    const { pane, key } = before;
    const after = to?.get(pane, key);
    if (after !== undefined && after.timeMs === before.timeMs && equalPlain(after.value, before.value)) continue;
    yield { uid, pane, key, before, after };
  }
  for (const after of to?.entries() ?? []) {
    const { pane, key } = after;
    if (from?.get(pane, key) === undefined) yield { uid, pane, key, before: undefined, after };
  }
}

function atBatch<R>(target: CheckpointTarget, options: StateOptions, work: (at: StateAt) => R): Promise<R> {
  return withIndex(target, options, async (store, index, nextWalk) =>
    work(await loadStateAt(store, index, options.batchId, nextWalk())),
  );
}

function withIndex<R>(
  target: CheckpointTarget,
  options: WalkOptions,
  work: (store: Parameters<typeof loadStateAt>[0], index: LogIndex, nextWalk: () => OnProgress) => Promise<R>,
): Promise<R> {
  const nextWalk = walksAsOne(options);
  return withCheckpoint(target, options, (store) =>
    onSteadyFloor(store, async () => work(store, await readLogIndex(store, nextWalk()), nextWalk)),
  );
}

function operatorOf({ operators, batchId }: StateAt, uid: string): StoredState {
  const state = operators.get(uid);
  if (state !== undefined) return state;
  const known = operators.size === 0 ? 'it has none' : `it has ${[...operators.keys()].join(', ')}`;
  throw new TidemarkError(
    'OPTION_INVALID',
    `There is no operator '${uid}' with state after batch ${batchId}: ${known}.`,
    { context: { uid } },
  );
}

function firstOf(entries: Iterable<StoredEntry>, limit: number): readonly StoredEntry[] {
  const first: StoredEntry[] = [];
  for (const entry of entries) {
    if (first.length >= limit) break;
    first.push(entry);
  }
  return first;
}

function placeOf({ batchId, batchTimeMs }: StateAt): At {
  return { batchId, batchTimeMs };
}
