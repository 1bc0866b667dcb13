import type { LogCursor } from '../../../src/testing/event-hubs-emulator/log-cursor.ts';
import { AddedSections } from '../../../src/testing/event-hubs-emulator/service-annotations.ts';

/** The message the cursor stands on, as a reader gets it. */
export function delivered(cursor: LogCursor): Buffer {
  const { buffer, messageStart, messageEnd, headerSectionBytes } = cursor;
  const message = buffer.subarray(messageStart, messageEnd);
  if (!cursor.isPlain) return message;
  const added = new AddedSections(undefined);
  const bytes = added.forPlain(cursor.sequenceNumber, cursor.peekOffset(), cursor.peekTimeMs());
  return Buffer.concat([
    message.subarray(0, headerSectionBytes),
    added.bytes.subarray(0, bytes),
    message.subarray(headerSectionBytes),
  ]);
}
