import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import { StoreView } from '../../../src/storage/store-view.ts';

const commitId = '0'.repeat(32);

describe('a view of a store', () => {
  it('shows and changes only what is below its folder', async () => {
    const store = new MemoryStore();
    const view = new StoreView(store, 'source/one');
    await store.putIfAbsent('source/one-more/a', new Uint8Array(1), commitId);
    await view.putIfAbsent('a', new Uint8Array(2), commitId);
    const names: string[] = [];
    for await (const { name } of view.list('')) names.push(name);
    expect(names).toEqual(['a']);
    expect(await store.head('source/one/a')).toMatchObject({ status: 'found', sizeBytes: 2 });
    await view.delete(['a']);
    await view.close();
    expect(await store.head('source/one/a')).toMatchObject({ status: 'missing' });
    expect(await store.head('source/one-more/a')).toMatchObject({ status: 'found' });
  });
});
