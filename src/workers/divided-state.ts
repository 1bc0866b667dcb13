import { invariant, TidemarkError } from '../base/errors.ts';
import type { Steps } from '../base/turns.ts';
import type { StatefulNode } from '../dstream/stateful-node.ts';
import { BucketSums, type BucketSumsRecord } from '../state/bucket-sums.ts';
import { Fingerprint } from '../state/fingerprint.ts';
import type { SealedPart } from '../state/sealed-part.ts';
import type { StateTable } from '../state/state-table.ts';
import type { PartitionsElsewhere, StoredOperator } from '../state/stored-operator.ts';
import type { CommittedState, ExtentPlan } from '../state/table-extents.ts';
import type {
  EncodedPart,
  SealedPartRecord,
  StateBegin,
  StateEncode,
  StateMerge,
  StateMerged,
  StateRestore,
  StateRestored,
} from './protocol.ts';
import type { Team } from './team.ts';

/** Where the committed state of an operator lies. */
export interface StoredTable {
  readonly stored: StoredOperator;
  /** Of the state as it was committed. */
  readonly fingerprint: string | undefined;
}

/** By uid; operators that are not named start empty. */
export type LoadCommitted = () => Promise<ReadonlyMap<string, StoredTable>>;

/** An operator's part of the next manifest. */
export interface EncodedTable {
  readonly plan: ExtentPlan;
  readonly committed: CommittedState;
}

/** Ranges that are encoded at a time: half a megabyte each. */
const rangesAtOnce = 16;

/**
 * Keyed state whose partitions worker threads hold, as the driver's thread sees it: there the tables know what is committed,
 * and stay without values.
 *
 * A team that takes the place of another is given the committed state again, before it does anything else.
 *
 * Invariants
 *   D1. Parts are put together in the order of partitions: what is stored is what one thread would store.
 *   D2. The tables of the driver's thread move on once per batch, whichever team has sealed it. A team that is lost after that
 *       costs nothing but a restore.
 */
export class DividedState {
  readonly #nodes: readonly StatefulNode<unknown>[];
  #load: LoadCommitted | undefined;
  /** The team that has sealed the running batch. */
  #sealedBy: Team | undefined;
  #hasMerged = false;
  readonly #given = new WeakMap<Team, Promise<void>>();
  /** By the last restore. */
  bytesRead = 0;
  /** State that was nowhere else is gone: no other threads can go on. */
  lossForGood: TidemarkError | undefined;

  /** `nodes`: in order of definition. */
  constructor(nodes: readonly StatefulNode<unknown>[]) {
    this.#nodes = nodes;
  }

  holds(node: StatefulNode<unknown>): boolean {
    return this.#nodes.includes(node);
  }

  get nodes(): readonly StatefulNode<unknown>[] {
    return this.#nodes;
  }

  /** Of the committed state, by the id of the stream. */
  get keyCounts(): readonly (readonly [node: number, keyCount: number])[] {
    return this.#nodes.map(({ id, table }) => [id, table.keyCount]);
  }

  /** Where the committed state is from now on. Undefined: nowhere but in the workers. */
  loadFrom(load: LoadCommitted | undefined): void {
    this.#load = load;
  }

  /** Resolves when the team has the committed state. Once per team. @throws WORKER_LOST when it is nowhere any more */
  give(team: Team): Promise<void> {
    let given = this.#given.get(team);
    if (given === undefined) {
      given = this.#giveNow(team);
      given.catch(() => {});
      this.#given.set(team, given);
    }
    return given;
  }

  isGiven(team: Team): boolean {
    return this.#given.has(team);
  }

  async #giveNow(team: Team): Promise<void> {
    if (this.#nodes.length === 0) return;
    if (this.#hasMerged && this.#load === undefined) {
      this.lossForGood = lostForGood();
      throw this.lossForGood;
    }
    const parameters = this.#nodes.map((node) => [node.id, node.parameters] as const);
    await team.callAll('state begin', { parameters } satisfies StateBegin);
    const committed = await this.#load?.();
    let bytes = 0;
    for (const node of this.#nodes) {
      const found = committed?.get(node.uid);
      if (found === undefined) continue;
      bytes += await node.table.restoreElsewhere(found.stored, found.fingerprint, partitionsOf(team, node));
    }
    this.bytesRead = bytes;
  }

  /** Seals the batch: the parts of every operator, by the id of its stream, each in order of partitions (D1). */
  async seal(team: Team): Promise<ReadonlyMap<number, readonly SealedPart[]>> {
    const nodes = this.#nodes.map(({ id }) => id);
    const answers = (await team.callAll('state seal', nodes)) as SealedPartRecord[][];
    this.#sealedBy = team;
    const parts = answers.flat().map(({ change, ...part }) => ({ ...part, change: Fingerprint.of(change) }));
    parts.sort((a, b) => a.partition - b.partition);
    return Map.groupBy(parts, ({ node }) => node);
  }

  /** The sealed batch is part of the state. Before the driver's tables are merged, which know the places of new keys. */
  async merge(isStored: boolean, isLoss: (error: unknown) => boolean): Promise<void> {
    const team = this.#sealedBy;
    if (team === undefined) return;
    this.#sealedBy = undefined;
    this.#hasMerged = true;
    const tables = this.#nodes.map(({ id, table: { firstOrdinals } }) => ({ node: id, firstOrdinals }));
    try {
      const answers = (await team.callAll('state merge', { tables, isStored } satisfies StateMerge)) as StateMerged[];
      const keyCounts = Map.groupBy(answers.flat(), ([node]) => node);
      for (const { id, table } of this.#nodes) {
        table.keysElsewhere = (keyCounts.get(id) ?? []).reduce((sum, [, keyCount]) => sum + keyCount, 0);
      }
    } catch (error) {
      if (!isLoss(error)) throw error; // D2.
    }
  }

  /** The batch failed: the state stays as it was. */
  discard(team: Team): void {
    this.#sealedBy = undefined;
    const nodes = this.#nodes.map(({ id }) => id);
    team.callAll('state discard', nodes).catch(() => {}); // A team that is gone has nothing to let go.
  }

  /**
   * What the next manifest holds of those of the operators that workers hold. It counts as stored there from then on, so when
   * this fails the team must be given up. @throws WORKER_LOST: nothing has happened
   */
  async encode(
    team: Team,
    nodes: readonly StatefulNode<unknown>[],
    alpha: number,
  ): Promise<ReadonlyMap<StatefulNode<unknown>, EncodedTable>> {
    const encoded = new Map<StatefulNode<unknown>, EncodedTable>();
    const plans: { readonly table: StateTable; readonly plan: ExtentPlan }[] = [];
    try {
      for (const node of nodes) {
        if (!this.holds(node)) continue;
        const sums = await this.#sumsOf(team, node);
        const plan = node.table.planExtents(alpha, sums);
        plans.push({ table: node.table, plan });
        encoded.set(node, { plan, committed: await this.#encoded(team, node, plan, sums) });
      }
      return encoded;
    } catch (error) {
      for (const { table, plan } of plans) table.giveUp(plan);
      throw error;
    }
  }

  /** What is known of the buckets of an operator, over all workers. */
  async #sumsOf(team: Team, { id }: StatefulNode<unknown>): Promise<BucketSums> {
    const sums = new BucketSums();
    for (const record of await team.callAll('state sums', id)) sums.addAll(record as BucketSumsRecord);
    return sums;
  }

  /** What the workers hold of the ranges of a plan, encoded there. */
  async #encoded(
    team: Team,
    { id }: StatefulNode<unknown>,
    { ranges }: ExtentPlan,
    sums: BucketSums,
  ): Promise<CommittedState> {
    const byRange = new Map<number, readonly EncodedPart[]>();
    for (let at = 0; at < ranges.length; at += rangesAtOnce) {
      const asked = ranges
        .slice(at, at + rangesAtOnce)
        .map(({ range: { from, to }, isDelta }) => ({ from, to, isDelta }));
      const call: StateEncode = { node: id, ranges: asked };
      const answers = (await team.callAll('state encode', call)) as EncodedPart[][][];
      for (const [index, { from }] of asked.entries()) {
        const parts = answers.flatMap((ofWorker) => ofWorker[index]!);
        byRange.set(
          from,
          parts.sort((a, b) => a.partition - b.partition),
        );
      }
    }
    return {
      sums,
      *encode(writer, { from }): Steps {
        const parts = byRange.get(from);
        invariant(parts !== undefined, `The buckets from ${from} on were not asked for.`);
        for (const { bytes } of parts) {
          writer.raw(bytes, 0, bytes.length);
          yield;
        }
      },
    };
  }
}

/** One extent is applied by the workers while the next is fetched. */
function partitionsOf(team: Team, { id: node }: StatefulNode<unknown>): PartitionsElsewhere {
  let last: Promise<unknown> = Promise.resolve();
  return {
    apply: async (bytes, sinceManifest) => {
      await last;
      last = team.callEach((link) => {
        const copy = new Uint8Array(bytes);
        return link.call('state restore', { node, bytes: copy, sinceManifest } satisfies StateRestore, [copy.buffer]);
      });
      last.catch(() => {}); // Met by the next, or at the end.
    },
    restored: async () => {
      await last;
      const answers = (await team.callAll('state restored', node)) as StateRestored[];
      const fingerprint = new Fingerprint();
      for (const answer of answers) fingerprint.addAll(Fingerprint.of(answer.fingerprint));
      return {
        fingerprint,
        keyCount: answers.reduce((sum, { keyCount }) => sum + keyCount, 0),
        // Every worker sees all entries.
        nextOrdinal: Math.max(...answers.map(({ nextOrdinal }) => nextOrdinal)),
        dropped: [...new Set(answers.flatMap(({ dropped }) => dropped))],
      };
    },
  };
}

function lostForGood(): TidemarkError {
  return new TidemarkError(
    'WORKER_LOST',
    'A worker thread was lost, and with it keyed state that is nowhere else: this context has no checkpoint. Use ' +
      'StreamingContext.getOrCreate(url, create), whose state outlives threads and processes.',
  );
}
