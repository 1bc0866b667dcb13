import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hashKey, keyIdentity } from '../../../src/base/canonical-key.ts';
import { Turns } from '../../../src/base/turns.ts';
import type { StatefulNode } from '../../../src/dstream/stateful-node.ts';
import { UpdateStateNode } from '../../../src/dstream/update-state.ts';
import type { StateTable } from '../../../src/state/state-table.ts';
import type { StoredExtent } from '../../../src/state/stored-operator.ts';
import type { TableExtent } from '../../../src/state/table-extents.ts';
import { DividedState } from '../../../src/workers/divided-state.ts';
import { Handed, type Link } from '../../../src/workers/link.ts';
import type { Team } from '../../../src/workers/team.ts';
import { WorkerState } from '../../../src/workers/worker-state.ts';
import { StateStream } from '../../support/state-stream.ts';

const numPartitions = 5;
const uid = 'totals';

/** A program with one operator that keeps state, which is all that is used of it. */
function newNode(): { readonly node: StatefulNode<unknown>; readonly graph: StateStream<never>['graph'] } {
  const { source, graph } = new StateStream<readonly [string, number]>({ partitions: numPartitions });
  const update = { uid, numPartitions, byKey: () => undefined, byPartition: undefined };
  return { node: new UpdateStateNode<string, number, number>(source, update) as StatefulNode<unknown>, graph };
}

/** The state of one operator among several workers, all in this thread; what they are asked crosses as between threads. */
class Divided {
  readonly node: StatefulNode<unknown>;
  readonly state: DividedState;
  readonly team: Team;
  readonly tables: StateTable[] = [];

  constructor(count: number) {
    this.node = newNode().node;
    this.state = new DividedState([this.node]);
    const links = Array.from({ length: count }, (_, index): Pick<Link, 'call'> => {
      const { node, graph } = newNode();
      this.tables.push(node.table);
      const isHome = (partition: number): boolean => partition % count === index;
      const worker = new WorkerState({ graph, turns: new Turns(), isHome });
      return {
        call: async (name, argument) => {
          const answer = await worker.answer(name, structuredClone(argument));
          return structuredClone(answer instanceof Handed ? answer.result : answer);
        },
      };
    });
    const callEach = <R>(ask: (link: Link) => Promise<R>): Promise<R[]> =>
      Promise.all(links.map((link) => ask(link as Link)));
    this.team = { callEach, callAll: (name, argument) => callEach((link) => link.call(name, argument)) } as Team;
  }

  partition(index: number): ReturnType<StateTable['partition']> {
    return this.tables[index % this.tables.length]!.partition(index);
  }
}

interface Batch {
  /** Undefined removes. */
  readonly changes: readonly (readonly [key: string, pane: number, value: number | undefined])[];
  readonly drops: boolean;
  readonly meta: number | undefined;
  readonly fails: boolean;
  readonly manifest: number | undefined;
  /** The next driver has so many workers. */
  readonly restart: number | undefined;
}

const someKey = fc.integer({ min: 0, max: 30 }).map((n) => `key ${n}`);
const someBatch: fc.Arbitrary<Batch> = fc.record({
  changes: fc.array(fc.tuple(someKey, fc.constantFrom(0, 0, 1, 2), fc.option(fc.nat(), { nil: undefined })), {
    maxLength: 20,
  }),
  drops: fc.constantFrom(false, false, false, true),
  meta: fc.option(fc.nat(), { nil: undefined, freq: 4 }),
  fails: fc.constantFrom(false, false, false, true),
  manifest: fc.constantFrom(undefined, undefined, 0, 0.5, 100),
  restart: fc.constantFrom(undefined, undefined, 1, 2, 3),
});

/** One table by itself and one that is divided, doing the same. */
class Twins {
  alone = newNode().node.table;
  divided: Divided;
  #firstPane = 1;
  #extents: TableExtent[] = [];
  #records: Uint8Array[] = [];

  constructor(count: number) {
    this.divided = new Divided(count);
  }

  async run({ changes, drops, meta, fails, manifest, restart }: Batch): Promise<void> {
    const { alone, divided } = this;
    const { state, team, node } = divided;
    await state.give(team);
    for (let p = 0; p < numPartitions; p++) {
      for (const table of [alone.partition(p), divided.partition(p)]) {
        table.begin();
        if (drops) table.dropPane(this.#firstPane);
      }
    }
    const firstPane = drops ? this.#firstPane + 1 : this.#firstPane;
    for (const [key, pane, value] of changes) {
      const at = pane === 0 ? 0 : firstPane + pane;
      const index = hashKey(key) % numPartitions;
      for (const table of [alone.partition(index), divided.partition(index)]) {
        if (value === undefined) table.remove(at, keyIdentity(key));
        else table.put(at, keyIdentity(key), key, value);
      }
    }
    if (meta !== undefined) for (const table of [alone, node.table, ...divided.tables]) table.meta = meta;
    const expected = alone.seal();
    const parts = await state.seal(team);
    expect(await new Turns().run(node.table.assembleSteps(parts.get(node.id) ?? []))).toEqual(expected);
    if (fails) {
      for (const table of [alone, node.table]) table.discard();
      state.discard(team);
    } else {
      await state.merge(true, () => false);
      for (const table of [alone, node.table]) table.merge();
      this.#records.push(expected.bytes);
      this.#firstPane = firstPane;
    }
    expect(node.table.keyCount).toBe(alone.keyCount);
    expect(node.table.meta).toBe(alone.meta);
    if (manifest !== undefined && !fails) await this.#manifest(manifest);
    if (restart !== undefined) await this.#restart(restart);
  }

  async #manifest(alpha: number): Promise<void> {
    const { node, state, team } = this.divided;
    const encoded = (await state.encode(team, [node], alpha)).get(node)!;
    const found = [...node.table.extentSteps(encoded.plan, encoded.committed)].filter((extent) => extent !== undefined);
    const extents = this.alone.extents(alpha);
    expect(found).toEqual(extents);
    this.#extents = [...(extents[0]!.kind === 'base' ? [] : this.#extents), ...extents];
    this.#records = [];
  }

  async #restart(count: number): Promise<void> {
    const { fingerprint } = this.alone;
    const stored = {
      extents: this.#extents.map(({ bytes, kind, ...extent }): StoredExtent => {
        return { ...extent, isBase: kind === 'base', lengthBytes: bytes.length, read: async () => bytes };
      }),
      deltas: this.#records.map((bytes) => ({ lengthBytes: bytes.length, read: async () => bytes })),
    };
    this.alone = newNode().node.table;
    await this.alone.restoreFrom(stored, fingerprint);
    this.divided = new Divided(count);
    const { state, team, node } = this.divided;
    state.loadFrom(async () => new Map([[uid, { stored, fingerprint }]]));
    await state.give(team);
    expect(node.table.fingerprint).toBe(fingerprint);
    expect(node.table.keyCount).toBe(this.alone.keyCount);
  }
}

test('state divided among workers is sealed, restored and put into manifests byte for byte as in one table', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(someBatch, { minLength: 1, maxLength: 10 }),
      fc.integer({ min: 1, max: 3 }),
      async (batches, count) => {
        const twins = new Twins(count);
        for (const batch of batches) await twins.run(batch);
      },
    ),
    { numRuns: 150, seed: 5 },
  );
}, 60_000);
