import { afterAll, describe, expect, it } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { dropMemoryStore, MemoryStore } from '../../../src/storage/memory-store.ts';
import { id, objectStoreSuite, text } from '../../support/object-store-suite.ts';

let created = 0;
afterAll(() => {
  for (let i = 0; i < created; i++) dropMemoryStore(`suite-${i}`);
});

describe('MemoryStore', () => {
  objectStoreSuite(async () => {
    const name = `suite-${created++}`;
    return {
      open: async () => new MemoryStore({ name, prefix: 'root/of it' }),
      listPage: 4,
      pages: false,
      keepsCommitId: true,
      close: async () => undefined,
    };
  });

  it('keeps roots apart and shows each only its own objects', async () => {
    const whole = new MemoryStore({ name: 'roots' });
    const one = new MemoryStore({ name: 'roots', prefix: 'one' });
    await one.putIfAbsent('a', text('x'), id(1));
    expect(await whole.head('one/a')).toMatchObject({ status: 'found' });
    expect(await new MemoryStore({ name: 'roots', prefix: 'two' }).head('a')).toMatchObject({ status: 'missing' });
    dropMemoryStore('roots');
    expect(await new MemoryStore({ name: 'roots' }).head('one/a')).toMatchObject({ status: 'missing' });
  });

  it('is alone without a name', async () => {
    const store = new MemoryStore();
    await store.putIfAbsent('a', text('x'), id(1));
    expect(await new MemoryStore().head('a')).toMatchObject({ status: 'missing' });
  });

  it('takes its time from the clock', async () => {
    const clock = new ManualClock(1_000);
    const store = new MemoryStore({ clock });
    expect(await store.head('a')).toEqual({ status: 'missing', serverTimeMs: 1_000 });
    clock.advanceBy(500);
    expect(await store.putIfAbsent('a', text('x'), id(1))).toMatchObject({ serverTimeMs: 1_500 });
  });
});
