import type { Difference } from './support/outcome.ts';

function differs(reason: string, rows?: readonly number[]): Difference {
  return { kind: 'differs', reason, ...(rows && { rows }) };
}

function notBuilt(feature: string, reason = 'belongs to a part of the product that does not exist'): Difference {
  return { kind: 'not built', feature, reason };
}

const everyBatchIsDurable =
  'the state of every batch is durable in its record, so there are no intervals, and no lineage over batches to be cut';
const noCheckpointFiles =
  'the checkpoint is a log of numbered records, each written once under a name of its own; there are no files that replace one another';
const internalStateMap = 'StateMap is internal to Spark; the state here has another structure with tests of its own';
const lastBatchIsCommitted =
  'the last batch before a stop is committed and does not run again; batches after it are checked';
const noBlockTracker =
  'blocks get into a batch by its recorded plan, which is made once; there is no block tracker with a log of its own';
const noBlockStore =
  'blocks are in memory and, with a checkpoint, in objects of its store; one that is missing or damaged is an error, never left out';
const noLogFiles =
  'the log of a receiver is numbered objects on the checkpoint store, written one after another with group commit, not files by time';
const codeIsNotStored = 'code is never serialised: the program runs at every start, and only data is stored';

/**
 * The cases that are not expected to hold as Spark has them, each with the reason. Everything else must pass, and a line
 * here for a case that does not exist is a failure. docs/differences-from-spark.md names every case of kind `differs`.
 */
export const differences: Readonly<Record<string, Difference>> = {
  // On purpose.
  'window.window-persistence-level': differs(
    'rows of a window are state, in the checkpoint; there are no storage levels',
  ),
  'mws.mapwithstate-checkpoint-durations': differs(everyBatchIsDurable),
  'mws.mapwithstate-type-inferencing-and-class-tags': differs(
    'one form of the function, with the time last; undefined emits nothing',
  ),
  'mws.mapwithstate-driver-failure-recovery': differs(lastBatchIsCommitted),
  'ckpt.recovery-with-saveasnewapihadoopfiles-operation': differs(lastBatchIsCommitted),
  'ckpt.recovery-with-updatestatebykey-operation': differs(lastBatchIsCommitted),
  'derived-jobgenerator-restart.batches-rescheduled-after-recovery': differs(
    'only batches that are not committed run again, and at most catchUpBatchesMax that were missed',
  ),
  'statemap.emptystatemap': differs(internalStateMap),
  'statemap.put-get-getbytime-getall-remove': differs(internalStateMap),
  'statemap.serializing-and-deserializing': differs(internalStateMap),
  'statemap.serializing-and-deserializing-with-compaction': differs(internalStateMap),
  'timer.start-and-restart-alignment': differs(
    'zero time is a multiple of the interval, as it is in Spark; the rows with another one cannot be brought about',
    [7, 8],
  ),
  'ckpt.non-existent-checkpoint-dir': differs(
    'there is no constructor from a path: getOrCreate is the only way to go on',
  ),
  'ckpt.get-correct-spark-driver-host-port-from-checkpoint': differs(
    'settings are not stored; those of the running program count',
  ),
  'ckpt.spark-11267-the-race-condition-of-two-checkpoints-in-a-batch': differs(noCheckpointFiles),
  'failure.multiple-failures-with-map': differs(
    'the creating function runs at every start; and every row comes out exactly once, which is checked',
  ),
  'ssc.from-existing-settings': differs('a context is made from one object of options, with durations as durations'),
  'ssc.start-with-non-serializable-dstream-checkpoints': differs(codeIsNotStored),
  'closure.user-provided-closures-are-actually-cleaned': differs(codeIsNotStored),
  'derived-from-spark-code.streams-outside-the-creating-function': differs(codeIsNotStored),
  'listener.onbatchcompleted-with-failed-batch-and-multiple-failed-jobs': differs(
    'the outputs after a failed one are tried, but the batch is not committed: all of them run again at the next start',
  ),
  'derived-from-spark-code.failed-output-operation-single-output': differs(
    'the context stops with the first error; the next start runs the same batch again',
  ),
  'derived-from-spark-code.checkpoint-written-twice-per-batch': differs('one record per batch is the commit'),
  'derived-dstream-initialisation.default-rdd-checkpoint-interval': differs(everyBatchIsDurable),
  'derived-dstream-initialisation.remember-duration': differs(
    'windows keep their own rows, so nothing is remembered for them; remember() alone says what slice() can read',
  ),
  'derived-dstream-validation.checkpoint-interval-validation-at-start': differs(everyBatchIsDurable, [1, 2, 3, 4]),
  'derived-rdd-checkpointing.batches-whose-state-rdd-is-checkpointed': differs(everyBatchIsDurable),
  'derived-checkpoint-files.listing-and-read-order': differs(noCheckpointFiles),
  'derived-checkpoint-files.retention': differs(noCheckpointFiles),
  'derived-checkpoint-write.retry-and-failure': differs(
    'a commit that fails stops the stream: going on without a recovery point would be silent loss later',
  ),
  'derived-hash-partitioner.hashpartitioner': differs(
    'keys are hashed by value with one fixed hash, null too, not with the hash of a JVM',
  ),
  'listener.don-t-call-ssc-stop-in-listener': differs('a listener may stop the context; it need not wait for the end'),
  'eventhubssourcesuite.deserialization-of-initial-offset': differs(
    'positions have no log of their own: they are in the checkpoint, whose objects carry the version of the format',
  ),
  'eventhubssourcesuite.eventhubs-column-types': differs(
    'names of fields are partitionId and enqueuedTimeMs; a publisher is among the system properties',
  ),
  'eventhubssourceoffsetsuite.offset-de-serialisation': differs(
    'positions are part of the record of their batch, which can be written once',
  ),
  'eventhubsdirectdstreamsuite.basic-stream-receiving-with-smallest-starting-sequence-number': differs(
    'an RDD has no offset ranges: they are in the recorded plan, and every event carries its partition and number',
  ),
  'connectionstringbuildersuite.parsing': differs(
    'unknown parts are passed over, as the Azure SDK does; token sign-in takes fullyQualifiedNamespace instead of a string',
  ),
  'eventhubsconfsuite.validation': differs('options have other names and ranges: docs/event-hubs.md'),
  'eventpositionsuite.convert': differs("positions are 'earliest', 'latest', { sequenceNumber } or { enqueuedTime }"),
  'retryutilssuite.retry-policy': differs('attempts are bounded by time, not by number'),
  'derived-event-hubs-dstream.offset-range-of-a-batch': differs(
    'expired events and a hub that was created anew are errors that name the lost range; a rate of 0 is refused',
  ),
  'derived-event-hubs-client.position-to-sequence-number': differs(
    'a sequence number beyond the end of the partition is refused',
    [1],
  ),
  'derived-event-hubs-dstream.re-read-of-a-remembered-range-whose-events-expired': differs(
    "a range is never shortened silently: DATA_LOSS names it, onDataLoss: 'skip' goes on after it",
  ),
  'derived-event-hubs-dstream.partition-count-growth': differs('a partition that is added is read from its beginning'),
  'tracker.block-addition-and-block-to-batch-allocation': differs(noBlockTracker),
  'tracker.block-addition-and-block-to-batch-allocation-with-many-blocks': differs(noBlockTracker),
  'tracker.recovery-with-write-ahead-logs-should-remove-only-allocated-bloc': differs(noBlockTracker),
  'tracker.block-allocation-to-batch-should-not-loose-blocks-from-received': differs(noBlockTracker),
  'tracker.parallel-file-deletion-in-filebasedwriteaheadlog-is-robust-to-de': differs(noBlockTracker),
  'jobgen.spark-6222-do-not-clear-received-block-data-too-soon': differs(
    'a batch is planned when the one before it is through, so no later one can clear its blocks',
  ),
  'recvtracker.send-rate-update-to-receivers': differs('a receiver has one block generator, which every rate reaches'),
  'blockgen.block-generation-and-data-callbacks': differs(
    'the promise of store() tells a receiver what became of its rows; there are no callbacks with metadata',
  ),
  'receiverstream.createblockrdd': differs(noBlockStore),
  'blockhandler.writeaheadlogbasedblockhandler-store-blocks': differs(noBlockStore),
  'walrdd.read-paths': differs(noBlockStore),
  'wal.read-all-logs': differs(noLogFiles),
  'wal.clean-old-logs-async-and-sync': differs(noLogFiles),
  'wal.parallel-recovery-only-with-closefileafterwrite': differs(noLogFiles),
  'wal.filebasedwriteaheadlogreader-handles-errors-when-file-doesn-t-ex': differs(noLogFiles),
  'wal.batchedwriteaheadlog-serializing-and-deserializing-batched-recor': differs(noLogFiles),
  'wal.batchedwriteaheadlog-fail-everything-in-queue-during-shutdown': differs(noLogFiles),
  'wal.batchedwriteaheadlog-name-log-with-the-highest-timestamp-of-aggr': differs(noLogFiles),
  'walutils.log-selection-and-defaults': differs('there is one kind of log and no classes to plug in'),

  // Not ours, or not there.
  'ssc.registering-and-de-registering-of-streamingsource': notBuilt('metrics'),
  'ssc.spark-18560-receiver-data-should-be-deserialized-properly': notBuilt('cluster mode'),
  'eventhubsconfsuite.copy-and-trim': notBuilt('cluster mode', 'one process does the work'),
  'eventhubssourcesuite.setslowpartitionadjustment-factors': notBuilt(
    'slow partition adjustment',
    'Structured Streaming only',
  ),
  'offsetrangesuite.tostring': notBuilt('offset ranges on the RDD'),
  'recvsched.reschedulereceiver': notBuilt('receiver placement', 'one process does the work'),
  'execalloc.basic-functionality': notBuilt('executor allocation', 'one process does the work'),
  'ui.attaching-and-detaching-a-streaming-tab': notBuilt('UI'),
  'scope.scopes': notBuilt('UI'),
  'uiutils.shorttimeunitstring': notBuilt('UI'),
  'uiutils.normalizeduration': notBuilt('UI'),
  'uiutils.converttotimeunit': notBuilt('UI'),
  'uiutils.formatbatchtime': notBuilt('UI'),
  'progress.lifecycle-counters': notBuilt('UI'),
  'progress.remove-the-old-completed-batches-when-exceeding-the-limit': notBuilt('UI'),
};
