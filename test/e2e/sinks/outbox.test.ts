import { expect, it } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { Seconds } from '../../../src/base/time.ts';
import type { OutboxPosition } from '../../../src/inspect/outbox-position.ts';
import { readOutbox } from '../../../src/inspect/read-outbox.ts';
import { outboxSink } from '../../../src/sinks/outbox-sink.ts';
import { StreamingContext } from '../../../src/streaming-context.ts';
import { MemoryTopic } from '../../../src/testing/memory-topic.ts';
import { useAzurite } from '../../support/azurite.ts';
import { DrivenStream } from '../../support/driven-stream.ts';

const azurite = useAzurite();

it('an outbox on Azurite is read by URL, in the record and in segments, and gone on from where it was', async () => {
  const url = `${azurite.newUrl()}/stream`;
  const storage = { connectionString: azurite.connectionString, createContainer: true };
  const clock = new ManualClock(0);
  const topic = new MemoryTopic<string>('words', 2);
  for (let t = 1000; t <= 6000; t += 1000) topic.send(t, (t / 1000) % 2, `small ${t}`, 'x'.repeat(t));
  const context = await StreamingContext.getOrCreate(
    url,
    () => {
      const ssc = new StreamingContext({
        appName: 'outbox',
        batchInterval: Seconds(1),
        // The larger half of the batches goes to segments.
        checkpoint: { inlineBytesMax: 3500 },
        environment: { clock, random: new SeededRandom(1), allowSeveral: true, warn: () => {} },
      });
      ssc.sourceStream(topic.source(), { uid: 'words' }).saveTo(outboxSink<string>(), { uid: 'feed' });
      return ssc;
    },
    storage,
  );
  const driven = new DrivenStream(context, clock, 1000);
  await context.start();
  const seen: string[] = [];
  let position: OutboxPosition | undefined;
  const read = async (): Promise<void> => {
    for await (const event of readOutbox<string>(url, 'feed', { from: position ?? 'earliest', waitMs: 0, storage })) {
      if (event.kind === 'batch') seen.push(...event.rows);
      position = JSON.parse(JSON.stringify(event.position));
    }
  };
  await driven.runTo(3000);
  await read();
  expect(seen).toHaveLength(6);
  await driven.runTo(6000);
  await driven.stop();
  await read();
  expect(seen).toEqual([1, 2, 3, 4, 5, 6].flatMap((n) => [`small ${n}000`, 'x'.repeat(n * 1000)]));
});
