import { describe, expect, it, vi } from 'vitest';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import { FaultyStore } from '../../../src/testing/faulty-store.ts';
import { collect, id, objectStoreSuite, text } from '../../support/object-store-suite.ts';

let spaces = 0;

describe('FaultyStore without faults', () => {
  objectStoreSuite(async () => {
    const name = `faulty-${spaces++}`;
    return {
      open: async () => new FaultyStore(new MemoryStore({ name })),
      listPage: 4,
      pages: false,
      keepsCommitId: true,
      close: async () => undefined,
    };
  });
});

describe('FaultyStore', () => {
  const create = () => {
    const behind = new MemoryStore();
    return { behind, store: new FaultyStore(behind) };
  };

  it('fails the n-th call that matches, without effect, and only that', async () => {
    const { behind, store } = create();
    store.inject({ type: 'put', name: /^log\//, nth: 2 }, { kind: 'fail' });
    await store.putIfAbsent('log/1', text('x'), id(1));
    await store.putIfAbsent('seg/1', text('x'), id(2));
    await expect(store.putIfAbsent('log/2', text('x'), id(3))).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    await store.putIfAbsent('log/3', text('x'), id(4));
    expect((await collect(behind.list(''))).map(({ name }) => name)).toEqual(['log/1', 'log/3', 'seg/1']);
  });

  it('throws the error it is given, as often as it is told', async () => {
    const { store } = create();
    const error = new Error('mine');
    store.inject({ type: 'get', times: 2 }, { kind: 'fail', error });
    await expect(store.get('a')).rejects.toBe(error);
    await expect(store.get('a')).rejects.toBe(error);
    expect(await store.get('a')).toMatchObject({ status: 'missing' });
  });

  it('loses the answer of a write that happened, and of one that did not', async () => {
    const { behind, store } = create();
    store.inject({ type: 'put' }, { kind: 'lose-answer' });
    store.inject({ type: 'put' }, { kind: 'lose-request' });
    expect(await store.putIfAbsent('a', text('x'), id(1))).toMatchObject({ status: 'unknown' });
    expect(await store.putIfAbsent('b', text('x'), id(2))).toMatchObject({ status: 'unknown' });
    expect(await behind.head('a')).toMatchObject({ status: 'found' });
    expect(await behind.head('b')).toMatchObject({ status: 'missing' });
    expect(await store.putIfAbsent('a', text('x'), id(1))).toMatchObject({ status: 'done', recognised: true });
    store.inject({ type: 'delete', name: /a/ }, { kind: 'lose-answer' });
    await expect(store.delete(['a'])).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    expect(await behind.head('a')).toMatchObject({ status: 'missing' });
  });

  it('holds a call until it is released', async () => {
    const { behind, store } = create();
    const gate = Promise.withResolvers<void>();
    store.inject({ name: /^a$/ }, { kind: 'delay', until: gate.promise });
    const put = store.putIfAbsent('a', text('x'), id(1));
    await store.putIfAbsent('b', text('x'), id(2));
    expect(await behind.head('a')).toMatchObject({ status: 'missing' });
    gate.resolve();
    expect(await put).toMatchObject({ status: 'done' });
  });

  it('applies a write after its caller gave up, with the bytes of the call', async () => {
    const { behind, store } = create();
    const gate = Promise.withResolvers<void>();
    const applied = Promise.withResolvers<unknown>();
    store.inject({ type: 'put' }, { kind: 'apply-late', until: gate.promise, applied: applied.resolve });
    const bytes = text('early');
    expect(await store.putIfAbsent('a', bytes, id(1))).toMatchObject({ status: 'unknown' });
    bytes.fill(0);
    expect(await behind.head('a')).toMatchObject({ status: 'missing' });
    gate.resolve();
    expect(await applied.promise).toMatchObject({ status: 'done' });
    expect(await behind.get('a')).toMatchObject({ bytes: text('early') });
  });

  it('is silent after a crash: no effect, no answer, also of calls under way', async () => {
    const { behind, store } = create();
    await store.putIfAbsent('a', text('x'), id(1));
    const gate = Promise.withResolvers<void>();
    store.inject({ type: 'put' }, { kind: 'delay', until: gate.promise });
    const settled = vi.fn();
    void store.putIfAbsent('b', text('x'), id(2)).then(settled, settled);
    store.crash();
    expect(store.crashed).toBe(true);
    for (const call of [store.get('a'), store.delete(['a']), store.putIfAbsent('c', text('x'), id(3))]) {
      void call.then(settled, settled);
    }
    void collect(store.list('')).then(settled, settled);
    gate.resolve();
    await new Promise((resolve) => setImmediate(resolve));
    expect(settled).not.toHaveBeenCalled();
    expect((await collect(behind.list(''))).map(({ name }) => name)).toEqual(['a']);
  });

  it('rejects with the signal of the crash, and lets writes under way land if told to', async () => {
    const { behind, store } = create();
    const gate = Promise.withResolvers<void>();
    store.inject({ type: 'put' }, { kind: 'delay', until: gate.promise });
    const put = store.putIfAbsent('a', text('x'), id(1));
    const signal = new Error('crashed');
    store.crash({ signal, applyInFlight: true });
    gate.resolve();
    await expect(put).rejects.toBe(signal);
    await expect(store.get('a')).rejects.toBe(signal);
    await store.close();
    expect(await behind.head('a')).toMatchObject({ status: 'found' });
  });
});
