import { createHash, type Hash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';

// Some milliseconds of hashing or copying.
const bytesPerTurn = 2 * 1024 * 1024;

/**
 * What has to go over every byte of large objects, in pieces: after each the event loop has a turn, counted over all that
 * is done with one of these. Nobody may change the bytes meanwhile.
 */
export class ByteTurns {
  #sinceTurn = 0;

  /** 64 lower-case hexadecimal digits. */
  async sha256Hex(bytes: Uint8Array): Promise<string> {
    return (await this.#hash(createHash('sha256'), bytes)).digest('hex');
  }

  async md5(bytes: Uint8Array): Promise<Uint8Array> {
    return (await this.#hash(createHash('md5'), bytes)).digest();
  }

  async concat(parts: readonly Uint8Array[]): Promise<Uint8Array> {
    const all = Buffer.allocUnsafeSlow(parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of parts) {
      await this.#inPieces(part, (piece) => {
        all.set(piece, at);
        at += piece.length;
      });
    }
    return all;
  }

  async #hash(hash: Hash, bytes: Uint8Array): Promise<Hash> {
    await this.#inPieces(bytes, (piece) => hash.update(piece));
    return hash;
  }

  async #inPieces(bytes: Uint8Array, use: (piece: Uint8Array) => void): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const piece = bytes.subarray(at, at + bytesPerTurn - this.#sinceTurn);
      use(piece);
      at += piece.length;
      this.#sinceTurn += piece.length;
      if (this.#sinceTurn < bytesPerTurn) continue;
      this.#sinceTurn = 0;
      await setImmediate();
    }
  }
}
