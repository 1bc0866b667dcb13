import { connect, type Socket } from 'node:net';
import { TidemarkError } from '../../base/errors.ts';
import { Receiver } from '../receiver/receiver.ts';

export interface SocketAddress {
  readonly host: string;
  readonly port: number;
  /** How long the other side may take to accept. */
  readonly connectTimeoutMs: number;
}

/**
 * Connects to a server and stores what it sends. A connection that cannot be made, is lost, or brings something that
 * cannot be read, is made again after the restart delay. What was in flight then is lost: a socket cannot be asked again.
 */
export abstract class SocketReceiver<T> extends Receiver<T> {
  readonly #address: SocketAddress;
  /** The present connection; another one, and the loop of the last one leaves. */
  #socket: Socket | undefined;

  constructor(address: SocketAddress) {
    super();
    this.#address = address;
  }

  /** Stores all that comes; ends with the chunks. */
  protected abstract take(chunks: AsyncIterable<Uint8Array>): Promise<void>;

  override onStart(): void {
    const { host, port } = this.#address;
    const socket = connect({ host, port, keepAlive: true });
    this.#socket = socket;
    void this.#receive(socket);
  }

  override onStop(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.destroy();
  }

  /** Ends the present connection as if it had failed with this error: `take` gets it from its chunks. */
  protected breakConnection(error: Error): void {
    this.#socket?.destroy(error);
  }

  async #receive(socket: Socket): Promise<void> {
    const place = `${this.#address.host}:${this.#address.port}`;
    let isConnected = false;
    try {
      await this.#connected(socket);
      isConnected = true;
      await this.take(socket);
      if (this.#socket === socket) this.restart(`The stream of ${place} had no more data`);
    } catch (error) {
      const what = isConnected ? 'Error receiving data from' : 'Error connecting to';
      if (this.#socket === socket) this.restart(`${what} ${place}`, error);
    } finally {
      socket.destroy();
    }
  }

  #connected(socket: Socket): Promise<void> {
    const { host, port, connectTimeoutMs } = this.#address;
    return new Promise((resolve, reject) => {
      socket.setTimeout(connectTimeoutMs, () => {
        reject(
          new TidemarkError('SOURCE_UNAVAILABLE', `${host}:${port} did not answer within ${connectTimeoutMs} ms.`),
        );
      });
      socket.once('connect', () => {
        socket.setTimeout(0);
        resolve();
      });
      // Stays: an error after the iteration has ended must not end the process.
      socket.on('error', reject);
      socket.once('close', () => reject(new TidemarkError('CANCELLED', 'The connection was closed.')));
    });
  }
}

/** What makes rows of a connection's bytes. It may keep a chunk; it ends when the chunks end. */
export type SocketConverter<T> = (chunks: AsyncIterable<Uint8Array>) => AsyncIterable<T> | Iterable<T>;

/** Stores rows one by one: not reliable, and rate limited. */
export class RowSocketReceiver<T> extends SocketReceiver<T> {
  readonly #convert: SocketConverter<T>;

  constructor(address: SocketAddress, convert: SocketConverter<T>) {
    super(address);
    this.#convert = convert;
  }

  protected override async take(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const row of this.#convert(chunks)) await this.store(row);
  }
}
