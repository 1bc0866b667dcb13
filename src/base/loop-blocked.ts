/** A place in a program whose function may have run. */
export interface BlockingOperator {
  /** The method that made it, such as `map`. */
  readonly operator: string;
  /** Number of the stream in the graph, from 0 in order of definition; of an output, that of the stream it ends. Undefined: of an RDD that the program made outside of an operator. */
  readonly streamId: number | undefined;
  readonly uid: string | undefined;
  /** What the user calls the stream. */
  readonly label: string | undefined;
}

/** A function of the program has held the thread's event loop for longer than `blockedLoopWarning`. */
export interface LoopBlockedInfo {
  /** One; or, when it could not be told which one it was, all whose functions may have run. */
  readonly operators: readonly BlockingOperator[];
  /** Undefined where no batch is known, as for an RDD of the program's own. */
  readonly batchId: number | undefined;
  readonly batchTimeMs: number | undefined;
  /** Undefined for functions that are called once per batch. */
  readonly partition: number | undefined;
  /** Number of the worker thread; undefined: the driver's own. */
  readonly worker: number | undefined;
  /** How long nothing else could run. */
  readonly heldMs: number;
}

/** One warning, in plain text. */
export function formatLoopBlocked(info: LoopBlockedInfo): string {
  const { operators, batchId, batchTimeMs, partition, worker, heldMs } = info;
  const where = [
    ...(partition === undefined ? [] : [`partition ${partition}`]),
    ...(batchId === undefined ? [] : [`batch ${batchId} (${batchTimeMs} ms)`]),
  ].join(' of ');
  const names = operators.map(describe).join(', ');
  const who = operators.length === 1 ? `A function of ${names}` : `A function of one of ${names}`;
  return (
    `${worker === undefined ? '' : `Worker ${worker}: `}${who} held up the event loop for ${Math.round(heldMs)} ms${where === '' ? '' : ` in ${where}`}: timers, commits and ` +
    'receivers of this thread waited. Let it wait in mapAsync, give it fewer rows at a time, or do its work in a thread of its own.'
  );
}

function describe({ operator, streamId, uid, label }: BlockingOperator): string {
  const names = [
    ...(streamId === undefined ? [] : [`#${streamId}`]),
    ...(label === undefined ? [] : [`'${label}'`]),
    ...(uid === undefined ? [] : [`uid '${uid}'`]),
  ];
  return names.length === 0 ? operator : `${operator} (${names.join(', ')})`;
}
