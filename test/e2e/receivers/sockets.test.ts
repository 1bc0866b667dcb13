import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SystemClock } from '../../../src/base/clock.ts';
import type { ReceiverInfo } from '../../../src/base/receiver-info.ts';
import { Milliseconds } from '../../../src/base/time.ts';
import { encodeValue } from '../../../src/base/value-codec.ts';
import type { ReceiverSource } from '../../../src/sources/receiver/receiver-source.ts';
import { rawSocketSource, socketSource, socketTextSource } from '../../../src/sources/sockets/socket-source.ts';
import { rowsOf, startWith } from '../../unit/receivers/support.ts';

let server: Server;
let port: number;
let connections: Socket[];
let connected: (socket: Socket) => void;
const sources: { stop(): Promise<void> }[] = [];
const quick = { blockInterval: Milliseconds(10), restartDelay: Milliseconds(50) };

beforeEach(async () => {
  connections = [];
  connected = () => {};
  server = createServer((socket) => {
    connections.push(socket);
    socket.on('error', () => {});
    connected(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  port = (server.address() as AddressInfo).port;
});

afterEach(async () => {
  for (const source of sources.splice(0)) await source.stop();
  for (const socket of connections) socket.destroy();
  server.close();
});

async function started<T>(source: ReceiverSource<T>) {
  const events: { event: string; info: ReceiverInfo }[] = [];
  sources.push(source);
  await source.start({ ...startWith({}, { events }), clock: new SystemClock() });
  return { source, events };
}

function nextConnection(): Promise<Socket> {
  return new Promise((resolve) => {
    connected = resolve;
  });
}

/** Rows of as many plans as it takes. */
async function receive<T>(source: ReceiverSource<T>, count: number): Promise<T[]> {
  const rows: T[] = [];
  while (rows.length < count) {
    await expect.poll(() => source.backlog(), { timeout: 10_000, interval: 5 }).toBeGreaterThan(0);
    rows.push(...(await rowsOf(source, await source.plan(0))));
  }
  return rows;
}

test('input.socket-input-stream: lines sent one by one come out in order, however they are cut', async () => {
  const connection = nextConnection();
  const { source } = await started(socketTextSource('127.0.0.1', port, quick));
  const socket = await connection;
  const text = 'one\ntwo\r\nüber die Grenze\nfour\nfive\n';
  for (const byte of Buffer.from(text)) socket.write(new Uint8Array([byte]));
  expect(await receive(source, 5)).toEqual(['one', 'two', 'über die Grenze', 'four', 'five']);
});

test('a lost connection is made again after the delay, and what it brings is read', async () => {
  let connection = nextConnection();
  const { source, events } = await started(socketTextSource('127.0.0.1', port, quick));
  (await connection).end('before\n');
  connection = nextConnection();
  expect(await receive(source, 1)).toEqual(['before']);
  const second = await connection;
  connection = nextConnection();
  second.resetAndDestroy();
  (await connection).write('after\n');
  expect(await receive(source, 1)).toEqual(['after']);
  expect(events.filter(({ event }) => event === 'started')).toHaveLength(3);
  expect(events[1]!.info.lastErrorMessage).toContain('had no more data');
});

test('a server that is not there is reported and tried again', async () => {
  server.close();
  await once(server, 'close');
  const { events, source } = await started(socketTextSource('127.0.0.1', port, quick));
  await expect.poll(() => events.length, { timeout: 10_000 }).toBeGreaterThan(2);
  expect(events[1]).toMatchObject({
    event: 'stopped',
    info: { lastErrorMessage: expect.stringContaining('Error connecting') },
  });
  const connection = nextConnection();
  server.listen(port, '127.0.0.1');
  (await connection).write('at last\n');
  expect(await receive(source, 1)).toEqual(['at last']);
});

test('a server that never answers is given up after the timeout', async () => {
  // An address of a documentation network: nobody answers there, or the machine says at once that it has no way.
  const { events } = await started(socketTextSource('192.0.2.1', 9, { ...quick, connectTimeout: Milliseconds(100) }));
  await expect.poll(() => events.length, { timeout: 10_000 }).toBeGreaterThan(2);
  expect(events[1]!.info.lastErrorMessage).toBe('Restarting the receiver: Error connecting to 192.0.2.1:9');
});

test('a converter makes the rows, and one that throws makes the connection anew', async () => {
  let runs = 0;
  async function* lengths(chunks: AsyncIterable<Uint8Array>): AsyncIterable<number> {
    runs += 1;
    for await (const chunk of chunks) {
      if (runs === 1) throw new Error('cannot read this');
      yield chunk.length;
    }
  }
  let connection = nextConnection();
  const { source, events } = await started(socketSource('127.0.0.1', port, lengths, quick));
  const first = await connection;
  connection = nextConnection();
  first.write('bad');
  (await connection).write('good!');
  expect(await receive(source, 1)).toEqual([5]);
  expect(events[1]!.info).toMatchObject({ lastError: 'cannot read this' });
});

test('raw blocks arrive as they were sent, and one that is damaged makes the connection anew', async () => {
  let connection = nextConnection();
  const { source, events } = await started(rawSocketSource<[string, number]>('127.0.0.1', port, quick));
  const blocks = [
    [['a', 1]],
    [
      ['b', 2],
      ['c', 3],
    ],
  ];
  const send = (socket: Socket, bytes: Uint8Array): void => {
    const length = Buffer.alloc(4);
    length.writeInt32BE(bytes.length);
    socket.write(Buffer.concat([length, bytes]));
  };
  const socket = await connection;
  connection = nextConnection();
  for (const block of blocks) send(socket, encodeValue(block));
  expect(await receive(source, 3)).toEqual(blocks.flat());
  send(socket, encodeValue('no array'));
  send(await connection, encodeValue([['d', 4]]));
  expect(await receive(source, 1)).toEqual([['d', 4]]);
  expect(events.some(({ info }) => info.lastError.includes('not an array'))).toBe(true);
});

test('stopping closes the connection', async () => {
  const connection = nextConnection();
  const { source } = await started(socketTextSource('127.0.0.1', port, quick));
  const socket = await connection;
  const closed = once(socket, 'close');
  socket.resume();
  await source.stop();
  await closed;
});

test('addresses are checked', () => {
  expect(() => socketTextSource('', 1)).toThrow(/host/);
  expect(() => socketTextSource('localhost', 0)).toThrow(/port/);
});
