import { TidemarkError } from '../../base/errors.ts';
import { Duration } from '../../base/time.ts';
import { durationMs, type ReceiverOptions } from '../receiver/receiver-options.ts';
import { type ReceiverSource, receiverSource } from '../receiver/receiver-source.ts';
import { readLines } from './lines.ts';
import { RawSocketReceiver } from './raw-socket-receiver.ts';
import { RowSocketReceiver, type SocketAddress, type SocketConverter } from './socket-receiver.ts';

export interface SocketOptions extends ReceiverOptions {
  /** How long the server may take to accept a connection. Default 10 s. */
  readonly connectTimeout?: Duration | undefined;
}

/** The lines a server sends, in UTF-8. @throws OPTION_INVALID */
export function socketTextSource(host: string, port: number, options: SocketOptions = {}): ReceiverSource<string> {
  return socketSource(host, port, readLines, options);
}

/** What `convert` makes of the bytes a server sends. @throws OPTION_INVALID */
export function socketSource<T>(
  host: string,
  port: number,
  convert: SocketConverter<T>,
  options: SocketOptions = {},
): ReceiverSource<T> {
  const { connectTimeout, ...rest } = options;
  return receiverSource(new RowSocketReceiver(address(host, port, connectTimeout), convert), rest, 'socket');
}

/** Blocks of rows: each a length (4 bytes, big-endian) and a MessagePack array. @throws OPTION_INVALID */
export function rawSocketSource<T>(host: string, port: number, options: SocketOptions = {}): ReceiverSource<T> {
  const { connectTimeout, ...rest } = options;
  return receiverSource(new RawSocketReceiver<T>(address(host, port, connectTimeout)), rest, 'raw-socket');
}

function address(host: string, port: number, connectTimeout = new Duration(10_000)): SocketAddress {
  if (typeof host !== 'string' || host === '') {
    throw new TidemarkError(
      'OPTION_INVALID',
      `The host of a socket stream is ${JSON.stringify(host)}; give a name or an address.`,
    );
  }
  if (!Number.isSafeInteger(port) || port < 1 || port > 65_535) {
    throw new TidemarkError('OPTION_INVALID', `The port of a socket stream is ${port}; give a number from 1 to 65535.`);
  }
  return { host, port, connectTimeoutMs: durationMs('connectTimeout', connectTimeout, 1) };
}
