import { ArrivedEvents, form } from '../../../src/sources/event-hubs/arrived-events.ts';
import type { EventHubEvent } from '../../../src/sources/event-hubs/event-hub-event.ts';

export function eventOf(sequenceNumber: number, partitionId = '0'): EventHubEvent {
  return {
    body: { n: sequenceNumber },
    properties: {},
    systemProperties: {},
    partitionId,
    sequenceNumber,
    offset: String(sequenceNumber * 100),
    enqueuedTimeMs: 1_000 + sequenceNumber,
    partitionKey: undefined,
  };
}

/** Events with the same content as `eventOf` makes, as one read of a socket brings them. */
export function arrivedOf(sequenceNumbers: readonly number[], partitionId = '0', lastEnqueued = -1): ArrivedEvents {
  const arrived = new ArrivedEvents(partitionId, 'json');
  const bodies = sequenceNumbers.map((n) => Buffer.from(JSON.stringify({ n })));
  arrived.begin(Buffer.concat(bodies));
  let at = 0;
  for (const [i, n] of sequenceNumbers.entries()) {
    arrived.sequenceNumbers[i] = n;
    arrived.lastEnqueued[i] = lastEnqueued;
    arrived.enqueuedTimesMs[i] = 1_000 + n;
    arrived.offsets[i] = n * 100;
    arrived.forms[i] = form.bare;
    arrived.starts[i] = at;
    at += bodies[i]!.length;
    arrived.ends[i] = at;
    arrived.count++;
  }
  return arrived;
}
