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
