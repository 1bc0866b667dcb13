import { TidemarkError } from '../base/errors.ts';
import { equalPlain } from '../base/plain-data.ts';
import type { StreamStatus } from '../checkpoint/records.ts';
import type { DStreamGraph } from '../dstream/graph.ts';
import type { StatefulNode } from '../dstream/stateful-node.ts';
import { schemasOf } from '../state/fingerprint.ts';
import { gridTimeAfter } from './batch-times.ts';
import {
  describeGraph,
  dropsAfter,
  type GraphDescription,
  isDisposable,
  lastBatchId,
  storedState,
} from './graph-description.ts';
import { requireCompatible, stateProblem } from './graph-diff.ts';

/** What a program says it goes on without. */
export interface GivenUp {
  /** Operators, by uid. */
  readonly state: ReadonlySet<string>;
  /** Inputs it does not define any more, by uid. */
  readonly sources: ReadonlySet<string>;
}

/**
 * Today's program against the stream as it is stored: what it goes on with, what it gives up, what it says in its fence.
 *
 * In: the graph, the calls of `dropState`, the status that was read. Out: the description for the fence, the check the
 * fence makes, and what a person should know. Does not write, and does not load state.
 */
export class Redeploy {
  readonly description: GraphDescription;
  readonly #graph: DStreamGraph;
  readonly #stateful: readonly StatefulNode<unknown>[];
  readonly #givenUp: GivenUp;

  /** Operators whose stored state fits go on with its parameters. @throws OPTION_INVALID */
  constructor(
    graph: DStreamGraph,
    stateful: readonly StatefulNode<unknown>[],
    givenUp: GivenUp,
    found: StreamStatus | undefined,
  ) {
    this.#graph = graph;
    this.#stateful = stateful;
    const defined = graph.sources.find(({ uid }) => givenUp.sources.has(uid));
    if (defined !== undefined) {
      throw new TidemarkError(
        'OPTION_INVALID',
        `dropSource('${defined.uid}') gives up an input that the program defines. If it is another one than before, give it a ` +
          'uid of its own; if not, take the call away.',
      );
    }
    this.#givenUp = givenUp;
    this.description = this.#describe(found);
  }

  /**
   * Sees the stream the fence will follow, before anything is written.
   * @throws CHECKPOINT_INCOMPATIBLE with the table of differences; FENCED when another program came between
   */
  check(status: StreamStatus): void {
    const description = this.#describe(status);
    const dropped = droppedNow(description, status);
    requireCompatible(status, {
      description,
      stateful: this.#stateful,
      dropped,
      droppedSources: this.#givenUp.sources,
    });
    if (equalPlain(description, this.description)) return;
    throw new TidemarkError(
      'FENCED',
      'Another driver went on with this stream while this one started, and left other state than this one was to go on ' +
        'with. Stop the other one first.',
    );
  }

  /** The operators that go on with what the last batch has left. Others start empty, whatever the log still holds. */
  restored(status: StreamStatus): readonly StatefulNode<unknown>[] {
    const dropped = droppedNow(this.description, status);
    return this.#stateful.filter(({ uid }) => Object.hasOwn(status.fingerprints, uid) && !dropped.has(uid));
  }

  /** What is different from the last start in a way that shows in results. */
  notes(status: StreamStatus): string[] {
    const stored = status.graph as GraphDescription | undefined;
    if (stored === undefined || status.lastBatch === undefined) return [];
    const { batchId, batchTimeMs } = status.lastBatch;
    const notes: string[] = [];
    const { batchIntervalMs } = this.#graph;
    if (stored.batchIntervalMs !== batchIntervalMs) {
      const nextMs = gridTimeAfter(status.plan?.batchTimeMs ?? batchTimeMs, status.zeroTimeMs, batchIntervalMs);
      notes.push(
        `The batch interval is ${batchIntervalMs} ms and was ${stored.batchIntervalMs} ms: batches end at multiples of it ` +
          `after ${status.zeroTimeMs}, the first of them at ${nextMs}.`,
      );
    }
    const state = storedState(status);
    const restored = new Set(this.restored(status));
    for (const node of this.#stateful) {
      const before = state.get(node.uid);
      const drop = stored.droppedState?.[node.uid];
      if (before !== undefined && restored.has(node)) {
        if (!equalPlain(before.parameters, node.parameters)) {
          notes.push(
            `State '${node.uid}' (${node.operator}) goes on with other parameters: ${fields(node.parameters)}, was ${fields(before.parameters)}.`,
          );
        }
        const { version } = node.table.schema;
        const others = schemasOf(status.fingerprints[node.uid]!).filter((schema) => schema !== version);
        if (others.length > 0) {
          notes.push(
            `State '${node.uid}' (${node.operator}) holds values of schema ${others.join(', ')}, which are brought to ${version} as they are needed.`,
          );
        }
      } else if (drop?.was !== undefined && drop.afterBatchId < batchId) {
        notes.push(
          `State '${node.uid}' (${node.operator}) starts empty: what it had was given up with dropState after batch ${drop.afterBatchId}.`,
        );
      }
    }
    return notes;
  }

  #describe(status: StreamStatus | undefined): GraphDescription {
    const state = storedState(status);
    const nodes = new Map(this.#stateful.map((node) => [node.uid, node]));
    const fits = (uid: string): boolean => {
      const before = state.get(uid);
      const node = nodes.get(uid);
      return before === undefined ? node === undefined : stateProblem(uid, before, node) === undefined;
    };
    const replaced = [...state].filter(([uid, before]) => {
      const node = nodes.get(uid);
      return isDisposable(before) && node !== undefined && node.operator !== before.operator;
    });
    const named = new Set([...this.#givenUp.state, ...replaced.map(([uid]) => uid)]);
    const droppedState = dropsAfter(status, named, fits);
    for (const [uid, before] of state) {
      if (droppedState[uid]?.afterBatchId !== lastBatchId(status) && fits(uid))
        nodes.get(uid)?.adopt(before.parameters);
    }
    return { ...describeGraph(this.#graph, this.#stateful), droppedState };
  }
}

/** Given up since the last batch, so by this start. */
function droppedNow({ droppedState }: GraphDescription, status: StreamStatus): ReadonlySet<string> {
  const drops = Object.entries(droppedState ?? {}).filter(([, drop]) => drop.afterBatchId === lastBatchId(status));
  return new Set(drops.map(([uid]) => uid));
}

function fields(parameters: Readonly<Record<string, number>>): string {
  return Object.keys(parameters)
    .sort()
    .map((name) => `${name}=${parameters[name]}`)
    .join(' ');
}
