import { TidemarkError } from '../base/errors.ts';
import { seed } from '../checkpoint/operator-records.ts';
import { readStream } from '../checkpoint/read-checkpoint.ts';
import type { StreamStatus } from '../checkpoint/records.ts';
import { type CheckpointTarget, withCheckpoint } from '../inspect/checkpoint-target.ts';
import { readStoredGraph } from '../inspect/stored-graph.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { createStream } from './create-stream.ts';
import { holdStream } from './hold-stream.ts';
import type { OperatorOptions } from './operator-options.ts';

/** Where one input is to begin: what `exportPositions` tells of it. */
export interface ImportedPosition {
  /** Of the input in the program. */
  readonly uid: string;
  /** As the graph names it: `event-hubs`. */
  readonly kind: string;
  /** What the input is bound to. The program must agree at its start. */
  readonly identity: Readonly<Record<string, string>>;
  readonly position: unknown;
}

export interface ImportOptions extends OperatorOptions {
  /** For people: where the positions come from. */
  readonly origin?: string | undefined;
}

export interface ImportReport {
  readonly url: string;
  readonly streamId: string;
  /** True: there was no stream; the first start of the program begins at these positions. */
  readonly isNew: boolean;
  readonly uids: readonly string[];
}

/**
 * Says where inputs begin. Where no stream is, one is made that holds nothing but these positions: the first start of the
 * program honours them. On a stream that has stopped, they replace the positions of these inputs, and a recorded plan;
 * the keyed state stays, so records that are passed over are missing in it, and those read again count twice.
 *
 * @throws OPTION_INVALID, STREAM_NOT_STOPPED, CHECKPOINT_INCOMPATIBLE when an input of the stream is bound to something else
 */
export async function importPositions(
  target: CheckpointTarget,
  imported: readonly ImportedPosition[],
  options: ImportOptions = {},
): Promise<ImportReport> {
  requireUsable(imported);
  const { origin = 'imported positions' } = options;
  return withCheckpoint(target, options, async (store) => {
    const stream = await readStream(store, 'by hint');
    const uids = imported.map(({ uid }) => uid);
    if (stream === undefined) {
      const streamId = await createWith(store, imported, origin, options);
      return { url: store.url, streamId, isNew: true, uids };
    }
    requireSameInputs(store, stream.status, imported);
    return holdStream(store, 'positions import', options, async (log) => {
      const { lastBatch, positions, fingerprints, graph } = log.status;
      // Without a batch there is nothing whose id could be followed: positions of an earlier import are replaced.
      const batchId = lastBatch === undefined ? null : lastBatch.batchId + 1;
      const batchTimeMs = lastBatch?.batchTimeMs ?? 0;
      const moved = { ...positions, ...positionsOf(imported) };
      await seed(log, { batchId, batchTimeMs, positions: moved, fingerprints, graph, origin }, undefined);
      return { url: store.url, streamId: log.streamId, isNew: false, uids };
    });
  });
}

async function createWith(
  store: ObjectStore,
  imported: readonly ImportedPosition[],
  origin: string,
  options: ImportOptions,
): Promise<string> {
  // The description of a program that has these inputs and nothing else: the start compares it with the program. An
  // interval of 0 is not known.
  const sources = imported.map(({ uid, kind, identity }) => ({ uid, kind, identity }));
  const graph = { batchIntervalMs: 0, sources, stateful: [], outputs: [], operators: [] };
  const fence = { zeroTimeMs: 0, graph, settings: { appName: 'tidemark checkpoint positions import', origin } };
  const content = { batchId: null, batchTimeMs: 0, positions: positionsOf(imported), fingerprints: {}, graph, origin };
  return createStream(store, fence, options, (log) => seed(log, content, undefined));
}

function positionsOf(imported: readonly ImportedPosition[]): Readonly<Record<string, unknown>> {
  return Object.fromEntries(imported.map(({ uid, position }) => [uid, position]));
}

function requireUsable(imported: readonly ImportedPosition[]): void {
  const uids = imported.map(({ uid }) => uid);
  if (imported.length > 0 && new Set(uids).size === uids.length && uids.every((uid) => uid !== '')) return;
  throw new TidemarkError(
    'OPTION_INVALID',
    `Positions are imported by the uid of their input, each once; given were: ${uids.join(', ') || 'none'}.`,
  );
}

function requireSameInputs(store: ObjectStore, { graph }: StreamStatus, imported: readonly ImportedPosition[]): void {
  const { sources } = readStoredGraph(graph);
  for (const { uid, kind, identity } of imported) {
    const stored = sources.get(uid);
    const there = stored === undefined ? 'no input of this uid' : describe(stored);
    const given = describe({ kind, identity });
    if (there === given) continue;
    throw new TidemarkError(
      'CHECKPOINT_INCOMPATIBLE',
      `The positions for '${uid}' are of ${given}; the stream at ${store.url} has ${there}. Nothing was changed.`,
      { context: { uid } },
    );
  }
}

function describe({
  kind,
  identity,
}: {
  readonly kind: string;
  readonly identity: Readonly<Record<string, string>>;
}): string {
  const fields = Object.keys(identity).sort();
  return [kind, ...fields.map((name) => `${name}=${identity[name]}`)].join(' ');
}
