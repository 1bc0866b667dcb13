import { afterEach, describe, expect, test } from 'vitest';
import { TidemarkError } from '../../../src/base/errors.ts';
import { Seconds } from '../../../src/base/time.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import { StreamingContext } from '../../../src/streaming-context.ts';
import { MemoryTopic } from '../../../src/testing/memory-topic.ts';
import { errorOf } from '../engine/support.ts';
import { printingContext, testContext } from './support.ts';

afterEach(async () => {
  await StreamingContext.getActive()?.stop();
});

describe('the active context', () => {
  test('is the one that runs, from a start that succeeded to its stop', async () => {
    const context = printingContext();
    expect([StreamingContext.getActive(), context.getState()]).toEqual([undefined, 'INITIALIZED']);
    const starting = context.start();
    expect(StreamingContext.getActive()).toBeUndefined();
    await starting;
    expect(StreamingContext.getActive()).toBe(context);
    expect(context.getState()).toBe('ACTIVE');
    await context.stop();
    expect([StreamingContext.getActive(), context.getState()]).toEqual([undefined, 'STOPPED']);
  });

  test('is the only one: another start is refused with its name, and possible once it has stopped', async () => {
    const first = printingContext({ appName: 'first' });
    const second = printingContext({ appName: 'second' });
    const starting = first.start();
    expect((await errorOf(second.start())).message).toMatch(/'first' is starting/);
    await starting;
    const error = await errorOf(second.start());
    expect(error).toMatchObject({ code: 'STATUS_INVALID', context: { active: 'first' } });
    expect(error.message).toMatch(/'second' cannot start: only one.*'first' is active.*Stop it first/);
    expect(second.status).toBe('initialized');
    await first.stop();
    await second.start();
    expect(StreamingContext.getActive()).toBe(second);
  });

  test('is not one whose start failed, and the next one may start', async () => {
    const empty = testContext();
    expect(await errorOf(empty.start())).toMatchObject({ code: 'GRAPH_INVALID' });
    expect(empty.getState()).toBe('STOPPED');
    expect(StreamingContext.getActive()).toBeUndefined();
    await printingContext().start();
  });

  test('is not one that failed', async () => {
    const context = testContext();
    context
      .sourceStream({
        ...new MemoryTopic<number>('x', 1).source(),
        kind: 'failing',
        identity: {},
        start: async ({ fail }) => void queueMicrotask(() => fail(new TidemarkError('SOURCE_FENCED', 'Taken.'))),
        position: () => 0,
        plan: async () => ({ partitions: [], position: 0, records: 0 }),
        backlog: () => 0,
        stop: async () => {},
      })
      .print();
    await context.start().catch(() => {});
    expect(await errorOf(context.awaitTermination())).toMatchObject({ code: 'SOURCE_FENCED' });
    expect(StreamingContext.getActive()).toBeUndefined();
  });

  test('is never one that is allowed beside others', async () => {
    const first = printingContext();
    const beside = printingContext({ environment: { allowSeveral: true } });
    await first.start();
    await beside.start();
    expect(StreamingContext.getActive()).toBe(first);
    await beside.stop();
    expect(StreamingContext.getActive()).toBe(first);
  });
});

describe('getActiveOrCreate', () => {
  test('ssc.getactiveorcreate-with-checkpoint: the active one wins, else the checkpoint, else create; damage is an error', async () => {
    const store = new MemoryStore();
    const seen: string[] = [];
    const create = (name: string) => () => {
      seen.push(name);
      return printingContext({ appName: name });
    };
    const fresh = await StreamingContext.getActiveOrCreate(store, create('fresh'));
    await fresh.start();
    expect(await StreamingContext.getActiveOrCreate(store, create('unused'))).toBe(fresh);
    expect(await StreamingContext.getActiveOrCreate(create('unused'))).toBe(fresh);
    await fresh.stop();

    const again = await StreamingContext.getActiveOrCreate(store, create('again'));
    let recovered: boolean | undefined;
    again.addStreamingListener({
      onStreamingStarted: (info) => {
        recovered = info.recovered;
      },
    });
    await again.start();
    expect([again.appName, recovered]).toEqual(['again', true]);
    await again.stop();

    expect((await StreamingContext.getActiveOrCreate(create('without'))).appName).toBe('without');
    expect(seen).toEqual(['fresh', 'again', 'without']);

    for await (const { name } of store.list('')) {
      await store.delete([name]);
      await store.putIfAbsent(name, new Uint8Array([1, 2, 3]), '0'.repeat(32));
    }
    const error = await errorOf(StreamingContext.getActiveOrCreate(store, create('never')));
    expect(error.code).toBe('CHECKPOINT_CORRUPT');
    expect(seen).not.toContain('never');
  });

  test('a create that is missing or throws is an error', async () => {
    const error = await errorOf(StreamingContext.getActiveOrCreate('memory:x', undefined as never));
    expect(error.code).toBe('OPTION_INVALID');
    const failing = StreamingContext.getOrCreate(new MemoryStore(), () => {
      throw new Error('no settings');
    });
    await expect(failing).rejects.toThrow('no settings');
  });
});

describe('start and stop', () => {
  test('ssc.start-multiple-times: a second start changes nothing', async () => {
    const warnings: string[] = [];
    const context = printingContext({ environment: { warn: (text) => warnings.push(text) } });
    await Promise.all([context.start(), context.start()]);
    await context.start();
    expect(context.getState()).toBe('ACTIVE');
    expect(warnings).toHaveLength(2);
  });

  test('ssc.start-after-stop: is refused, and the context stays stopped', async () => {
    const context = printingContext();
    await context.start();
    await context.stop();
    expect(await errorOf(context.start())).toMatchObject({ code: 'STATUS_INVALID' });
    expect(context.getState()).toBe('STOPPED');
  });

  test('ssc.awaittermination-after-stop, ssc.awaitterminationortimeout: at once, true', async () => {
    const context = printingContext();
    await context.start();
    await context.stop();
    await context.awaitTermination();
    expect(await context.awaitTerminationOrTimeout(Seconds(1))).toBe(true);
  });

  test('contexts may be made while one runs, and be stopped without a start', async () => {
    const context = printingContext();
    await context.start();
    const other = printingContext();
    await other.stop();
    expect(other.getState()).toBe('STOPPED');
    expect(StreamingContext.getActive()).toBe(context);
  });
});
