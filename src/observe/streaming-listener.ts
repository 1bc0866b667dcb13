/** What a batch cost, from its due time to its last published output. Times in milliseconds. Source: Spark's `BatchInfo`. */
export interface BatchInfo {
  readonly batchId: number;
  readonly batchTimeMs: number;
  /** Rows read from all sources. */
  readonly records: number;
  /** When its batch time had come and it could have started. */
  readonly submissionTimeMs: number;
  readonly processingStartTimeMs: number;
  readonly processingEndTimeMs: number;
  /** Start minus submission. */
  readonly schedulingDelayMs: number;
  /** End minus start: plan, operators, outputs, commit and publication. */
  readonly processingDelayMs: number;
  /** End minus batch time. */
  readonly totalDelayMs: number;
  /** True when its ranges had been recorded by an earlier driver. */
  readonly replayed: boolean;
  /** Records known to be waiting at the sources when the batch was planned, beyond its own. */
  readonly backlog: number;
  /** What its commit wrote to the checkpoint store, and the requests the store was sent during the batch. */
  readonly checkpoint: { readonly bytes: number; readonly operations: number };
}

/** What a driver found and restored when it started. */
export interface RecoveryInfo {
  /** Slot of the fence record this driver appended. */
  readonly slot: number;
  readonly epoch: number;
  /** False on the very first start of the stream. */
  readonly recovered: boolean;
  readonly lastBatchTimeMs: number;
  readonly stateKeys: number;
  readonly stateBytes: number;
  /** Log records read after the newest manifest. */
  readonly recordsRead: number;
  /** Outputs that had been committed but not published. */
  readonly republished: number;
  /** Batch times that passed while no driver ran, the recorded plan among them: they run first, in order. */
  readonly batchesToCatchUp: number;
  /** From the call of start() to the first batch being possible. */
  readonly tookMs: number;
}

/** A receiver of an input stream. Source: Spark's `ReceiverInfo`, without the place: receivers run in the driver. */
export interface ReceiverInfo {
  readonly streamId: number;
  /** Such as `SocketReceiver-0`. */
  readonly name: string;
  readonly active: boolean;
  readonly lastErrorMessage: string;
  /** Text of the error itself. */
  readonly lastError: string;
  /** -1: never. */
  readonly lastErrorTimeMs: number;
}

/** Receives what happened, afterwards. A listener that throws is reported and cannot hurt a batch. */
export interface StreamingListener {
  onStreamingStarted?(info: RecoveryInfo): void;
  onReceiverStarted?(info: ReceiverInfo): void;
  onReceiverError?(info: ReceiverInfo): void;
  onReceiverStopped?(info: ReceiverInfo): void;
  onBatchCompleted?(info: BatchInfo): void;
  onStreamingStopped?(error: Error | undefined): void;
}

type Call = (listener: StreamingListener) => unknown;

/** Hands events to the listeners, in order of registration. */
export class ListenerBus {
  readonly #listeners = new Set<StreamingListener>();
  readonly #report: (error: unknown) => void;

  /** `report`: told of what a listener threw. */
  constructor(report: (error: unknown) => void) {
    this.#report = report;
  }

  add(listener: StreamingListener): void {
    this.#listeners.add(listener);
  }

  remove(listener: StreamingListener): void {
    this.#listeners.delete(listener);
  }

  post(call: Call): void {
    for (const listener of this.#listeners) {
      try {
        const result = call(listener);
        // An async listener: nobody waits for it, and its rejection must not end the process.
        if (result instanceof Promise) result.catch(this.#report);
      } catch (error) {
        this.#report(error);
      }
    }
  }
}
