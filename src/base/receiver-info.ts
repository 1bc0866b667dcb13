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
