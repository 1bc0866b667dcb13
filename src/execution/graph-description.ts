import { TidemarkError } from '../base/errors.ts';
import type { StagedHandle } from '../checkpoint/records.ts';
import type { DStreamGraph } from '../dstream/graph.ts';
import type { StatefulNode } from '../dstream/stateful-node.ts';
import type { SinkClass } from '../sinks/sink.ts';

/** What the checkpoint keeps of a program, to compare with the next one (decision A1). Plain data; code is never in it. */
export interface GraphDescription {
  readonly batchIntervalMs: number;
  readonly sources: readonly { readonly uid: string; readonly kind: string; readonly identity: Identity }[];
  readonly stateful: readonly { readonly uid: string; readonly operator: string; readonly parameters: Parameters }[];
  readonly outputs: readonly OutputDescription[];
  /** All operators in order of definition: for people. */
  readonly operators: readonly string[];
  /** State that was given up with `dropState`, by uid: the last batch before that. */
  readonly droppedState?: Readonly<Record<string, number>> | undefined;
}

interface OutputDescription {
  readonly uid: string;
  readonly kind: string;
  readonly description: string;
  /** Of a sink. */
  readonly sinkClass?: SinkClass | undefined;
}

type Identity = Readonly<Record<string, string>>;
type Parameters = Readonly<Record<string, number>>;

/** One difference, as the table in the message shows it. */
interface Mismatch {
  readonly what: string;
  readonly stored: string;
  readonly running: string;
  readonly action: string;
}

/**
 * What the next fence says of given up state. A call of `dropState` takes effect once, so it may stay in the program: it
 * does so again only when the operator does not fit any more. What was given up and not followed by a batch yet is still to be
 * given up, also when a crash came between and the call has gone since.
 */
export function dropsAfter(
  stored: GraphDescription | undefined,
  running: GraphDescription,
  named: ReadonlySet<string>,
  lastBatchId: number,
): Readonly<Record<string, number>> {
  const before = stored?.droppedState ?? {};
  const drops: Record<string, number> = {};
  for (const [uid, batchId] of Object.entries(before)) if (batchId === lastBatchId) drops[uid] = batchId;
  for (const uid of named) {
    const isDone = before[uid] !== undefined && describeState(stored, uid) === describeState(running, uid);
    drops[uid] = isDone ? before[uid]! : lastBatchId;
  }
  return drops;
}

export function describeGraph(graph: DStreamGraph, stateful: readonly StatefulNode<unknown>[]): GraphDescription {
  return {
    batchIntervalMs: graph.batchIntervalMs,
    sources: graph.sources.map(({ uid, source }) => ({ uid, kind: source.kind, identity: source.identity })),
    stateful: stateful.map(({ uid, operator, parameters }) => ({ uid, operator, parameters })),
    outputs: graph.outputs.map((output): OutputDescription => {
      const { uid, kind } = output;
      if (kind !== 'sink') return { uid, kind, description: kind };
      return { uid, kind, description: output.sink.description, sinkClass: output.sink.sinkClass };
    }),
    operators: graph.streams.map(({ operator }) => operator),
  };
}

/**
 * Refuses a program that does not fit what is stored: positions without their source, state without its operator,
 * committed output without its sink. Changed functions, new operators and other stateless changes are fine.
 *
 * `dropped`: uids whose state the program gave up explicitly.
 * @throws CHECKPOINT_INCOMPATIBLE with a table of every difference and what to do about it. Nothing has been written.
 */
export function requireCompatible(
  stored: GraphDescription,
  running: GraphDescription,
  unpublished: readonly StagedHandle[],
  dropped: ReadonlySet<string>,
): void {
  const mismatches = [
    ...intervalMismatch(stored, running),
    ...sourceMismatches(stored, running),
    ...stateMismatches(stored, running, dropped),
    ...outputMismatches(stored, running, unpublished),
  ];
  if (mismatches.length === 0) return;
  throw new TidemarkError(
    'CHECKPOINT_INCOMPATIBLE',
    `The program does not fit its checkpoint. Nothing was changed.\n${formatTable(mismatches)}`,
    { context: { mismatches } },
  );
}

/** @throws CHECKPOINT_INCOMPATIBLE when the stream has inputs whose records exist only in the process that made them. */
export function requireRecoverable(graph: DStreamGraph, stored: GraphDescription, url: string): void {
  const lost = graph.sources.filter(
    ({ uid, source }) => source.isRecoverable === false && stored.sources.some((other) => other.uid === uid),
  );
  if (lost.length === 0) return;
  const names = lost.map(({ uid, source }) => `${source.kind} '${uid}'`).join(', ');
  throw new TidemarkError(
    'CHECKPOINT_INCOMPATIBLE',
    `The stream of ${url} cannot be gone on from: ${names} doesn't support checkpointing, its records were lost with the ` +
      'process that held them. Use another input for a program that must survive, or start a new stream at another URL.',
    { context: { uids: lost.map(({ uid }) => uid) } },
  );
}

function intervalMismatch(stored: GraphDescription, running: GraphDescription): Mismatch[] {
  if (stored.batchIntervalMs === running.batchIntervalMs) return [];
  return [
    {
      what: 'batch interval',
      stored: `${stored.batchIntervalMs} ms`,
      running: `${running.batchIntervalMs} ms`,
      action: `keep ${stored.batchIntervalMs} ms, or start a new stream at another checkpoint URL`,
    },
  ];
}

function sourceMismatches(stored: GraphDescription, running: GraphDescription): Mismatch[] {
  const mismatches: Mismatch[] = [];
  for (const { uid, kind, identity } of stored.sources) {
    const now = running.sources.find((source) => source.uid === uid);
    const before = `${kind} ${formatFields(identity)}`;
    const after = now === undefined ? 'missing' : `${now.kind} ${formatFields(now.identity)}`;
    if (before === after) continue;
    const action = `define the source with uid '${uid}' as before, or give the new one another uid and a new checkpoint URL`;
    mismatches.push({ what: `source '${uid}'`, stored: before, running: after, action });
  }
  return mismatches;
}

function stateMismatches(
  stored: GraphDescription,
  running: GraphDescription,
  dropped: ReadonlySet<string>,
): Mismatch[] {
  const mismatches: Mismatch[] = [];
  for (const { uid } of stored.stateful) {
    if (dropped.has(uid)) continue;
    const before = describeState(stored, uid);
    const after = describeState(running, uid);
    if (before === after) continue;
    const action = `restore it under uid '${uid}', or give its state up with ssc.dropState('${uid}')`;
    mismatches.push({ what: `state '${uid}'`, stored: before, running: after, action });
  }
  return mismatches;
}

function describeState(graph: GraphDescription | undefined, uid: string): string {
  const node = graph?.stateful.find((candidate) => candidate.uid === uid);
  return node === undefined ? 'missing' : `${node.operator} ${formatFields(node.parameters)}`;
}

function outputMismatches(
  stored: GraphDescription,
  running: GraphDescription,
  unpublished: readonly StagedHandle[],
): Mismatch[] {
  const mismatches: Mismatch[] = [];
  for (const uid of new Set(unpublished.map((handle) => handle.uid))) {
    const before = stored.outputs.find((output) => output.uid === uid);
    const now = running.outputs.find((output) => output.uid === uid);
    const isSame = now?.description === before?.description && now?.sinkClass === before?.sinkClass;
    if (now?.kind === 'sink' && (before === undefined || isSame)) continue;
    mismatches.push({
      what: `output '${uid}'`,
      stored: `${before?.description ?? 'sink'}, with committed batches that are not published yet`,
      running: now?.description ?? 'missing',
      action: `start once with the output '${uid}' as it was and stop gracefully`,
    });
  }
  return mismatches;
}

function formatFields(fields: Readonly<Record<string, string | number>>): string {
  return Object.keys(fields)
    .sort()
    .map((name) => `${name}=${fields[name]}`)
    .join(' ');
}

function formatTable(mismatches: readonly Mismatch[]): string {
  const rows = [
    ['what', 'in the checkpoint', 'in the program', 'what to do'],
    ...mismatches.map(({ what, stored, running, action }) => [what, stored, running, action]),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join(' | ')
      .trimEnd(),
  );
  return [lines[0], widths.map((width) => '-'.repeat(width)).join('-+-'), ...lines.slice(1)].join('\n');
}
