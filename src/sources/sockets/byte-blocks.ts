import { TidemarkError } from '../../base/errors.ts';

const lengthBytes = 4;
/** Bytes of a block, without its length. */
export const blockBytesMax: number = 64 * 1024 * 1024;

/**
 * Blocks with their length in front (4 bytes, big-endian), however they were cut into chunks.
 * @throws LIMIT_EXCEEDED for a length beyond the bound, INPUT_MALFORMED when the bytes end within a block.
 */
export async function* readByteBlocks(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  let parts: Uint8Array[] = [];
  let available = 0;
  let wanted = lengthBytes;
  let isLength = true;
  for await (const chunk of chunks) {
    parts.push(chunk);
    available += chunk.length;
    if (available < wanted) continue;
    let bytes: Uint8Array = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
    while (bytes.length >= wanted) {
      const piece = bytes.subarray(0, wanted);
      bytes = bytes.subarray(wanted);
      if (isLength) {
        wanted = checkedLength(new DataView(piece.buffer, piece.byteOffset, lengthBytes).getInt32(0));
        isLength = false;
      } else {
        yield piece;
        wanted = lengthBytes;
        isLength = true;
      }
    }
    parts = [bytes];
    available = bytes.length;
  }
  if (available > 0 || !isLength) {
    throw new TidemarkError(
      'INPUT_MALFORMED',
      `The connection ended within a block: ${available} of ${wanted} bytes arrived.`,
    );
  }
}

function checkedLength(length: number): number {
  if (length >= 0 && length <= blockBytesMax) return length;
  throw new TidemarkError(
    'LIMIT_EXCEEDED',
    `A block says that it has ${length} bytes; 0 to ${blockBytesMax} are possible. Is it length-prefixed, big-endian?`,
  );
}
