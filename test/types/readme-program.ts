// The program of README.md, as it stands there; a test compares the two.
import { blobSink, Minutes, Seconds, StreamingContext } from '../../src/index.ts';

type Reading = { deviceId: string; temperature: number };

const ssc = await StreamingContext.getOrCreate('az://streams/thermostats', () => {
  const ssc = new StreamingContext({ appName: 'thermostats', batchInterval: Seconds(1) });
  ssc
    .eventHubStream({ eventHubName: 'telemetry', consumerGroup: 'averages', startingPosition: 'earliest' })
    .map((event) => event.body as Reading)
    .map((reading) => [reading.deviceId, { total: reading.temperature, count: 1 }])
    .reduceByKeyAndWindow(
      (a, b) => ({ total: a.total + b.total, count: a.count + b.count }),
      (a, b) => ({ total: a.total - b.total, count: a.count - b.count }),
      Minutes(1),
      Seconds(5),
      { uid: 'average', filter: ([, sum]) => sum.count > 0 },
    )
    .map(([device, sum]) => ({ device, average: sum.total / sum.count }))
    .saveTo(blobSink({ url: 'az://streams/averages' }), { uid: 'averages-out' }); // exactly once
  return ssc;
});
await ssc.start();
await ssc.awaitTermination();
