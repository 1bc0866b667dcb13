import { TidemarkError } from '../base/errors.ts';
import type { StreamStatus } from '../checkpoint/records.ts';
import type { DStreamGraph } from '../dstream/graph.ts';
import type { StatefulNode } from '../dstream/stateful-node.ts';
import { schemasOf } from '../state/fingerprint.ts';
import { type GraphDescription, isDisposable, type StateDescription, storedState } from './graph-description.ts';

/** One difference, as the table in the message shows it. */
interface Mismatch {
  readonly what: string;
  readonly stored: string;
  readonly running: string;
  readonly action: string;
}

interface RunningProgram {
  readonly description: GraphDescription;
  readonly stateful: readonly StatefulNode<unknown>[];
  /** Operators whose state the program gives up at this start. */
  readonly dropped: ReadonlySet<string>;
  readonly droppedSources: ReadonlySet<string>;
}

/**
 * Refuses a program that does not fit what is stored: positions without their source, state without its operator,
 * committed output without its sink. Changed functions, new operators and other stateless changes are fine.
 *
 * @throws CHECKPOINT_INCOMPATIBLE with a table of every difference and what to do about it. Nothing has been written.
 */
export function requireCompatible(status: StreamStatus, program: RunningProgram): void {
  const stored = status.graph as GraphDescription;
  const mismatches = [
    ...intervalMismatch(status, stored, program.description),
    ...sourceMismatches(status, stored, program),
    ...stateMismatches(status, program),
    ...outputMismatches(status, stored, program.description),
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

/**
 * Zero time stays, and batch times go on at the multiples of the new interval after it. Only a recorded plan must run at the
 * time it was made for.
 */
function intervalMismatch(status: StreamStatus, stored: GraphDescription, running: GraphDescription): Mismatch[] {
  const { plan, zeroTimeMs } = status;
  const intervalMs = running.batchIntervalMs;
  if (plan === undefined || (plan.batchTimeMs - zeroTimeMs) % intervalMs === 0) return [];
  return [
    {
      what: 'batch interval',
      stored: `${stored.batchIntervalMs} ms, and a plan for the batch of ${plan.batchTimeMs} ms that must run first`,
      running: `${intervalMs} ms`,
      action: `run that batch: start once with ${stored.batchIntervalMs} ms (planAhead: false) and stop gracefully`,
    },
  ];
}

function sourceMismatches(
  status: StreamStatus,
  stored: GraphDescription,
  { description, droppedSources }: RunningProgram,
): Mismatch[] {
  const mismatches: Mismatch[] = [];
  for (const { uid, kind, identity } of stored.sources) {
    const now = description.sources.find((source) => source.uid === uid);
    if (droppedSources.has(uid)) continue;
    // An input that no batch has known yet has no position.
    if (!Object.hasOwn(status.positions, uid) && !Object.hasOwn(status.plan?.sources ?? {}, uid)) continue;
    const before = `${kind} ${formatFields(identity)}`;
    const after = now === undefined ? 'missing' : `${now.kind} ${formatFields(now.identity)}`;
    if (before === after) continue;
    const action = `define it as before, or give its position up with ssc.dropSource('${uid}'); another input needs another uid`;
    mismatches.push({ what: `source '${uid}'`, stored: before, running: after, action });
  }
  return mismatches;
}

function stateMismatches(status: StreamStatus, program: RunningProgram): Mismatch[] {
  const mismatches: Mismatch[] = [];
  const state = storedState(status);
  for (const [uid, before] of state) {
    if (program.dropped.has(uid)) continue;
    const node = program.stateful.find((candidate) => candidate.uid === uid);
    const held = schemasOf(status.fingerprints[uid] ?? '0:');
    const problem = stateProblem(uid, before, node) ?? (isDisposable(before) ? undefined : schemaProblem(node, held));
    if (problem === undefined) continue;
    mismatches.push({
      what: `state '${uid}'`,
      stored: describeState(before, held),
      running: node === undefined ? 'missing' : describeState(node, [node.table.schema.version]),
      action: node === undefined ? problem + perhapsRenamed(before, state, program) : problem,
    });
  }
  return mismatches;
}

function perhapsRenamed(
  { operator }: StateDescription,
  state: ReadonlyMap<string, unknown>,
  { stateful }: RunningProgram,
): string {
  const fresh = stateful.filter((node) => node.operator === operator && !state.has(node.uid)).map(({ uid }) => uid);
  return fresh.length === 0 ? '' : ` (a uid can't change: '${fresh.join("', '")}' of the program would start empty)`;
}

/** What to do when the program can't go on from what an operator has stored; undefined: it can. */
export function stateProblem(
  uid: string,
  before: StateDescription,
  node: StatefulNode<unknown> | undefined,
): string | undefined {
  if (isDisposable(before) && node?.operator !== before.operator) return undefined;
  if (node === undefined) {
    return `define it under uid '${uid}' again, or give its state up with ssc.dropState('${uid}')`;
  }
  if (node.operator !== before.operator) {
    return `give the ${node.operator} another uid, and keep the ${before.operator} or give its state up with ssc.dropState('${uid}')`;
  }
  const misfit = node.misfit(before.parameters);
  return misfit && `${misfit}, or give its state up with ssc.dropState('${uid}')`;
}

function schemaProblem(node: StatefulNode<unknown> | undefined, held: readonly number[]): string | undefined {
  if (node === undefined) return undefined;
  const { schema } = node.table;
  const missing = held.filter((version) => !schema.canRead(version)).map((version) => schema.missing(version));
  return missing.length === 0 ? undefined : missing.join('; ');
}

function describeState(
  { operator, parameters }: Pick<StateDescription, 'operator' | 'parameters'>,
  schemas: readonly number[],
): string {
  const fields = formatFields(parameters);
  const schema =
    schemas.length === 0 || (schemas.length === 1 && schemas[0] === 1) ? '' : ` schema=${schemas.join('+')}`;
  return `${operator}${fields === '' ? '' : ` ${fields}`}${schema}`;
}

function outputMismatches(status: StreamStatus, stored: GraphDescription, running: GraphDescription): Mismatch[] {
  const mismatches: Mismatch[] = [];
  for (const uid of new Set(status.unpublished.map((handle) => handle.uid))) {
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
