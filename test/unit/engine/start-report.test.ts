import { describe, expect, test } from 'vitest';
import { Seconds } from '../../../src/base/time.ts';
import { outboxSink } from '../../../src/sinks/outbox-sink.ts';
import { Receiver } from '../../../src/sources/receiver/receiver.ts';
import { receiverSource } from '../../../src/sources/receiver/receiver-source.ts';
import { StreamingContext } from '../../../src/streaming-context.ts';
import { MemoryTopic } from '../../../src/testing/memory-topic.ts';
import { numbers, Shelf, sum, TestStream } from './support.ts';

class NoReceiver extends Receiver<number> {
  override onStart(): void {}
  override onStop(): void {}
}

describe('what a start tells of its guarantees', () => {
  test('is one line per source and output that depends on it, with the weaker side and its reason', async () => {
    const stream = new TestStream();
    const driven = await stream.start((ssc) => {
      const events = ssc.sourceStream(numbers().source(), { uid: 'events' });
      const socket = ssc.sourceStream(receiverSource(new NoReceiver(), {}, 'socket'), { uid: 'socket' });
      events.saveTo(new Shelf().sink(), { uid: 'files' });
      events.saveTo(outboxSink(), { uid: 'feed' });
      events.saveTo({ sinkClass: 'idempotent', kind: 'k', description: 'd', write: async () => {} }, { uid: 'table' });
      events.saveTo(
        { sinkClass: 'transactional', kind: 'k', description: 'd', transaction: async () => {} },
        { uid: 'rows' },
      );
      events.saveTo({ ...new Shelf().sink(), guarantee: 'at most once' }, { uid: 'screen' });
      events.union(socket).foreachRDD(() => {}, { uid: 'mixed' });
      socket.saveTo(new Shelf().sink(), { uid: 'heard' });
      socket.print();
    });
    const table = driven.recovery!.guarantees.map(
      ({ source, output, guarantee }) => `${source} > ${output}: ${guarantee}`,
    );
    expect(table).toEqual([
      'events > files: exactly once',
      'events > feed: exactly once',
      'events > table: exactly once',
      'events > rows: exactly once',
      'events > screen: at most once',
      'events > mixed: at least once',
      'socket > mixed: none',
      'socket > heard: at most once',
      'socket > print-1: at most once',
    ]);
    const reasons = new Map(driven.recovery!.guarantees.map((path) => [`${path.source} ${path.output}`, path.why]));
    expect(reasons.get('events feed')).toContain('part of the record');
    expect(reasons.get('events mixed')).toContain('acts during the batch');
    expect(reasons.get('socket mixed')).toMatch(/lost in a crash; .*acts during the batch/);
    expect(reasons.get('socket heard')).toContain('lost in a crash');
    await driven.stop();
  });

  test('is at most once without a checkpoint', async () => {
    const stream = new TestStream();
    const context = stream.context();
    context.sourceStream(numbers().source(), { uid: 'events' }).saveTo(new Shelf().sink(), { uid: 'out' });
    let why: readonly string[] = [];
    context.addStreamingListener({
      onStreamingStarted: ({ guarantees }) => {
        why = guarantees.map((path) => `${path.guarantee}: ${path.why}`);
      },
    });
    await context.start();
    await context.stop();
    expect(why).toEqual([expect.stringContaining('at most once: there is no checkpoint')]);
  });

  test('names uids that were derived of sources, state and sinks, and not those of outputs that have no identity', async () => {
    const stream = new TestStream();
    const driven = await stream.start((ssc) => {
      const pairs = ssc.sourceStream(new MemoryTopic<readonly [string, number]>('t', 1).source());
      pairs.reduceByKeyAndWindow(sum, Seconds(2)).saveTo(new Shelf().sink());
      pairs.updateStateByKey((values) => values.length, { uid: 'given' }).foreachRDD(() => {});
      pairs.print();
    });
    expect(driven.recovery!.derivedUids).toEqual(['memory-topic-1', 'reduceByKeyAndWindow-1', 'saveTo-1']);
    await driven.stop();
  });

  test('is printed as a table, once per start, unless it is switched off', async () => {
    const stream = new TestStream();
    const start = async (startReport?: boolean): Promise<string[]> => {
      const reports: string[] = [];
      const context = await StreamingContext.getOrCreate(stream.store, () => {
        const ssc = new StreamingContext({
          appName: 'told',
          batchInterval: Seconds(1),
          startReport,
          environment: { clock: stream.clock, allowSeveral: true, report: (text) => reports.push(text) },
        });
        ssc.sourceStream(numbers().source()).saveTo(new Shelf().sink(), { uid: 'out' });
        return ssc;
      });
      await context.start();
      await context.stop();
      return reports;
    };
    expect(await start(false)).toEqual([]);
    const [report] = await start();
    expect(report).toMatch(/^'told' has started\. From source to output:\n {2}source +output +guarantee +why\n/);
    expect(report).toMatch(/\n {2}memory-topic-1 {2}out {5}exactly once {2}staged before the commit/);
    expect(report).toContain('Without a uid of their own: memory-topic-1.');
  });
});

test('an outbox without a checkpoint is refused', async () => {
  const context = new TestStream().context();
  context.sourceStream(numbers().source()).saveTo(outboxSink(), { uid: 'feed' });
  await expect(context.start()).rejects.toMatchObject({
    code: 'GRAPH_INVALID',
    message: expect.stringContaining("'feed'"),
  });
});
