import { deserialize, serialize } from 'node:v8';
import { depthMax } from '../base/data-path.ts';
import { TidemarkError } from '../base/errors.ts';
import { decodeValueAt, encodeValue } from '../base/value-codec.ts';
import { packRows, unpackRows } from '../rdd/shuffle-dependency.ts';

/**
 * Rows on their way between threads: columns, in one buffer that is handed over without a copy.
 *
 * A column of texts, numbers and the like is what V8's own serialiser is fastest at; a column with objects in it goes
 * through the value codec, which is four times faster to read and refuses what would arrive as something else (an instance
 * of a class, a function). Figures: docs/workers.md.
 */
export type Columns = readonly (readonly unknown[])[];

// A block of the value codec has a bound of its own for state; here the bound is what a buffer can hold.
const columnBytesMax = 2 ** 30;

/** @param what names the operator, for the error. @throws VALUE_UNSUPPORTED, LIMIT_EXCEEDED */
export function encodeColumns(columns: Columns, what: string): Uint8Array<ArrayBuffer> {
  try {
    const parts = columns.map((column) => {
      if (column.every(isPrimitive)) return column;
      const bytes = encodeValue(column, { bytesMax: columnBytesMax });
      // The value codec knows no Buffers: they would arrive without their methods. It has refused what V8 would not.
      return holdsBuffer(column, depthMax) ? column : bytes;
    });
    return serialize(parts) as Uint8Array<ArrayBuffer>;
  } catch (error) {
    if (!(error instanceof TidemarkError)) throw error;
    throw new TidemarkError(error.code, `Rows of '${what}' cannot move to another worker thread: ${error.message}`, {
      cause: error,
      context: { ...error.context, operator: what },
    });
  }
}

export function decodeColumns(bytes: Uint8Array): Columns {
  const parts = deserialize(bytes) as (readonly unknown[] | Uint8Array)[];
  return parts.map((part) => {
    if (!(part instanceof Uint8Array)) return part;
    const buffer = Buffer.from(part.buffer, part.byteOffset, part.byteLength);
    return decodeValueAt(buffer, 0, buffer.length) as readonly unknown[];
  });
}

/** Results of an action, by partition. */
export function encodeResults(results: ReadonlyMap<number, unknown>, what: string): Uint8Array<ArrayBuffer> {
  try {
    // A copy: sent as a part of a larger buffer, all of that would be.
    return new Uint8Array(encodeValue([...results], { bytesMax: columnBytesMax }));
  } catch (error) {
    if (!(error instanceof TidemarkError)) throw error;
    throw new TidemarkError(
      error.code,
      `The result of an action on '${what}' cannot be given to the other workers: ${error.message}`,
      { cause: error },
    );
  }
}

function isPrimitive(value: unknown): boolean {
  switch (typeof value) {
    case 'object':
      return value === null;
    case 'function':
    case 'symbol':
      return false;
    default:
      return true;
  }
}

function holdsBuffer(value: unknown, depthLeft: number): boolean {
  if (typeof value !== 'object' || value === null || depthLeft === 0) return false;
  if (Array.isArray(value)) return value.some((item) => holdsBuffer(item, depthLeft - 1));
  if (ArrayBuffer.isView(value)) return Buffer.isBuffer(value);
  if (value instanceof Map) return holdsBuffer([...value].flat(), depthLeft - 1);
  if (value instanceof Set) return holdsBuffer([...value], depthLeft - 1);
  for (const name in value) {
    if (holdsBuffer((value as Record<string, unknown>)[name], depthLeft - 1)) return true;
  }
  return false;
}

/** Rows in a block. Small enough that a reader that has enough stops early, large enough to be worth a message. */
const rowsPerBlock = 4096;

/** Turns rows into blocks while they come: of a partition only its bytes are held. */
export class BlockWriter {
  readonly blocks: Uint8Array<ArrayBuffer>[] = [];
  readonly #what: string;
  #rows: unknown[] = [];

  constructor(what: string) {
    this.#what = what;
  }

  readonly push = (row: unknown): void => {
    if (this.#rows.push(row) >= rowsPerBlock) this.#cut();
  };

  finish(): Uint8Array<ArrayBuffer>[] {
    if (this.#rows.length > 0) this.#cut();
    return this.blocks;
  }

  #cut(): void {
    this.blocks.push(encodeColumns(packRows(this.#rows), this.#what));
    this.#rows = [];
  }
}

export function decodeRows(block: Uint8Array): readonly unknown[] {
  return unpackRows(decodeColumns(block));
}
