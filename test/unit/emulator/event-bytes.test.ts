import fc from 'fast-check';
import rhea from 'rhea';
import { describe, expect, it } from 'vitest';
import { MalformedMessage } from '../../../src/testing/event-hubs-emulator/encoded-values.ts';
import { addedBytesMax, EventWriter } from '../../../src/testing/event-hubs-emulator/event-writer.ts';
import { batchFormat, SentEvents } from '../../../src/testing/event-hubs-emulator/sent-events.ts';
import { AddedSections, encodeRuntimeMetrics } from '../../../src/testing/event-hubs-emulator/service-annotations.ts';

const stamp = { sequenceNumber: 2 ** 40 + 5, offset: 123_456, enqueuedTimeMs: 1_700_000_000_123 };

function encode(message: object): Buffer {
  return rhea.message.encode(message as never);
}

const writer = new EventWriter();
const added = new AddedSections(undefined);

/** Every event as a reader gets it; each must stay within what it was given. */
function written(send: SentEvents, { sequenceNumber, offset, enqueuedTimeMs } = stamp): Buffer[] {
  return Array.from({ length: send.count }, (_, i) => {
    const sent = send.bounds[2 * i + 1]! - send.bounds[2 * i]!;
    const target = Buffer.alloc(7 + sent + addedBytesMax(send.partitionKey), 0xee);
    const end = writer.write(send, i, sequenceNumber, offset, enqueuedTimeMs, target, 7);
    expect(end).toBeLessThanOrEqual(target.length);
    if (!writer.isPlain) return target.subarray(7, end);
    const restAt = 7 + writer.headerBytes;
    const bytes = added.forPlain(sequenceNumber, offset, enqueuedTimeMs);
    return Buffer.concat([target.subarray(7, restAt), added.bytes.subarray(0, bytes), target.subarray(restAt, end)]);
  });
}

function decode(bytes: Buffer): Record<string, unknown> {
  return rhea.message.decode(bytes) as unknown as Record<string, unknown>;
}

function spliced(message: object): Record<string, unknown> {
  return decode(written(new SentEvents(encode(message), 0))[0]!);
}

function inBatch(message: object, partitionKey: string): Record<string, unknown> {
  const envelope = {
    body: rhea.message.data_sections([encode(message)]),
    message_annotations: { 'x-opt-partition-key': partitionKey },
  };
  return decode(written(new SentEvents(encode(envelope), batchFormat))[0]!);
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
    expect(inBatch({ body: 'v' }, longKey)).toMatchObject({ message_annotations: { 'x-opt-partition-key': longKey } });
    const own = { body: 'v', message_annotations: { 'x-opt-partition-key': 'own' } };
    expect(inBatch(own, longKey)).toMatchObject({ message_annotations: { 'x-opt-partition-key': 'own' } });
  });
});

it.each([0, 9, 10, 2 ** 31 - 1, 2 ** 31, 99_999_999_999, Number.MAX_SAFE_INTEGER])(
  'an offset of %d is written as its digits',
  (offset) => {
    const [event] = written(new SentEvents(encode({ body: 'v' }), 0), { ...stamp, offset });
    expect(decode(event!)).toEqual({ body: 'v', message_annotations: { ...service, 'x-opt-offset': String(offset) } });
  },
);

describe('a batch', () => {
  it('is taken apart into its events, with the key of its envelope', () => {
    const events = ['a', 'b', 'c'].map((body) => encode({ body, message_annotations: {} }));
    const bytes = encode({
      body: rhea.message.data_sections(events),
      message_annotations: { 'x-opt-partition-key': 'schlüssel' },
    });
    const send = new SentEvents(bytes, batchFormat);
    expect(send.partitionKey).toBe('schlüssel');
    expect(send.producer).toBeUndefined();
    expect(written(send).map((event) => decode(event).body)).toEqual(['a', 'b', 'c']);
  });

  it('carries the numbers of an idempotent producer', () => {
    const annotations = {
      'com.microsoft:producer-id': rhea.types.wrap_long(7),
      'com.microsoft:producer-epoch': rhea.types.wrap_short(2),
      'com.microsoft:producer-sequence-number': rhea.types.wrap_int(300),
    };
    const bytes = encode({ body: rhea.message.data_sections([encode({ body: 1 })]), message_annotations: annotations });
    expect(new SentEvents(bytes, batchFormat).producer).toEqual({ id: 7, epoch: 2, sequence: 300 });
    // Of the first event when the envelope says nothing.
    const event = encode({ body: 1, message_annotations: annotations });
    const bare = encode({ body: rhea.message.data_sections([event, encode({ body: 2 })]) });
    expect(new SentEvents(bare, batchFormat).producer).toEqual({ id: 7, epoch: 2, sequence: 300 });
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
        written(new SentEvents(cut, 0));
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedMessage);
      }
    }
  });

  it('with flipped bytes are refused or stay inside the buffer', () => {
    const bytes = encode({ body: rhea.message.data_sections([encode({ body: 'x', message_annotations: { a: 1 } })]) });
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const damaged = Buffer.from(bytes);
        damaged[at]! ^= flip;
        try {
          written(new SentEvents(damaged, batchFormat));
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedMessage);
        }
      }),
      { numRuns: 3000 },
    );
  });

  it.each([
    ['sections out of order', Buffer.concat([encode({ body: 1 }), encode({ body: 2, durable: true })])],
    ['a section twice', Buffer.concat([Buffer.from([0, 0x53, 0x70, 0x45]), encode({ body: 2, durable: true })])],
    ['annotations that are no map', Buffer.from([0, 0x53, 0x72, 0x41])],
    ['annotations without an end', Buffer.from([0, 0x53, 0x72, 0xc1, 1, 2])],
    ['annotations with more than they say', Buffer.from([0, 0x53, 0x72, 0xc1, 2, 0, 0x41])],
    ['an unknown section', Buffer.from([0, 0x53, 0x60, 0x41])],
    ['descriptors without end', Buffer.alloc(100)],
  ])('%s are refused', (_name, bytes) => {
    expect(() => written(new SentEvents(bytes, 0))).toThrow(MalformedMessage);
    const batch = encode({ body: rhea.message.data_sections([encode({ body: 1 }), bytes]) });
    expect(() => written(new SentEvents(batch, batchFormat))).toThrow(MalformedMessage);
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
