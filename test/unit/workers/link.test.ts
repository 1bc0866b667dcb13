import { MessageChannel } from 'node:worker_threads';
import { afterEach, expect, test } from 'vitest';
import { TidemarkError } from '../../../src/base/errors.ts';
import { decodeRows, encodeColumns } from '../../../src/workers/block-codec.ts';
import { type ChannelEnd, Link, type LinkHandlers } from '../../../src/workers/link.ts';

const channels: MessageChannel[] = [];

afterEach(() => {
  for (const { port1, port2 } of channels.splice(0)) {
    port1.close();
    port2.close();
  }
});

const handlers: LinkHandlers = {
  call: async (_, argument) => argument,
  tell: () => {},
  read: async () => ({ blocks: [] }),
};

/** A link whose other end answers with `other`; `sent` counts the blocks that have been sent to this one. */
function connect(other: Partial<LinkHandlers>): { readonly link: Link; readonly sent: () => number } {
  const channel = new MessageChannel();
  channels.push(channel);
  let blocks = 0;
  const counting: ChannelEnd = {
    postMessage: (message, transfer) => {
      if ((message as { kind: string }).kind === 'block') blocks += 1;
      channel.port2.postMessage(message, transfer as ArrayBuffer[]);
    },
    on: (event, listener) => channel.port2.on(event, listener),
  };
  new Link(counting, { ...handlers, ...other }, { worker: 1 });
  return { link: new Link(channel.port1 as unknown as ChannelEnd, handlers), sent: () => blocks };
}

const block = (n: number) => encodeColumns([[n]], 'test');

test('an error of the other end comes out as what it was there, with its causes and where it happened', async () => {
  const { link } = connect({
    call: async () => {
      throw new TidemarkError('TASK_FAILED', 'it failed', {
        cause: new RangeError('too far', { cause: new Error('first') }),
        context: { partition: 3, odd: () => {} },
      });
    },
  });
  const error = (await link.call('any', 1).catch((thrown) => thrown)) as Error;
  expect(error).toBeInstanceOf(TidemarkError);
  expect(error).toMatchObject({
    code: 'TASK_FAILED',
    kind: 'user',
    message: 'it failed',
    context: { partition: '3', worker: '1' },
    cause: { name: 'RangeError', message: 'too far', cause: { message: 'first' } },
  });
  expect(error.stack).toContain('link.test.ts');
});

test('of a long stream only a few blocks are on their way', async () => {
  const numbers = Array.from({ length: 50 }, (_, i) => i);
  const { link, sent } = connect({ read: async () => ({ blocks: numbers.map(block), result: 'the end' }) });
  const reader = link.read('rows', undefined);
  const seen: unknown[] = [];
  for (let found = await reader.next(); found !== undefined; found = await reader.next()) {
    seen.push(...decodeRows(found));
    // What was asked for by now has time to arrive.
    await link.call('echo', 0);
    expect(sent() - seen.length).toBeLessThanOrEqual(4);
  }
  expect(seen).toEqual(numbers);
  expect(reader.result).toBe('the end');
});

test('a reader that has enough ends the stream', async () => {
  const { link, sent } = connect({ read: async () => ({ blocks: Array.from({ length: 50 }, (_, i) => block(i)) }) });
  const reader = link.read('rows', undefined);
  await reader.next();
  reader.cancel();
  await link.call('echo', 0);
  await link.call('echo', 0);
  expect(sent()).toBeLessThanOrEqual(5);
});

test('when the link fails, every question that is open fails, and every later one', async () => {
  const { link } = connect({ call: () => new Promise(() => {}), read: () => new Promise(() => {}) });
  const call = link.call('never', 0);
  const next = link.read('never', 0).next();
  const lost = new TidemarkError('WORKER_LOST', 'gone');
  link.fail(lost);
  await expect(call).rejects.toBe(lost);
  await expect(next).rejects.toBe(lost);
  await expect(link.call('later', 0)).rejects.toBe(lost);
  await expect(link.read('later', 0).next()).rejects.toBe(lost);
});
