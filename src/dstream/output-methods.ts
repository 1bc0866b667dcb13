import { TidemarkError } from '../base/errors.ts';
import type { Sink } from '../sinks/sink.ts';
import type { StoreOptions } from '../storage/open-store.ts';
import { requireFunction } from './derived-nodes.ts';
import type { FileFormat, FilePlace } from './graph.ts';
import type { ForeachBody, PartitionBody } from './output.ts';
import type { UidOption } from './stateful-node.ts';
import type { StreamNode } from './stream-node.ts';

/** The output operations of a DStream. */
export abstract class OutputMethods<out T> {
  readonly node: StreamNode<T>;

  constructor(node: StreamNode<T>) {
    this.node = node;
  }

  /** Runs `body` on the RDD of every batch, in order of registration. At least once: see {@link BatchInfo} for what to key a write with. */
  foreachRDD(body: ForeachBody<T>, options: UidOption = {}): void {
    requireFunction('foreachRDD', body);
    const uid = this.node.graph.assignUid('foreachRDD', options.uid);
    this.node.graph.addOutput({ kind: 'foreach', uid, stream: this.node, body: body as ForeachBody<unknown> });
  }

  /** Runs `body` on the rows of every partition of every batch. At least once, and again for each try of a task. */
  foreachPartition(body: PartitionBody<T>, options: UidOption = {}): void {
    requireFunction('foreachPartition', body);
    const uid = this.node.graph.assignUid('foreachPartition', options.uid);
    const run: ForeachBody<T> = (rdd, _time, batch) =>
      rdd.foreachPartition((rows, partition) => body(rows, { ...batch, partition }));
    this.node.graph.addOutput({ kind: 'foreach', uid, stream: this.node, body: run as ForeachBody<unknown> });
  }

  /** Shows the first rows of every batch once it is committed, in Spark's layout. */
  print(rowsMax = 10): void {
    if (!Number.isInteger(rowsMax) || rowsMax < 1) {
      throw new TidemarkError('OPTION_INVALID', `print(${rowsMax}): the number of rows must be a positive integer.`);
    }
    const uid = this.node.graph.assignUid('print', undefined);
    this.node.graph.addOutput({ kind: 'print', uid, stream: this.node, rowsMax });
  }

  /** Writes every batch to `sink`, with the guarantee the sink states. */
  saveTo(sink: Sink<T>, options: UidOption = {}): void {
    const uid = this.node.graph.assignUid('saveTo', options.uid);
    this.node.graph.addOutput({ kind: 'sink', uid, stream: this.node, sink: sink as Sink<unknown> });
  }

  /**
   * Writes every batch that has rows as lines of text, exactly once, to `prefix-<batch time in ms>[.suffix]`. The prefix is a
   * storage URL or path; its last part begins the names.
   */
  saveAsTextFiles(prefix: string, suffix?: string, options: StoreOptions & UidOption = {}): void {
    this.#saveFiles('saveAsTextFiles', 'text', { prefix, suffix }, options);
  }

  /** The same with rows of any plain data, as object files: `rdd.context.objectFile(url)` reads them. */
  saveAsObjectFiles(prefix: string, suffix?: string, options: StoreOptions & UidOption = {}): void {
    this.#saveFiles('saveAsObjectFiles', 'objects', { prefix, suffix }, options);
  }

  #saveFiles(operator: string, format: FileFormat, place: FilePlace, options: StoreOptions & UidOption): void {
    const { uid: given, ...rest } = options;
    const { graph } = this.node;
    const sink = graph.fileSink(format, place, rest);
    graph.addOutput({ kind: 'sink', uid: graph.assignUid(operator, given), stream: this.node, sink });
  }
}
