import { invariant } from '../base/errors.ts';
import type { RDD } from '../rdd/rdd.ts';
import type { ShuffleDependency, ShuffleOutputs } from '../rdd/shuffle-dependency.ts';
import { decodeColumns } from './block-codec.ts';
import type { ReceivedBlocks } from './exchange.ts';

/** Where a task's lineage begins: two workers know an RDD by the number of steps from there. */
export interface Root {
  readonly key: string;
  /** It is let go with this batch. */
  readonly batchId: number;
  readonly rdd: RDD<unknown>;
}

/** Of a shuffle: own map partitions as they are, those of others as they came, decoded anew for every reader. */
export class ExchangedOutputs implements ShuffleOutputs<unknown> {
  readonly isWhole: boolean;
  readonly root: Root;
  readonly #shuffle: ShuffleDependency;
  readonly #own: ReadonlyMap<number, readonly unknown[]>;
  readonly #received: ReceivedBlocks;
  readonly #isHome: (partition: number) => boolean;

  constructor(
    shuffle: ShuffleDependency,
    root: Root,
    own: ReadonlyMap<number, readonly unknown[]>,
    received: ReceivedBlocks,
    isHome: (partition: number) => boolean,
  ) {
    this.isWhole = shuffle.readers === 'all';
    this.root = root;
    this.#shuffle = shuffle;
    this.#own = own;
    this.#received = received;
    this.#isHome = isHome;
  }

  get ownPartitions(): readonly number[] {
    return [...this.#own.keys()];
  }

  withOwn(own: ReadonlyMap<number, readonly unknown[]>): ExchangedOutputs {
    return new ExchangedOutputs(this.#shuffle, this.root, own, this.#received, this.#isHome);
  }

  blocks(reducePartition: number): unknown[] {
    invariant(
      this.isWhole || this.#isHome(reducePartition),
      `Partition ${reducePartition} of the shuffle ${this.#shuffle.name} is read on a worker where it is not at home.`,
    );
    return Array.from({ length: this.#shuffle.rdd.numPartitions }, (_, mapPartition) => {
      const own = this.#own.get(mapPartition);
      if (own !== undefined) return own[reducePartition];
      const bytes = this.#received.get(mapPartition)?.get(reducePartition);
      invariant(bytes !== undefined, `A block of the shuffle ${this.#shuffle.name} did not arrive.`);
      return this.#shuffle.unpack(decodeColumns(bytes));
    });
  }
}
