import { TidemarkError } from '../base/errors.ts';
import { samePartitioner } from './partitioner.ts';
import { DerivedRDD, type RDD, type RddSpec } from './rdd.ts';
import { inOrder, type JobRunner } from './task.ts';
import { checkInteger } from './validation.ts';

export interface RddContextOptions {
  readonly runner: JobRunner;
  /** Partitions of a shuffle when neither the call nor an existing partitioner says how many. Default 2. */
  readonly defaultParallelism?: number | undefined;
}

/** What RDDs need from their engine, and the place where RDDs are made from nothing. */
export class RddContext {
  readonly runner: JobRunner;
  readonly defaultParallelism: number;

  constructor(options: RddContextOptions) {
    this.runner = options.runner;
    this.defaultParallelism = checkInteger('defaultParallelism', options.defaultParallelism ?? 2, 1);
  }

  /** The rows as an RDD; slice i holds rows [floor(i*len/n), floor((i+1)*len/n)). The array is not copied. */
  parallelize<T>(rows: readonly T[], numPartitions: number = this.defaultParallelism): RDD<T> {
    if (!Array.isArray(rows)) throw new TidemarkError('OPTION_INVALID', 'parallelize needs an array of rows.');
    checkInteger('numPartitions', numPartitions, 1);
    const bound = (i: number): number => Math.floor((i * rows.length) / numPartitions);
    return this.rdd({
      name: 'parallelize',
      numPartitions,
      dependencies: [],
      pipe: (partition, _, push) => {
        const end = bound(partition + 1);
        for (let i = bound(partition); i < end; i++) push(rows[i]!);
      },
    });
  }

  /** One partition per array, in order. The arrays are not copied. */
  fromPartitions<T>(partitions: readonly (readonly T[])[]): RDD<T> {
    return this.rdd({
      name: 'fromPartitions',
      numPartitions: partitions.length,
      dependencies: [],
      pipe: (partition, _, push) => {
        const rows = partitions[partition]!;
        for (let i = 0; i < rows.length; i++) push(rows[i]!);
      },
    });
  }

  /** No rows, no partitions. */
  emptyRDD<T>(): RDD<T> {
    return this.rdd({ name: 'emptyRDD', numPartitions: 0, dependencies: [], pipe: () => {} });
  }

  /**
   * All rows of all RDDs: the partitions of the first, then those of the second, and so on. When all have the same
   * partitioner it is kept, and partition i is the concatenation of their partitions i.
   */
  union<T>(rdds: readonly RDD<T>[]): RDD<T> {
    const [first] = rdds;
    if (first === undefined) return this.emptyRDD();
    if (rdds.length === 1) return first;
    for (const rdd of rdds) {
      if (rdd.context !== this) throw new TidemarkError('GRAPH_INVALID', 'union: an RDD belongs to another context.');
    }
    if (rdds.every((rdd) => samePartitioner(rdd.partitioner, first.partitioner))) {
      return this.rdd({
        name: 'union',
        numPartitions: first.numPartitions,
        partitioner: first.partitioner,
        dependencies: rdds,
        pipe: (partition, task, push) => inOrder(rdds.length, (i) => rdds[i]!.pipe(partition, task, push)),
      });
    }
    const places = rdds.flatMap((rdd) =>
      Array.from({ length: rdd.numPartitions }, (_, partition) => ({ rdd, partition })),
    );
    return this.rdd({
      name: 'union',
      numPartitions: places.length,
      dependencies: rdds,
      pipe: (partition, task, push) => places[partition]!.rdd.pipe(places[partition]!.partition, task, push),
    });
  }

  /** An RDD from its parts: how new kinds are made without a class of their own. */
  rdd<T>(spec: RddSpec<T>): RDD<T> {
    return new DerivedRDD(this, spec);
  }
}
