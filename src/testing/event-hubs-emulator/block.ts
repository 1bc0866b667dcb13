/** A run of consecutive records: the unit of the index, of reading from a file and of freeing memory. */
export interface Block {
  readonly firstSequenceNumber: number;
  readonly firstTimeMs: number;
  /** Offset of the first record: bytes stored in the partition before it, since the partition exists. */
  readonly firstOffset: number;
  count: number;
  bytes: number;
  /** Undefined when the block must be read from its file. */
  buffer: Buffer | undefined;
  readonly range: FileRange | undefined;
}

/** Where a block stands on disk. */
export interface FileRange {
  readonly segment: Segment;
  readonly position: number;
}

export interface Segment {
  readonly path: string;
  readonly firstSequenceNumber: number;
  readonly firstOffset: number;
  /** Bytes of the file, header included. */
  bytes: number;
}

/** The sequence number behind the block. */
export function endOf(block: Block): number {
  return block.firstSequenceNumber + block.count;
}
