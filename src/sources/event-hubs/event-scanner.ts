import { plainValueEnd, readInt64, readUint32, type } from './amqp-plain-value.ts';

const section = {
  header: 0x70,
  deliveryAnnotations: 0x71,
  messageAnnotations: 0x72,
  properties: 0x73,
  applicationProperties: 0x74,
  data: 0x75,
} as const;

const sequenceNumberKey = Buffer.from('x-opt-sequence-number');
const offsetKey = Buffer.from('x-opt-offset');
const enqueuedTimeKey = Buffer.from('x-opt-enqueued-time');
const partitionKeyKey = Buffer.from('x-opt-partition-key');
const lastEnqueuedKey = Buffer.from('last_enqueued_sequence_number');

/**
 * Finds what an event is made of in an encoded message, without decoding more than numbers. One scanner is used for many
 * messages; its fields speak of the last one for which `scan` said yes.
 *
 * It says no to everything unusual (other sections, several data sections, descriptors in other encodings, values that are
 * not plain), and rhea's decoder decides then: whatever this scanner accepts, rhea accepts too and reads the same.
 */
export class EventScanner {
  sequenceNumber = 0;
  enqueuedTimeMs = 0;
  /** Positions of their values; -1 when there is no time. */
  sequenceNumberAt = -1;
  enqueuedTimeAt = -1;
  /** The offset if it is the decimal text of a number that comes back the same, else -1. */
  offset = -1;
  /** Position of the offset's value, -1 when there is none. */
  offsetAt = -1;
  /** Position of the partition key's value, -1 when there is none. */
  partitionKeyAt = -1;
  /** Last sequence number of the partition when the event was sent, -1 when the message doesn't say. */
  lastEnqueued = -1;
  lastEnqueuedAt = -1;
  /** More annotations than the four every event may carry. */
  hasOtherAnnotations = false;
  /** Positions of the sections' values, -1 for those that are absent. */
  deliveryAnnotationsAt = -1;
  annotationsAt = -1;
  propertiesAt = -1;
  applicationPropertiesAt = -1;
  /** From here on nothing is needed that lies before. */
  usedFrom = 0;
  bodyStart = 0;
  bodyEnd = 0;

  /** Number, offset, time and bytes are all there is to it. */
  get isBare(): boolean {
    return (
      !this.hasOtherAnnotations &&
      this.partitionKeyAt < 0 &&
      this.propertiesAt < 0 &&
      this.applicationPropertiesAt < 0 &&
      this.offset >= 0
    );
  }

  scan(bytes: Buffer, start: number, end: number): boolean {
    this.lastEnqueued = -1;
    this.lastEnqueuedAt = -1;
    this.deliveryAnnotationsAt = -1;
    this.annotationsAt = -1;
    this.propertiesAt = -1;
    this.applicationPropertiesAt = -1;
    this.usedFrom = start;
    let seen = 0;
    let at = start;
    while (at < end) {
      if (at + 3 >= end || bytes[at] !== 0 || bytes[at + 1] !== type.smallUlong) return false;
      const code = bytes[at + 2]!;
      // Each at most once: rhea lets the last one win, or makes a list of them.
      const flag = 1 << (code & 0xf);
      if ((seen & flag) !== 0) return false;
      seen |= flag;
      const valueAt = at + 3;
      switch (code) {
        case section.header:
          at = isList(bytes[valueAt]!) ? plainValueEnd(bytes, valueAt, end) : -1;
          break;
        case section.deliveryAnnotations:
          this.deliveryAnnotationsAt = valueAt;
          at = this.#scanDeliveryAnnotations(bytes, valueAt, end);
          if (seen === flag || seen === (flag | (1 << (section.header & 0xf)))) this.usedFrom = at;
          break;
        case section.messageAnnotations:
          this.annotationsAt = valueAt;
          at = this.#scanAnnotations(bytes, valueAt, end);
          break;
        case section.properties:
          at = isList(bytes[valueAt]!) ? plainValueEnd(bytes, valueAt, end) : -1;
          // Encoders like rhea write the section even if it says nothing.
          if (at >= 0 && !isListOfNulls(bytes, valueAt, at)) this.propertiesAt = valueAt;
          break;
        case section.applicationProperties:
          this.applicationPropertiesAt = valueAt;
          at = isMap(bytes[valueAt]!) ? plainValueEnd(bytes, valueAt, end) : -1;
          break;
        case section.data:
          at = this.#scanData(bytes, valueAt, end);
          break;
        default:
          return false;
      }
      if (at < 0) return false;
    }
    const needed = (1 << (section.messageAnnotations & 0xf)) | (1 << (section.data & 0xf));
    return (seen & needed) === needed;
  }

  #scanData(bytes: Buffer, at: number, end: number): number {
    if (bytes[at] === type.binary8 && at + 2 <= end) {
      this.bodyStart = at + 2;
      this.bodyEnd = at + 2 + bytes[at + 1]!;
    } else if (bytes[at] === type.binary32 && at + 5 <= end) {
      this.bodyStart = at + 5;
      this.bodyEnd = at + 5 + readUint32(bytes, at + 1);
    } else {
      return -1;
    }
    return this.bodyEnd <= end ? this.bodyEnd : -1;
  }

  #scanAnnotations(bytes: Buffer, at: number, end: number): number {
    const mapEnd = this.#beginMap(bytes, at, end);
    if (mapEnd < 0) return -1;
    let hasSequenceNumber = false;
    this.enqueuedTimeMs = 0;
    this.enqueuedTimeAt = -1;
    this.offset = -1;
    this.offsetAt = -1;
    this.partitionKeyAt = -1;
    this.hasOtherAnnotations = false;
    let next = this.#itemsAt;
    for (let i = 0; i < this.#items; i += 2) {
      const keyAt = next;
      const valueAt = keyEnd(bytes, keyAt, mapEnd);
      if (valueAt < 0) return -1;
      next = plainValueEnd(bytes, valueAt, mapEnd);
      if (next < 0) return -1;
      if (isKey(bytes, keyAt, sequenceNumberKey)) {
        this.sequenceNumber = readNumber(bytes, valueAt);
        if (this.sequenceNumber < 0) return -1;
        this.sequenceNumberAt = valueAt;
        hasSequenceNumber = true;
      } else if (isKey(bytes, keyAt, offsetKey)) {
        if (bytes[valueAt] !== type.string8) return -1;
        this.offsetAt = valueAt;
        this.offset = readDecimal(bytes, valueAt + 2, next);
      } else if (isKey(bytes, keyAt, enqueuedTimeKey)) {
        if (bytes[valueAt] !== type.timestamp) return -1;
        // Beyond what a Date holds it is NaN.
        this.enqueuedTimeMs = readInt64(bytes, valueAt + 1);
        this.enqueuedTimeAt = valueAt;
        if (Math.abs(this.enqueuedTimeMs) > 8.64e15) return -1;
      } else if (isKey(bytes, keyAt, partitionKeyKey)) {
        if (!isText(bytes[valueAt]!)) return -1;
        this.partitionKeyAt = valueAt;
      } else {
        if (!isOwnKey(bytes, keyAt + 2, valueAt)) return -1;
        this.hasOtherAnnotations = true;
      }
    }
    return next === mapEnd && hasSequenceNumber ? mapEnd : -1;
  }

  #scanDeliveryAnnotations(bytes: Buffer, at: number, end: number): number {
    const mapEnd = this.#beginMap(bytes, at, end);
    if (mapEnd < 0) return -1;
    let next = this.#itemsAt;
    for (let i = 0; i < this.#items; i += 2) {
      const keyAt = next;
      const valueAt = keyEnd(bytes, keyAt, mapEnd);
      if (valueAt < 0) return -1;
      next = plainValueEnd(bytes, valueAt, mapEnd);
      if (next < 0) return -1;
      if (isKey(bytes, keyAt, lastEnqueuedKey)) {
        this.lastEnqueued = readNumber(bytes, valueAt);
        if (this.lastEnqueued < 0) return -1;
        this.lastEnqueuedAt = valueAt;
      }
    }
    return next === mapEnd ? mapEnd : -1;
  }

  /** Contents of delivery annotations that no event is made of: numbers of eight bytes and short texts. */
  ignoredValues(bytes: Buffer): { readonly from: number; readonly to: number }[] {
    const found: { from: number; to: number }[] = [];
    if (this.deliveryAnnotationsAt < 0) return found;
    const end = this.#beginMap(bytes, this.deliveryAnnotationsAt, bytes.length);
    for (let at = this.#itemsAt; at < end; ) {
      const valueAt = keyEnd(bytes, at, end);
      at = plainValueEnd(bytes, valueAt, end);
      const code = bytes[valueAt];
      if (code === type.long || code === type.ulong || code === type.timestamp)
        found.push({ from: valueAt + 1, to: at });
      else if (code === type.string8) found.push({ from: valueAt + 2, to: at });
    }
    return found;
  }

  #itemsAt = 0;
  #items = 0;

  /** The end of the map at `at`; its first item and their number are in the fields above. */
  #beginMap(bytes: Buffer, at: number, end: number): number {
    if (bytes[at] === type.map8 && at + 3 <= end) {
      this.#itemsAt = at + 3;
      this.#items = bytes[at + 2]!;
      at += 2 + bytes[at + 1]!;
    } else if (bytes[at] === type.map32 && at + 9 <= end) {
      this.#itemsAt = at + 9;
      this.#items = readUint32(bytes, at + 5);
      at += 5 + readUint32(bytes, at + 1);
    } else {
      return -1;
    }
    return at <= end && this.#items % 2 === 0 ? at : -1;
  }
}

function isList(code: number): boolean {
  return code === type.list0 || code === type.list8 || code === type.list32;
}

function isListOfNulls(bytes: Buffer, at: number, end: number): boolean {
  const itemsAt = at + (bytes[at] === type.list32 ? 9 : bytes[at] === type.list8 ? 3 : 1);
  for (let i = itemsAt; i < end; i++) if (bytes[i] !== type.null) return false;
  return true;
}

function isMap(code: number): boolean {
  return code === type.map8 || code === type.map32;
}

function isText(code: number): boolean {
  return code === type.string8 || code === type.symbol8 || code === type.string32 || code === type.symbol32;
}

/** -1 for keys that are no short text. */
function keyEnd(bytes: Buffer, at: number, end: number): number {
  if (at + 2 > end || (bytes[at] !== type.symbol8 && bytes[at] !== type.string8)) return -1;
  const next = at + 2 + bytes[at + 1]!;
  return next <= end ? next : -1;
}

/** False for a key that makes no property of an object, or that rhea reads as another one because it drops the eighth bit. */
function isOwnKey(bytes: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (bytes[i]! > 0x7f) return false;
  return end - start !== 9 || bytes.toString('latin1', start, end) !== '__proto__';
}

function isKey(bytes: Buffer, at: number, key: Buffer): boolean {
  if (bytes[at + 1] !== key.length) return false;
  for (let i = 0; i < key.length; i++) if (bytes[at + 2 + i] !== key[i]) return false;
  return true;
}

/** A long that is no larger than a number holds exactly; -1 for everything else. */
function readNumber(bytes: Buffer, at: number): number {
  if (bytes[at] === type.smallLong) return bytes.readInt8(at + 1);
  return bytes[at] === type.long && readUint32(bytes, at + 1) < 0x200000 ? readInt64(bytes, at + 1) : -1;
}

/** -1 unless `String` of the number gives the same text back. */
function readDecimal(bytes: Buffer, at: number, end: number): number {
  const length = end - at;
  if (length === 0 || length > 15 || (bytes[at] === 0x30 && length > 1)) return -1;
  let number = 0;
  for (let i = at; i < end; i++) {
    const digit = bytes[i]! - 0x30;
    if (digit < 0 || digit > 9) return -1;
    number = number * 10 + digit;
  }
  return number;
}
