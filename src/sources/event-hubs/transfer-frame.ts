import { readUint32, type } from './amqp-plain-value.ts';

export const frameHeaderBytes = 8;

/** The performative of a transfer frame. One object reads many frames: its fields speak of the last one that was usual. */
export class TransferFrame {
  start = 0;
  end = 0;
  handle = 0;
  deliveryId = 0;
  deliveryIdAt = 0;
  /** The bytes of the delivery tag. */
  tagAt = 0;
  tagEnd = 0;
  payloadAt = 0;

  /** False unless it is a settled transfer in one frame, with nothing out of the ordinary. */
  parse(bytes: Buffer, start: number, end: number): boolean {
    // Frame header without extension, of type AMQP; described by small ulong 0x14; a list
    let at = start + frameHeaderBytes;
    if (end - start < 24 || bytes[start + 4] !== 2 || bytes[start + 5] !== 0) return false;
    if (bytes[at] !== 0 || bytes[at + 1] !== type.smallUlong || bytes[at + 2] !== 0x14) return false;
    let listEnd: number;
    let count: number;
    if (bytes[at + 3] === type.list8) {
      listEnd = at + 5 + bytes[at + 4]!;
      count = bytes[at + 5]!;
      at += 6;
    } else if (bytes[at + 3] === type.list32) {
      listEnd = at + 8 + readUint32(bytes, at + 4);
      count = readUint32(bytes, at + 8);
      at += 12;
    } else {
      return false;
    }
    if (listEnd >= end || count < 5 || count > 11) return false;

    const handleEnd = uintEnd(bytes, at);
    if (handleEnd < 0) return false;
    this.handle = readUint(bytes, at);
    const deliveryIdEnd = uintEnd(bytes, handleEnd);
    if (deliveryIdEnd < 0) return false;
    this.deliveryIdAt = handleEnd;
    this.deliveryId = readUint(bytes, handleEnd);
    if (bytes[deliveryIdEnd] !== type.binary8) return false;
    this.tagAt = deliveryIdEnd + 2;
    this.tagEnd = this.tagAt + bytes[deliveryIdEnd + 1]!;
    at = this.tagEnd;
    const formatEnd = uintEnd(bytes, at);
    if (formatEnd < 0 || readUint(bytes, at) !== 0) return false;
    if (bytes[formatEnd] !== type.true) return false;
    at = formatEnd + 1;
    // more, receiver's settle mode, state, resume, aborted: none of them; batchable is a hint.
    for (let field = 5; field < count; field++, at++) {
      const code = bytes[at];
      if (code === type.null || code === type.false || (field === 10 && code === type.true)) continue;
      return false;
    }
    this.start = start;
    this.end = end;
    this.payloadAt = listEnd;
    return at === listEnd;
  }
}

function uintEnd(bytes: Buffer, at: number): number {
  switch (bytes[at]) {
    case type.uint0:
      return at + 1;
    case type.smallUint:
      return at + 2;
    case type.uint:
      return at + 5;
    default:
      return -1;
  }
}

/** Of the three encodings {@link uintEnd} knows. */
function readUint(bytes: Buffer, at: number): number {
  switch (bytes[at]) {
    case type.uint0:
      return 0;
    case type.smallUint:
      return bytes[at + 1]!;
    default:
      return readUint32(bytes, at + 1);
  }
}
