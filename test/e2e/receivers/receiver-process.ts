import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { runChild, tellParent } from '../../../scripts/demo/parent-channel.ts';
import { blobSink, Milliseconds, Receiver, StreamingContext } from '../../../src/index.ts';

/**
 * A stream in a process of its own, to be killed: takes messages from the broker of the test, acknowledges them when they
 * are durable, and writes them to blobs.
 */
const { CHECKPOINT_URL, OUTPUT_URL, STORAGE, BROKER_PORT } = process.env;
const storage = { connectionString: STORAGE, createContainer: true };

class BrokerReceiver extends Receiver<string> {
  #socket: Socket | undefined;

  override onStart(): void {
    const socket = connect({ host: '127.0.0.1', port: Number(BROKER_PORT) });
    this.#socket = socket;
    socket.on('error', (error) => this.#socket === socket && this.restart('connection lost', error, 100));
    const lines = createInterface({ input: socket });
    lines.on('error', () => {}); // Those of the socket, once more.
    lines.on('line', (line) => {
      this.storeAll([line]).then(
        () => socket.write(`${line}\n`),
        () => {}, // Not acknowledged: the broker gives it again.
      );
    });
  }

  override onStop(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }
}

await runChild(async () => {
  const ssc = await StreamingContext.getOrCreate(
    CHECKPOINT_URL!,
    () => {
      const context = new StreamingContext({
        appName: 'broker',
        batchInterval: Milliseconds(200),
        checkpoint: { manifestEveryRecords: 10 },
        startReport: false,
      });
      const lines = context.receiverStream(new BrokerReceiver(), { uid: 'broker' });
      lines.saveTo(blobSink({ url: OUTPUT_URL!, format: 'text', ...storage }), { uid: 'out' });
      // An output that acts during the batch makes its plan durable first: killed after that, the batch is replayed.
      lines.foreachRDD(async (rdd) => {
        await rdd.count();
      });
      return context;
    },
    storage,
  );
  ssc.addStreamingListener({
    onStreamingStarted: ({ epoch }) => void tellParent({ type: 'recovered', epoch }),
    onBatchCompleted: ({ records }) => void tellParent({ type: 'batch', records }),
  });
  process.on('message', () => void ssc.stop({ graceful: true }));
  await ssc.start();
  await ssc.awaitTermination();
  await tellParent({ type: 'stopped' });
});
