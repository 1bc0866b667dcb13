import fc from 'fast-check';
import rhea from 'rhea';
import { describe, expect, it } from 'vitest';
import {
  batchFormat,
  encodeRuntimeMetrics,
  eventBytesMax,
  MalformedMessage,
  parseSend,
  writeEvent,
} from '../../../src/testing/event-hubs-emulator/event-bytes.ts';

const stamp = {
  sequenceNumber: 2 ** 40 + 5,
  offset: 123_456,
  enqueuedTimeMs: 1_700_000_000_123,
  partitionKey: undefined,
};

function encode(message: object): Buffer {
  return rhea.message.encode(message as never);
}

function spliced(message: object, partitionKey?: string): Record<string, unknown> {
  const bytes = encode(message);
  const send = parseSend(bytes, 0);
  const target = Buffer.alloc(eventBytesMax(send.events[0]!, partitionKey) + 7);
  const end = writeEvent(bytes, send.events[0]!, { ...stamp, partitionKey }, target, 7);
  expect(end).toBeLessThanOrEqual(target.length);
  return rhea.message.decode(target.subarray(7, end)) as unknown as Record<string, unknown>;
}

const service = {
  'x-opt-sequence-number': 2 ** 40 + 5,
  'x-opt-offset': '123456',
  'x-opt-enqueued-time': new Date(1_700_000_000_123),
};

const scalar = fc.oneof(
  fc.string({ maxLength: 300 }),
  fc.integer(),
  fc.boolean(),
  fc.double({ noNaN: true }).filter((n) => !Number.isInteger(n)),
);
const annotationKey = fc.stringMatching(/^[a-z-]{1,20}$/).filter((key) => key !== '__proto__');
const message = fc.record(
  {
    body: fc.uint8Array({ maxLength: 400 }).map((bytes) => rhea.message.data_section(Buffer.from(bytes))),
    durable: fc.boolean(),
    priority: fc.integer({ min: 0, max: 9 }),
    message_annotations: fc.dictionary(annotationKey, scalar, { maxKeys: 5 }),
    application_properties: fc.dictionary(annotationKey, scalar, { maxKeys: 5 }),
    message_id: fc.string({ maxLength: 40 }),
    subject: fc.string({ maxLength: 300 }),
    footer: fc.dictionary(annotationKey, scalar, { minKeys: 1, maxKeys: 2 }),
  },
  { requiredKeys: ['body'] },
);

describe('an event as written for readers', () => {
  it('is what was sent plus the annotations of the service', () => {
    fc.assert(
      fc.property(message, (sent) => {
        const plain = rhea.message.decode(encode(sent)) as unknown as Record<string, unknown>;
        const expected = { ...plain, message_annotations: { ...(plain.message_annotations as object), ...service } };
        expect({ ...spliced(sent) }).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });

  it('loses delivery annotations and annotations only the service may set', () => {
    const event = spliced({
      body: 'v',
      delivery_annotations: { hop: 1 },
      message_annotations: { 'x-opt-offset': 'forged', 'x-opt-sequence-number': 1, 'x-opt-enqueued-time': 2, mine: 3 },
    });
    expect(event).toEqual({ body: 'v', message_annotations: { ...service, mine: 3 } });
  });

  it('gets the partition key of the batch, unless it has one', () => {
    const longKey = 'k'.repeat(300);
    expect(spliced({ body: 'v' }, longKey)).toMatchObject({ message_annotations: { 'x-opt-partition-key': longKey } });
    const own = { body: 'v', message_annotations: { 'x-opt-partition-key': 'own' } };
    expect(spliced(own, longKey)).toMatchObject({ message_annotations: { 'x-opt-partition-key': 'own' } });
  });
});

describe('a batch', () => {
  it('is taken apart into its events, with the key of its envelope', () => {
    const events = ['a', 'b', 'c'].map((body) => encode({ body, message_annotations: {} }));
    const bytes = encode({
      body: rhea.message.data_sections(events),
      message_annotations: { 'x-opt-partition-key': 'schlüssel' },
    });
    const send = parseSend(bytes, batchFormat);
    expect(send.partitionKey).toBe('schlüssel');
    expect(send.producer).toBeUndefined();
    expect(send.events.map((event) => bytes.subarray(event.restStart, event.restEnd))).toEqual(
      events.map((event) => event.subarray(event.length - send.events[0]!.restEnd + send.events[0]!.restStart)),
    );
  });

  it('carries the numbers of an idempotent producer', () => {
    const annotations = {
      'com.microsoft:producer-id': rhea.types.wrap_long(7),
      'com.microsoft:producer-epoch': rhea.types.wrap_short(2),
      'com.microsoft:producer-sequence-number': rhea.types.wrap_int(300),
    };
    const bytes = encode({ body: rhea.message.data_sections([encode({ body: 1 })]), message_annotations: annotations });
    expect(parseSend(bytes, batchFormat).producer).toEqual({ id: 7, epoch: 2, sequence: 300 });
  });
});

describe('bytes that are no message', () => {
  it('cut anywhere are refused or parse as a shorter message, and never read beyond the end', () => {
    const bytes = encode({
      body: rhea.message.data_section(Buffer.alloc(300)),
      durable: true,
      message_annotations: { a: 'b' },
    });
    for (let length = 0; length < bytes.length; length++) {
      const cut = bytes.subarray(0, length);
      try {
        const [event] = parseSend(cut, 0).events;
        expect(event!.restEnd).toBeLessThanOrEqual(length);
      } catch (error) {
        expect(error instanceof MalformedMessage || error instanceof RangeError).toBe(true);
      }
    }
  });

  it('with flipped bytes are refused or stay inside the buffer', () => {
    const bytes = encode({ body: rhea.message.data_sections([encode({ body: 'x', message_annotations: { a: 1 } })]) });
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const damaged = Buffer.from(bytes);
        damaged[at]! ^= flip;
        let send: ReturnType<typeof parseSend>;
        try {
          send = parseSend(damaged, batchFormat);
        } catch (error) {
          expect(error instanceof MalformedMessage || error instanceof RangeError).toBe(true);
          return;
        }
        for (const event of send.events) {
          const target = Buffer.alloc(eventBytesMax(event, send.partitionKey));
          writeEvent(damaged, event, { ...stamp, partitionKey: send.partitionKey }, target, 0);
        }
      }),
      { numRuns: 3000 },
    );
  });

  it.each([
    ['sections out of order', Buffer.concat([encode({ body: 1 }), encode({ body: 2, durable: true })])],
    ['a section twice', Buffer.concat([Buffer.from([0, 0x53, 0x70, 0x45]), encode({ body: 2, durable: true })])],
    ['annotations that are no map', Buffer.from([0, 0x53, 0x72, 0x41])],
    ['an unknown section', Buffer.from([0, 0x53, 0x60, 0x41])],
    ['descriptors without end', Buffer.alloc(100)],
  ])('%s are refused', (_name, bytes) => {
    expect(() => parseSend(bytes, 0)).toThrow(MalformedMessage);
  });
});

it('runtime metrics decode to what the SDK reads', () => {
  const bytes = encodeRuntimeMetrics({
    lastSequenceNumber: -1,
    lastOffset: '-1',
    lastEnqueuedTimeMs: 0,
    retrievalTimeMs: 1_700_000_000_000,
  });
  expect(rhea.message.decode(bytes)).toMatchObject({
    delivery_annotations: {
      last_enqueued_sequence_number: -1,
      last_enqueued_offset: '-1',
      last_enqueued_time_utc: new Date(0),
      runtime_info_retrieval_time_utc: new Date(1_700_000_000_000),
    },
  });
});
