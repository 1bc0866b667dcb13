import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import rhea from 'rhea';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import type { EventHubsEmulator } from '../../../src/testing/event-hubs-emulator.ts';
import {
  connectConsumer,
  connectProducer,
  earliest,
  hub,
  range,
  read,
  readEvents,
  sendNumbers,
  startEmulator,
} from './clients.ts';

/** What the SDK's own connections do before they attach links: a token for the hub. */
async function openConnection(emulator: EventHubsEmulator, options: object = {}): Promise<rhea.Connection> {
  const container = rhea.create_container();
  container.on('error', () => {});
  container.on('disconnected', () => {});
  const connection = container.connect({
    host: emulator.host,
    port: emulator.port,
    reconnect: false,
    username: 'anyone',
    ...options,
  } as rhea.ConnectionOptions);
  onTestFinished(() => {
    connection.close();
  });
  await once(connection, 'connection_open');
  const { status } = await request(connection, '$cbs', {
    body: await sasToken(emulator),
    application_properties: {
      operation: 'put-token',
      name: `sb://localhost/${hub}`,
      type: 'servicebus.windows.net:sastoken',
    },
  });
  expect(status).toBe(202);
  return connection;
}

async function sasToken(emulator: EventHubsEmulator): Promise<string> {
  const { createSasTokenProvider } = await import('@azure/core-amqp');
  const [, sharedAccessKeyName, sharedAccessKey] = /SharedAccessKeyName=(.*);SharedAccessKey=(.*);/.exec(
    emulator.connectionString,
  )!;
  const provider = createSasTokenProvider({
    sharedAccessKeyName: sharedAccessKeyName!,
    sharedAccessKey: sharedAccessKey!,
  });
  return (await provider.getToken(`sb://localhost/${hub}`)).token;
}

interface Answer {
  readonly status: number;
  readonly message: rhea.Message;
}

async function request(connection: rhea.Connection, address: string, message: object): Promise<Answer> {
  const replyTo = rhea.generate_uuid();
  const receiver = connection.open_receiver({ name: replyTo, source: { address }, target: { address: replyTo } });
  await once(receiver, 'receiver_open');
  const sender = connection.open_sender({ target: { address } });
  await once(sender, 'sendable');
  sender.send({ message_id: rhea.generate_uuid(), reply_to: replyTo, ...message } as unknown as rhea.Message);
  const [context] = (await once(receiver, 'message')) as [rhea.EventContext];
  return { status: context.message!.application_properties!['status-code'], message: context.message! };
}

interface RawReader {
  readonly receiver: rhea.Receiver;
  readonly messages: rhea.Message[];
  received(count: number): Promise<void>;
}

async function openReader(
  connection: rhea.Connection,
  selector = "amqp.annotation.x-opt-offset > '-1'",
  partition = '0',
  options: object = {},
): Promise<RawReader> {
  const receiver = connection.open_receiver({
    credit_window: 0,
    source: {
      address: `${hub}/ConsumerGroups/app/Partitions/${partition}`,
      filter: { 'apache.org:selector-filter:string': rhea.types.wrap_described(selector, 0x468c00000004) },
    },
    ...options,
  });
  const messages: rhea.Message[] = [];
  receiver.on('message', (context: rhea.EventContext) => messages.push(context.message!));
  await once(receiver, 'receiver_open');
  return {
    receiver,
    messages,
    received: (count) =>
      vi.waitFor(() => expect(messages.length).toBeGreaterThanOrEqual(count), { timeout: 10_000, interval: 5 }),
  };
}

const bodies = (reader: RawReader): unknown[] => reader.messages.map((message) => JSON.parse(message.body.content));

function frameSizes(bytes: Buffer): number[] {
  const sizes: number[] = [];
  for (let at = 0; at + 4 <= bytes.length; at += sizes.at(-1)!) sizes.push(bytes.readUInt32BE(at));
  return sizes;
}

describe('delivery', () => {
  it('keeps exactly to the credit given', async () => {
    const emulator = await startEmulator();
    await sendNumbers(connectProducer(emulator), '0', 0, 100);
    const reader = await openReader(await openConnection(emulator));
    reader.receiver.add_credit(7);
    await reader.received(7);
    // A round trip on the same connection: whatever was sent too much would have come before the answer.
    await request(reader.receiver.connection, '$management', { body: null, application_properties: {} });
    expect(bodies(reader)).toEqual(range(0, 7));
    reader.receiver.add_credit(5);
    await reader.received(12);
    await request(reader.receiver.connection, '$management', { body: null, application_properties: {} });
    expect(bodies(reader)).toEqual(range(0, 12));
  });

  it('goes on when a flow moves only the session window', async () => {
    const emulator = await startEmulator();
    const producer = connectProducer(emulator);
    for (let i = 0; i < 9000; i += 3000) await sendNumbers(producer, '0', i, i + 3000);
    const reader = await openReader(await openConnection(emulator));
    // All credit at once: further flows of this client are about the session's window of 2048 transfers only.
    reader.receiver.add_credit(9000);
    await reader.received(9000);
    expect(bodies(reader)).toEqual(range(0, 9000));
  });

  it('is pre-settled', async () => {
    const emulator = await startEmulator();
    await sendNumbers(connectProducer(emulator), '0', 0, 1);
    const reader = await openReader(await openConnection(emulator));
    reader.receiver.add_credit(1);
    const [context] = (await once(reader.receiver, 'message')) as [rhea.EventContext];
    expect(context.delivery!.remote_settled).toBe(true);
  });

  it('answers a drain once nothing is left', async () => {
    const emulator = await startEmulator();
    await sendNumbers(connectProducer(emulator), '0', 0, 3);
    const reader = await openReader(await openConnection(emulator));
    reader.receiver.add_credit(10);
    await reader.received(3);
    const drained = once(reader.receiver, 'receiver_drained');
    reader.receiver.drain_credit();
    await drained;
    expect(reader.messages).toHaveLength(3);
  });

  it('serves several links in one session', async () => {
    const emulator = await startEmulator();
    const producer = connectProducer(emulator);
    for (const id of range(0, 4)) await sendNumbers(producer, String(id), 0, 3000);
    const connection = await openConnection(emulator);
    const readers = await Promise.all(range(0, 4).map((id) => openReader(connection, undefined, String(id))));
    for (const reader of readers) reader.receiver.add_credit(3000);
    for (const reader of readers) {
      await reader.received(3000);
      expect(bodies(reader)).toEqual(range(0, 3000));
    }
  });

  it('splits events for a client with small frames', async () => {
    const emulator = await startEmulator();
    const body = Buffer.alloc(50_000, 3);
    await connectProducer(emulator).sendBatch([{ body }, { body }], { partitionId: '0' });
    const connection = await openConnection(emulator, { max_frame_size: 1024 });
    const reader = await openReader(connection);
    const chunks: Buffer[] = [];
    (connection as unknown as { socket: Socket }).socket.on('data', (bytes) => chunks.push(bytes));
    reader.receiver.add_credit(2);
    await reader.received(2);
    expect(reader.messages.every((message) => body.equals(message.body.content))).toBe(true);
    const sizes = frameSizes(Buffer.concat(chunks));
    expect(Math.max(...sizes)).toBeLessThanOrEqual(1024);
    expect(sizes.length).toBeGreaterThan(100);
  });

  it('refuses an epoch that is not a long, and accepts it as a long', async () => {
    const emulator = await startEmulator();
    const connection = await openConnection(emulator);
    const wrong = connection.open_receiver({
      source: { address: `${hub}/ConsumerGroups/app/Partitions/0` },
      properties: { 'com.microsoft:epoch': rhea.types.wrap_string('5') },
    } as rhea.ReceiverOptions);
    const [context] = (await once(wrong, 'receiver_error')) as [rhea.EventContext];
    expect(context.receiver!.error).toMatchObject({ condition: 'amqp:invalid-field' });
    await openReader(connection, undefined, '0', {
      properties: { 'com.microsoft:epoch': rhea.types.wrap_long(2 ** 40) },
    });
    expect(emulator.readerCount(hub, 0)).toBe(1);
  });
});

describe('sends', () => {
  it('of a single message keep its sections and types', async () => {
    const emulator = await startEmulator({ clock: new ManualClock(1_700_000_000_000) });
    const sender = (await openConnection(emulator)).open_sender({ target: { address: `${hub}/Partitions/1` } });
    await once(sender, 'sendable');
    sender.send({
      body: rhea.message.data_section(Buffer.from('single')),
      durable: true,
      message_annotations: { 'x-opt-partition-key': 'k', custom: rhea.types.wrap_byte(-3) },
      delivery_annotations: { gone: 1 },
      application_properties: { n: 1 },
      subject: 'a subject',
    } as unknown as rhea.Message);
    await once(sender, 'accepted');
    const [event] = await readEvents(connectConsumer(emulator), '1', earliest, 1);
    expect(event).toMatchObject({
      sequenceNumber: 0,
      partitionKey: 'k',
      properties: { n: 1 },
      systemProperties: { custom: -3, subject: 'a subject' },
    });
    expect(event!.body.toString()).toBe('single');
    expect(event!.getRawAmqpMessage().header).toMatchObject({ durable: true });
  });

  it('of bytes that are no message are rejected, and the link stays usable', async () => {
    const emulator = await startEmulator();
    const sender = (await openConnection(emulator)).open_sender({ target: { address: `${hub}/Partitions/0` } });
    await once(sender, 'sendable');
    for (const bytes of [Buffer.from([1, 2, 3]), Buffer.from([0, 0x53, 0x75, 0xb0, 0xff, 0, 0, 0]), Buffer.from([0])]) {
      const rejected = once(sender, 'rejected');
      sender.send(bytes, undefined, 0x80013700);
      const [context] = (await rejected) as [rhea.EventContext];
      expect(context.delivery!.remote_state!.error).toMatchObject({ condition: 'amqp:decode-error' });
    }
    const accepted = once(sender, 'accepted');
    sender.send({ body: 'value' } as unknown as rhea.Message);
    await accepted;
    expect(emulator.partitionProperties(hub, 0).nextSequenceNumber).toBe(1);
  });

  it('need a token for the hub', async () => {
    const emulator = await startEmulator();
    const container = rhea.create_container();
    container.on('disconnected', () => {});
    const connection = container.connect({ host: emulator.host, port: emulator.port, reconnect: false, username: 'x' });
    onTestFinished(() => {
      connection.close();
    });
    const sender = connection.open_sender({ target: { address: hub } });
    const [context] = (await once(sender, 'sender_error')) as [rhea.EventContext];
    expect(context.sender!.error).toMatchObject({ condition: 'amqp:unauthorized-access' });
  });
});

describe('a client that misbehaves', () => {
  /** The emulator must serve others as before. */
  async function stillServes(emulator: EventHubsEmulator): Promise<void> {
    const { nextSequenceNumber } = emulator.partitionProperties(hub, 3);
    await sendNumbers(connectProducer(emulator), '3', nextSequenceNumber, nextSequenceNumber + 2);
    await read(connectConsumer(emulator), '3', earliest).received(nextSequenceNumber + 2);
  }

  async function openSocket(emulator: EventHubsEmulator): Promise<Socket> {
    const socket = connect(emulator.port, emulator.host);
    socket.on('error', () => {});
    onTestFinished(() => {
      socket.destroy();
    });
    await once(socket, 'connect');
    return socket;
  }

  const amqpHeader = Buffer.from('AMQP\x00\x01\x00\x00', 'latin1');
  const frame = (channel: number, ...performative: number[]): Buffer => {
    const bytes = Buffer.from([0, 0, 0, 0, 2, 0, 0, channel, ...performative]);
    bytes.writeUInt32BE(bytes.length, 0);
    return bytes;
  };
  const open = frame(0, 0x00, 0x53, 0x10, 0xc0, 0x04, 0x01, 0xa1, 0x01, 0x78);
  const begin = frame(0, 0x00, 0x53, 0x11, 0xc0, 0x0a, 0x04, 0x40, 0x43, 0x70, 0, 0, 8, 0, 0x52, 0xff);
  const end = frame(0, 0x00, 0x53, 0x17, 0x45);
  const disposition = frame(0, 0x00, 0x53, 0x15, 0xc0, 0x07, 0x04, 0x41, 0x43, 0x43, 0x41);
  const close = frame(0, 0x00, 0x53, 0x18, 0x45);

  it.each<[string, Buffer]>([
    ['another protocol', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['a frame of an unknown type', Buffer.concat([amqpHeader, Buffer.from([0, 0, 0, 8, 2, 9, 0, 0])])],
    ['a frame that is no performative', Buffer.concat([amqpHeader, open, frame(0, 0x41, 0x41, 0x41)])],
    ['a frame larger than allowed', Buffer.concat([amqpHeader, open, Buffer.from([0x7f, 0, 0, 0, 2, 0, 0, 0, 0, 0])])],
    ['a second open', Buffer.concat([amqpHeader, open, open])],
  ])('by sending %s is cut off, and others are served', async (_name, bytes) => {
    const emulator = await startEmulator();
    const logged = vi.spyOn(console, 'error').mockImplementation(() => {});
    onTestFinished(() => logged.mockRestore());
    const socket = await openSocket(emulator);
    const closed = once(socket, 'close');
    socket.resume();
    socket.write(bytes);
    await closed;
    await stillServes(emulator);
  });

  it('by sending a disposition after the end of its session is not cut off', async () => {
    const emulator = await startEmulator();
    const socket = await openSocket(emulator);
    const received: Buffer[] = [];
    socket.on('data', (bytes) => received.push(bytes));
    socket.write(Buffer.concat([amqpHeader, open, begin, end]));
    const has = (code: number): Promise<void> =>
      vi.waitFor(() => expect(Buffer.concat(received).includes(Buffer.from([0x00, 0x53, code]))).toBe(true));
    await has(0x17);
    socket.write(disposition);
    const closed = once(socket, 'close');
    socket.write(close);
    // The orderly close is answered: the connection outlived the late frame.
    await has(0x18);
    await closed;
    await stillServes(emulator);
  });

  it('by vanishing in the middle of a message leaves nothing behind', async () => {
    const emulator = await startEmulator();
    const connection = await openConnection(emulator);
    const sender = connection.open_sender({ target: { address: `${hub}/Partitions/0` } });
    await once(sender, 'sendable');
    sender.send(Buffer.alloc(900_000), undefined, 0x80013700);
    (connection as unknown as { socket: Socket }).socket.destroy();
    await vi.waitFor(() => expect(emulator.connectionCount).toBe(0));
    expect(emulator.partitionProperties(hub, 0).nextSequenceNumber).toBe(0);
    await stillServes(emulator);
  });
});

it('stop leaves nothing that keeps the process alive', async () => {
  const folder = new URL('../../../', import.meta.url);
  const script = `
    import { EventHubProducerClient, EventHubConsumerClient } from '@azure/event-hubs';
    import { startEventHubsEmulator } from ${JSON.stringify(new URL('src/testing/event-hubs-emulator.ts', folder).href)};
    const emulator = await startEventHubsEmulator({ hubs: [{ name: 'h', partitionCount: 2 }] });
    const producer = new EventHubProducerClient(emulator.connectionString, 'h');
    await producer.sendBatch([{ body: 1 }], { partitionId: '0' });
    const consumer = new EventHubConsumerClient('$Default', emulator.connectionString, 'h');
    await new Promise((resolve) => consumer.subscribe('0', { processEvents: async (e) => { if (e.length > 0) resolve(); }, processError: async () => {} }, { startPosition: { offset: '-1' } }));
    emulator.faults.delayAccepts(100_000);
    await consumer.close();
    await producer.close();
    await emulator.stop();
    await emulator.stop();
    console.log('stopped');
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  const ended = once(child, 'exit');
  const [text] = (await once(child.stdout!.setEncoding('utf8'), 'data')) as [string];
  expect(text.trim()).toBe('stopped');
  expect(await ended).toEqual([0, null]);
});
