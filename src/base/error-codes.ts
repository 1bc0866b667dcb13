/**
 * Every failure Tidemark can report, by code. The kind tells a program what to do, the action tells a person.
 *
 * Kinds: `invalid` fix the call; `unavailable` try again later; `fenced` another driver took over, stop; `corrupt` a
 * stored object is damaged; `incompatible` the checkpoint and the program don't fit; `data_loss` records are gone at
 * the source; `user` a function given by the user threw; `limit` a bound was reached; `cancelled` stopped on request;
 * `internal` a bug in Tidemark.
 */
export type ErrorKind =
  | 'invalid'
  | 'unavailable'
  | 'fenced'
  | 'corrupt'
  | 'incompatible'
  | 'data_loss'
  | 'user'
  | 'limit'
  | 'cancelled'
  | 'internal';

interface ErrorCodeEntry {
  readonly kind: ErrorKind;
  /** What happened, in one sentence. */
  readonly meaning: string;
  /** What a person does about it. */
  readonly action: string;
}

export const errorCodes = {
  OPTION_INVALID: {
    kind: 'invalid',
    meaning: 'An option is unknown, missing or has a value outside its range.',
    action: 'Correct the named option; the message lists what is accepted.',
  },
  STATUS_INVALID: {
    kind: 'invalid',
    meaning: 'The call is not possible in the present life-cycle status of the context.',
    action: 'Define the whole program before start(); build a new StreamingContext after stop().',
  },
  GRAPH_INVALID: {
    kind: 'invalid',
    meaning: 'The program as defined cannot run: no output, a window that is no multiple of the batch, mixed contexts.',
    action: 'Correct the named operator.',
  },
  EMPTY_COLLECTION: {
    kind: 'invalid',
    meaning: 'first(), reduce(), min() or max() was called on an RDD without rows.',
    action: 'Check isEmpty() first, or use take(1) or fold().',
  },
  URL_INVALID: {
    kind: 'invalid',
    meaning: 'A storage URL is not of a form Tidemark knows.',
    action: 'Use one of the forms the message lists.',
  },
  CREDENTIALS_INVALID: {
    kind: 'invalid',
    meaning: 'The service refused the credentials, or none were given.',
    action: 'Check the connection string, the SAS token and its expiry, or the role assignments of the identity.',
  },
  CONTAINER_MISSING: {
    kind: 'invalid',
    meaning: 'The storage container does not exist.',
    action: 'Create the container, or correct its name in the URL.',
  },
  DEPENDENCY_MISSING: {
    kind: 'invalid',
    meaning: 'An optional package that this feature needs is not installed.',
    action: 'Install the package the message names.',
  },
  STORE_UNAVAILABLE: {
    kind: 'unavailable',
    meaning: 'The object store did not answer, or kept failing, until the retries were used up.',
    action: 'Nothing is lost. Start again when the store is back; the last committed batch decides where it goes on.',
  },
  STORE_FORBIDDEN: {
    kind: 'invalid',
    meaning: 'The credentials are valid but lack a permission on the container.',
    action: 'Grant read, write, list and delete on the container (role Storage Blob Data Contributor).',
  },
  STORE_UNSAFE: {
    kind: 'invalid',
    meaning: 'The store accepted a write whose condition did not hold, so two drivers could overwrite each other.',
    action: 'Keep the checkpoint in Azure Blob Storage or on a local disk. Nothing of the stream was written.',
  },
  COMMIT_UNKNOWN: {
    kind: 'unavailable',
    meaning: 'The outcome of a commit could not be learned until the retries were used up.',
    action: 'Start again: the next start finds out whether the batch was committed.',
  },
  FENCED: {
    kind: 'fenced',
    meaning: 'A newer driver has taken over this stream.',
    action: 'Leave this process stopped. If both should run, give each its own checkpoint URL and consumer group.',
  },
  CHECKPOINT_CORRUPT: {
    kind: 'corrupt',
    meaning: 'An object of the checkpoint is damaged, cut or missing.',
    action: 'Restore the named object from soft delete or a copy. Nothing was deleted or overwritten.',
  },
  ENCRYPTION_KEY_MISSING: {
    kind: 'invalid',
    meaning: 'An object of the checkpoint is encrypted with a key that was not given, or given with other bytes.',
    action: 'Give the key of the named id in the option encryption, on the command line with --key-file.',
  },
  NOT_ENCRYPTED: {
    kind: 'invalid',
    meaning: 'Keys were given for a checkpoint that is stored without encryption.',
    action:
      'Open it without keys, or copy it with tidemark checkpoint export --target-key-file and go on with the copy.',
  },
  CHECKPOINT_EXISTS: {
    kind: 'invalid',
    meaning: 'checkpoint(url) names a place that already holds a stream, or an export one that is not empty.',
    action:
      'Use StreamingContext.getOrCreate(url, create) to go on from a stream, or another URL for a new one or a copy.',
  },
  CHECKPOINT_MISSING: {
    kind: 'invalid',
    meaning: 'A tool was given a URL where no stream is stored.',
    action: 'Correct the URL: it is the one given to StreamingContext.getOrCreate().',
  },
  BATCH_NOT_RETAINED: {
    kind: 'invalid',
    meaning:
      'A batch was asked for that the checkpoint does not hold (any more), or that the stream can not go back to.',
    action: 'Choose a batch the message names. The setting retainManifests keeps more, a savepoint keeps one for good.',
  },
  STREAM_NOT_STOPPED: {
    kind: 'invalid',
    meaning: 'A tool was to write into a stream whose last driver did not stop cleanly, so it may be running.',
    action: 'Stop the program gracefully, or drain it. If it is dead, or is to be ended, let the tool take over.',
  },
  REQUEST_UNANSWERED: {
    kind: 'unavailable',
    meaning: 'The driver of a stream did not do what a tool asked it for, or not in time.',
    action: 'See whether the program runs, and what it warned of. If it does not run, let the tool take over.',
  },
  CHECKPOINT_INCOMPATIBLE: {
    kind: 'incompatible',
    meaning: 'The checkpoint was written by another format version, or its graph does not fit this program.',
    action: 'Follow the table in the message: restore the operator, or drop its state explicitly.',
  },
  STATE_MISMATCH: {
    kind: 'corrupt',
    meaning: 'The state read back does not have the fingerprint that was recorded when it was committed.',
    action: 'Report it with the checkpoint; restore a copy of the checkpoint.',
  },
  STATE_MIGRATION_FAILED: {
    kind: 'user',
    meaning:
      'A stored value could not be brought to the schema version of the program: `migrate` threw, or is missing.',
    action: 'Correct `migrate` for the value the message names, or run the former program again: nothing was changed.',
  },
  KEY_UNSUPPORTED: {
    kind: 'invalid',
    meaning: 'A key holds something that has no canonical encoding (a function, a Date, a class instance, undefined).',
    action: 'Use numbers, strings, bigints, booleans, null, or arrays and plain objects of them as keys.',
  },
  VALUE_UNSUPPORTED: {
    kind: 'invalid',
    meaning: 'A value that must be stored holds something that would not come back equal.',
    action: 'Store plain data: the message names the path inside the value.',
  },
  SOURCE_UNAVAILABLE: {
    kind: 'unavailable',
    meaning: 'A source could not be reached until the retries were used up.',
    action: 'Nothing is lost. Start again when the source is back.',
  },
  SOURCE_NOT_FOUND: {
    kind: 'invalid',
    meaning: 'The event hub, consumer group, partition or file does not exist.',
    action: 'Correct the name, or create it.',
  },
  SOURCE_FENCED: {
    kind: 'fenced',
    meaning: 'Another reader with the same or a higher owner level took the partition.',
    action: 'Run one application per consumer group; if this one was replaced by a newer driver, leave it stopped.',
  },
  INPUT_MALFORMED: {
    kind: 'user',
    meaning: 'A file or a connection holds something else than its input was told to expect.',
    action: 'Correct the producer, the record length or the reading function; the message names the place.',
  },
  INPUT_CHANGED: {
    kind: 'data_loss',
    meaning: 'A file was changed after a batch had chosen it, so the batch can no longer be what was planned.',
    action: 'Restore the file as it was. Write files under another name and rename them when they are complete.',
  },
  DATA_LOSS: {
    kind: 'data_loss',
    meaning: 'Events between the planned position and what the source still has are gone.',
    action: "Decide: set onDataLoss: 'skip' to go on after the named range, or restore the source.",
  },
  SOURCE_RECREATED: {
    kind: 'data_loss',
    meaning: 'The event hub was deleted and created again, or lost partitions: recorded positions mean nothing in it.',
    action: 'Start a new stream with another checkpoint URL, or restore the hub.',
  },
  SINK_CONFLICT: {
    kind: 'internal',
    meaning: 'An output object exists with other content than this batch produced.',
    action: 'Check that no other writer uses the output folder and that the program is deterministic.',
  },
  OUTBOX_EXPIRED: {
    kind: 'data_loss',
    meaning: 'A reader of an outbox was away for so long that the batches after its position were cleaned away.',
    action:
      "Repair what the missing batches would have changed, then read from 'earliest'. The setting retainMs keeps more.",
  },
  ZIP_MISMATCH: {
    kind: 'invalid',
    meaning: 'zip() met two partitions with different numbers of rows.',
    action: 'Join by the keys of zipWithIndex(), or use zipPartitions().',
  },
  OUTPUT_EXISTS: {
    kind: 'invalid',
    meaning: 'A save names a place where objects are already.',
    action: 'Save to another URL, delete what is there, or give overwrite: true.',
  },
  WORKERS_DIVERGED: {
    kind: 'invalid',
    meaning: 'The worker threads did not build the same program as the driver, or as each other.',
    action:
      'Build the graph from code and configuration alone: create() and the functions of transform must not depend on ' +
      'time, randomness or the thread they run in. The message shows the difference.',
  },
  WORKER_LOST: {
    kind: 'unavailable',
    meaning: 'A worker thread ended: it ran out of memory, called process.exit, or threw outside a task.',
    action:
      'Nothing of the batch was committed; it is run again on new threads. When it happens again and again the context ' +
      'ends: look at the cause, and give the process more memory or fewer worker threads.',
  },
  TASK_FAILED: {
    kind: 'user',
    meaning: 'A function of the program threw in every attempt of a task; the batch was not committed.',
    action: 'Correct the function. The next start runs the same batch again with the same records.',
  },
  STOP_TIMEOUT: {
    kind: 'limit',
    meaning: 'A graceful stop did not finish in its time.',
    action: 'Nothing is lost: what was not committed runs at the next start. Allow a longer time if it should finish.',
  },
  LIMIT_EXCEEDED: {
    kind: 'limit',
    meaning: 'A bound was reached: a value too large or too deep, a queue full.',
    action: 'Raise the named setting or make the value smaller.',
  },
  EMULATOR_UNAVAILABLE: {
    kind: 'unavailable',
    meaning: 'The Event Hubs emulator cannot start: its port or its data folder is in use.',
    action: 'Stop the other process, or choose another port or folder.',
  },
  EMULATOR_DATA_CORRUPT: {
    kind: 'corrupt',
    meaning: 'A data file of the Event Hubs emulator is damaged.',
    action: 'Delete the data folder of the emulator: its hubs start empty.',
  },
  CANCELLED: {
    kind: 'cancelled',
    meaning: 'The operation was stopped on request.',
    action: 'Nothing to do.',
  },
  SIMULATION_FAILED: {
    kind: 'internal',
    meaning: 'A simulation found a run in which the program or Tidemark breaks a promise.',
    action:
      'Run the seed of the message again with a trace. It is your program, or a bug of Tidemark: then report the seed.',
  },
  INTERNAL: {
    kind: 'internal',
    meaning: 'An invariant of Tidemark does not hold.',
    action: 'Report it with the message and the stack.',
  },
} as const satisfies Record<string, ErrorCodeEntry>;

export type ErrorCode = keyof typeof errorCodes;
