/**
 * The operations of the port, as they are counted and priced. A write that has to read back counts one `head` more;
 * a batch of deletes is one request.
 */
export const operationTypes = ['get', 'head', 'put', 'list', 'delete'] as const;
export type OperationType = (typeof operationTypes)[number];

export interface OperationCount {
  /** Requests sent, retries included. */
  requests: number;
  bytesWritten: number;
  bytesRead: number;
}

/** Counts since the store was opened. Cost is a tested property: tests compare two snapshots. */
export class OperationCounters {
  readonly #counts: Record<OperationType, OperationCount> = {
    get: { requests: 0, bytesWritten: 0, bytesRead: 0 },
    head: { requests: 0, bytesWritten: 0, bytesRead: 0 },
    put: { requests: 0, bytesWritten: 0, bytesRead: 0 },
    list: { requests: 0, bytesWritten: 0, bytesRead: 0 },
    delete: { requests: 0, bytesWritten: 0, bytesRead: 0 },
  };

  add(type: OperationType, bytesWritten = 0, bytesRead = 0): void {
    const count = this.#counts[type];
    count.requests += 1;
    count.bytesWritten += bytesWritten;
    count.bytesRead += bytesRead;
  }

  /** Bytes that an already counted request brought. */
  addBytesRead(type: OperationType, bytes: number): void {
    this.#counts[type].bytesRead += bytes;
  }

  /** Requests of all types. */
  total(): number {
    let total = 0;
    for (const type of operationTypes) total += this.#counts[type].requests;
    return total;
  }

  snapshot(): Readonly<Record<OperationType, Readonly<OperationCount>>> {
    const { get, head, put, list, delete: deletes } = this.#counts;
    return { get: { ...get }, head: { ...head }, put: { ...put }, list: { ...list }, delete: { ...deletes } };
  }
}
