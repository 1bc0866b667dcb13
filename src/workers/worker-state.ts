import { ByteWriter } from '../base/byte-writer.ts';
import { invariant } from '../base/errors.ts';
import type { Turns } from '../base/turns.ts';
import type { DStreamGraph } from '../dstream/graph.ts';
import { StatefulNode } from '../dstream/stateful-node.ts';
import type { StateTable } from '../state/state-table.ts';
import { Handed } from './link.ts';
import type {
  BatchMessage,
  EncodedPart,
  SealedPartRecord,
  StateBegin,
  StateEncode,
  StateMerge,
  StateMerged,
  StateRestore,
  StateRestored,
} from './protocol.ts';

interface WorkerStateFields {
  readonly graph: DStreamGraph;
  readonly turns: Turns;
  /** True: the partition is at home in this thread. */
  readonly isHome: (partition: number) => boolean;
}

/**
 * The partitions of keyed state that are at home in this worker: restored, sealed, merged and encoded as the driver says. It
 * alone knows what is committed; here are the values.
 */
export class WorkerState {
  readonly #fields: WorkerStateFields;
  /** What was asked before: the driver may ask for the next without waiting. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(fields: WorkerStateFields) {
    this.#fields = fields;
    for (const { isDivisible, table } of fields.graph.stateful) if (isDivisible) table.holdOnly(fields.isHome);
  }

  /** A batch begins: its operators know how many keys there are elsewhere. */
  beginBatch({ keyCounts }: BatchMessage): void {
    for (const [node, keyCount] of keyCounts) {
      const table = this.#table(node);
      table.keysElsewhere = keyCount - table.keysHere;
    }
  }

  /** One after the other. */
  answer(name: string, argument: unknown): Promise<unknown> {
    const answered = this.#last.then(() => this.#answer(name, argument));
    this.#last = answered.catch(() => {});
    return answered;
  }

  async #answer(name: string, argument: unknown): Promise<unknown> {
    switch (name) {
      case 'state begin':
        for (const [node, parameters] of (argument as StateBegin).parameters) this.#node(node).adopt(parameters);
        return undefined;
      case 'state restore':
        return this.#restore(argument as StateRestore);
      case 'state restored':
        return this.#restored(argument as number);
      case 'state seal':
        return this.#seal(argument as readonly number[]);
      case 'state merge':
        return this.#merge(argument as StateMerge);
      case 'state discard':
        for (const node of argument as readonly number[]) this.#table(node).discard();
        return undefined;
      case 'state sums':
        return this.#table(argument as number).sumsHere.record;
      case 'state encode':
        return this.#encode(argument as StateEncode);
    }
  }

  #restore({ node, bytes, sinceManifest }: StateRestore): Promise<void> {
    return this.#fields.turns.run(this.#table(node).restoreSteps(bytes, sinceManifest));
  }

  #restored(node: number): StateRestored {
    const { fingerprint, ...facts } = this.#table(node).restoredHere;
    return { ...facts, fingerprint: fingerprint.record };
  }

  async #seal(nodes: readonly number[]): Promise<Handed> {
    const records: SealedPartRecord[] = [];
    for (const node of nodes) {
      for (const { bytes, change, ...part } of await this.#fields.turns.run(this.#table(node).sealPartsSteps())) {
        // A copy: the partition goes on with its own.
        records.push({ ...part, node, bytes: bytes.slice(), change: change.record });
      }
    }
    return handed(records, records);
  }

  async #merge({ tables, isStored }: StateMerge): Promise<StateMerged> {
    const keyCounts: [number, number][] = [];
    for (const { node, firstOrdinals } of tables) {
      const table = this.#table(node);
      await this.#fields.turns.run(table.mergePartsSteps(firstOrdinals));
      if (!isStored) table.manifestWritten();
      keyCounts.push([node, table.keysHere]);
    }
    return keyCounts;
  }

  async #encode({ node, ranges }: StateEncode): Promise<Handed> {
    const { turns, isHome } = this.#fields;
    const table = this.#table(node);
    const encoded: EncodedPart[][] = [];
    for (const { from, to, isDelta } of ranges) {
      const parts: EncodedPart[] = [];
      for (let partition = 0; partition < table.numPartitions; partition++) {
        if (!isHome(partition)) continue;
        const writer = new ByteWriter();
        await turns.run(table.partition(partition).committed.encode(writer, { from, to }, isDelta));
        if (writer.length > 0) parts.push({ partition, bytes: writer.view().slice() });
      }
      encoded.push(parts);
    }
    return handed(encoded, encoded.flat());
  }

  #node(id: number): StatefulNode<unknown> {
    const node = this.#fields.graph.streams[id];
    invariant(node instanceof StatefulNode, `Stream #${id} is asked for its state, and has none.`);
    return node;
  }

  #table(id: number): StateTable {
    return this.#node(id).table;
  }
}

function handed(result: unknown, parts: readonly { readonly bytes: Uint8Array<ArrayBuffer> }[]): Handed {
  return new Handed(
    result,
    parts.map(({ bytes }) => bytes.buffer),
  );
}
