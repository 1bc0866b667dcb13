import { setImmediate as nextTurn } from 'node:timers/promises';
import { SystemClock } from '../src/base/clock.ts';
import type { BodyFormat } from '../src/sources/event-hubs/event-hub-event.ts';
import { eventHubSource } from '../src/sources/event-hubs/event-hub-source.ts';

/** Drains a hub with the source of a stream, as an engine would: plan, read every partition as a task, commit. */
const { CONNECTION_STRING, HUB, TOTAL, WARM, FORMAT, BUFFER, READ_DIRECTLY, MEMORY } = process.env;
const heldBytes = (): number => {
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
};
const source = eventHubSource(
  {
    connectionString: CONNECTION_STRING,
    eventHubName: HUB,
    startingPosition: 'earliest',
    bufferEventsMax: Number(BUFFER),
    body: FORMAT as BodyFormat,
  },
  { env: {}, readDirectly: READ_DIRECTLY !== 'false' },
);
const before = heldBytes();
await source.start({ position: undefined, epoch: 1, clock: new SystemClock(), fail: (error) => console.error(error) });

if (MEMORY === 'true') {
  const buffered = (): number => source.statistics().reduce((sum, partition) => sum + partition.buffered, 0);
  while (buffered() < Number(BUFFER) * source.statistics().length) await nextTurn();
  const bytes = heldBytes() - before;
  process.send?.({ bytes, events: buffered() }, undefined, {}, () => process.exit(0));
} else {
  let seen = 0;
  let touched = 0;
  let startedAt = 0;
  let startedMs = 0;
  let creditMax = 0;
  let cpu = process.cpuUsage();
  while (seen < Number(TOTAL)) {
    const plan = await source.plan();
    for (let i = 0; i < plan.partitions.length; i++) {
      await source.read(plan, i, (chunk) => {
        for (const { body } of chunk)
          touched += FORMAT === 'json' ? (body as { seq: number }).seq : (body as Buffer)[0]!;
      });
    }
    source.committed(plan);
    seen += plan.records;
    if (startedMs === 0 && seen >= Number(WARM)) {
      startedAt = seen;
      startedMs = performance.now();
      cpu = process.cpuUsage();
    }
    for (const { buffered, credit } of source.statistics()) creditMax = Math.max(creditMax, buffered + credit);
    // Batches of some milliseconds.
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const { user, system } = process.cpuUsage(cpu);
  const run = { ms: performance.now() - startedMs, cpuUs: user + system, events: seen - startedAt, touched, creditMax };
  process.send?.(run, undefined, {}, () => process.exit(0));
}
