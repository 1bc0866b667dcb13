import { toError } from '../../base/errors.ts';
import { readByteBlocks } from './byte-blocks.ts';
import { SocketReceiver } from './socket-receiver.ts';

/** Blocks on their way to the log. */
const underWayMax = 10;

/** Stores each block of the connection as a block of the stream, without looking at its rows. */
export class RawSocketReceiver<T> extends SocketReceiver<T> {
  protected override async take(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const underWay: Promise<void>[] = [];
    for await (const block of readByteBlocks(chunks)) {
      const stored = this.storeBytes(block);
      // Seen at once, not only in its turn: the next block may be long in coming.
      stored.catch((error) => this.breakConnection(toError(error)));
      underWay.push(stored);
      if (underWay.length >= underWayMax) await underWay.shift();
    }
    for (const stored of underWay) await stored;
  }
}
