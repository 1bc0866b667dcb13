import { describe, expect, it } from 'vitest';
import { copyBytes } from '../../../src/sources/event-hubs/copy-bytes.ts';
import { type BodyFormat, decodeEvent } from '../../../src/sources/event-hubs/event-hub-event.ts';

const annotations = {
  'x-opt-sequence-number': 7,
  'x-opt-offset': '1024',
  'x-opt-enqueued-time': new Date(99_000),
  'x-opt-partition-key': 'device-1',
};
const data = (content: unknown) => ({ typecode: 0x75, content });
const bodyOf = (body: unknown, format: BodyFormat = 'json') =>
  decodeEvent({ body, message_annotations: annotations }, '3', format).body;

describe('an event', () => {
  it('carries what the service and the sender said about it, as plain data', () => {
    const message = {
      body: data(Buffer.from('{"t":21.5}')),
      message_annotations: {
        ...annotations,
        'iothub-connection-device-id': 'd1',
        'iothub-enqueuedtime': new Date(98_000),
      },
      application_properties: { kind: 'reading', at: new Date(97_000) },
      message_id: 'm-1',
      content_type: 'application/json',
    };
    expect(decodeEvent(message, '3', 'json')).toEqual({
      body: { t: 21.5 },
      properties: { kind: 'reading', at: 97_000 },
      systemProperties: {
        'iothub-connection-device-id': 'd1',
        'iothub-enqueuedtime': 98_000,
        messageId: 'm-1',
        contentType: 'application/json',
      },
      partitionId: '3',
      sequenceNumber: 7,
      offset: '1024',
      enqueuedTimeMs: 99_000,
      partitionKey: 'device-1',
    });
  });

  it.each<[string, BodyFormat, unknown]>([
    ['{"a":[1,null]}', 'json', { a: [1, null] }],
    ['"text"', 'json', 'text'],
    [' 12', 'json', 12],
    ['false', 'json', false],
    ['null', 'json', null],
    ['{broken', 'json', Buffer.from('{broken')],
    ['plain', 'json', Buffer.from('plain')],
    ['', 'json', Buffer.from('')],
    ['{"a":1}', 'bytes', Buffer.from('{"a":1}')],
    ['{"a":1}', 'text', '{"a":1}'],
  ])('with the bytes %j read as %s has the body %j', (bytes, format, body) => {
    expect(bodyOf(data(Buffer.from(bytes)), format)).toEqual(body);
  });

  it('hands on the values of other AMQP clients as they are', () => {
    expect(bodyOf({ typecode: 0x76, content: [1, new Date(5)] })).toEqual([1, 5]);
    expect(bodyOf('a value', 'bytes')).toBe('a value');
    expect(bodyOf({ temperature: 1 }, 'text')).toEqual({ temperature: 1 });
  });

  it('joins the pieces of a body that came in several data sections', () => {
    expect(bodyOf(data([Buffer.from('{"a"'), Buffer.from(':1}')]))).toEqual({ a: 1 });
  });

  it('shares no memory with the chunk it came in', () => {
    const chunk = Buffer.alloc(65_536, 'x');
    const message = {
      body: data(chunk.subarray(10, 20)),
      message_annotations: annotations,
      application_properties: { id: chunk.subarray(30, 40) },
    };
    for (const format of ['json', 'bytes'] as const) {
      const event = decodeEvent(message, '3', format);
      expect((event.body as Buffer).buffer).not.toBe(chunk.buffer);
      expect((event.properties.id as Buffer).buffer).not.toBe(chunk.buffer);
    }
  });

  it('keeps hardly more alive than its own bytes, and no two of them overlap', () => {
    const bytes = Buffer.alloc(100_000);
    for (let i = 0; i < bytes.length; i++) bytes[i] = i % 251;
    const sizes = [0, 1, 200, 2048, 2049, 8192, 65_536, ...Array.from({ length: 300 }, (_, i) => (i * 37) % 3000)];
    const copies = sizes.map((size) => copyBytes(bytes, size % 7, (size % 7) + size));
    for (const [i, size] of sizes.entries()) {
      expect(copies[i]!.equals(bytes.subarray(size % 7, (size % 7) + size))).toBe(true);
      expect(copies[i]!.buffer.byteLength).toBeLessThanOrEqual(Math.max(8192, size));
    }
  });

  it('is refused without a sequence number', () => {
    expect(() => decodeEvent({ body: data(Buffer.from('1')) }, '3', 'json')).toThrow('x-opt-sequence-number');
  });
});
