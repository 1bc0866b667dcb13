import { TidemarkError } from '../../base/errors.ts';
import { decodeValue, encodeValue } from '../../base/value-codec.ts';
import type { Block } from './block-keeper.ts';
import type { BlockBytes } from './log-object.ts';

/** Rows as the value codec encodes an array. @throws VALUE_UNSUPPORTED, LIMIT_EXCEEDED */
export function encodeBlock<T>(block: Block<T>): BlockBytes {
  if ('rows' in block) return { payload: encodeValue(block.rows), records: block.rows.length };
  return { payload: block.bytes, records: block.records };
}

/** @throws VALUE_UNSUPPORTED when the bytes are not an encoded array. */
export function decodeBlock<T>(bytes: Uint8Array): T[] {
  let value: unknown;
  try {
    value = decodeValue(bytes);
  } catch (cause) {
    throw notABlock(bytes, cause);
  }
  if (!Array.isArray(value)) throw notABlock(bytes, undefined);
  return value as T[];
}

function notABlock(bytes: Uint8Array, cause: unknown): TidemarkError {
  return new TidemarkError(
    'VALUE_UNSUPPORTED',
    `${bytes.length} bytes given as a block of rows are not an array in MessagePack. Send each block as one encoded array of rows.`,
    { cause },
  );
}
