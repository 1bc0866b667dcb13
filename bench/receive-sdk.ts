import { EventHubConsumerClient, type ReceivedEventData } from '@azure/event-hubs';

/** Drains a hub with the published client and touches every body. */
const { CONNECTION_STRING, HUB, TOTAL, WARM, FORMAT, BATCH, PREFETCH } = process.env;
const client = new EventHubConsumerClient('$Default', CONNECTION_STRING!, HUB!);
let seen = 0;
let touched = 0;
let startedAt = 0;
let startedMs = 0;
let cpu = process.cpuUsage();

client.subscribe(
  {
    processEvents: async (events: ReceivedEventData[]) => {
      for (const event of events) touched += FORMAT === 'json' ? event.body.seq : event.body[0];
      seen += events.length;
      if (startedMs === 0 && seen >= Number(WARM)) {
        startedAt = seen;
        startedMs = performance.now();
        cpu = process.cpuUsage();
      }
      if (seen < Number(TOTAL) || !process.connected) return;
      const { user, system } = process.cpuUsage(cpu);
      const run = { ms: performance.now() - startedMs, cpuUs: user + system, events: seen - startedAt, touched };
      process.send?.(run, undefined, {}, () => process.exit(0));
    },
    processError: async (error) => console.error(error.message),
  },
  {
    maxBatchSize: Number(BATCH),
    ...(PREFETCH === '' ? {} : { prefetchCount: Number(PREFETCH) }),
    maxWaitTimeInSeconds: 1,
    startPosition: { offset: '-1' },
    skipParsingBodyAsJson: FORMAT !== 'json',
  },
);
