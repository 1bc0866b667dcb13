import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ObjectInfo, ObjectStore, PutOutcome } from '../../src/storage/object-store.ts';

export interface ObjectStoreFixture {
  /** Opens another store on the same objects, as another process would. */
  open(): Promise<ObjectStore>;
  /** Objects a list request carries at most; how many to make, if there are no pages. */
  readonly listPage: number;
  readonly pages: boolean;
  /** Does `head` give the commit id back? */
  readonly keepsCommitId: boolean;
  /** What a small object takes beside its content. Default 0. */
  readonly overheadBytes?: number;
  close(): Promise<void>;
}

/** What every object store does: the port's comments as tests. `create` makes a fixture with an empty root. */
export function objectStoreSuite(create: () => Promise<ObjectStoreFixture>): void {
  let fixture: ObjectStoreFixture;
  let store: ObjectStore;

  beforeEach(async () => {
    fixture = await create();
    store = await fixture.open();
  });

  afterEach(async () => {
    await store.close();
    await fixture.close();
  });

  describe('putIfAbsent', () => {
    it('creates an object that can be read back', async () => {
      const done = await expectDone(store.putIfAbsent('log/1', text('one'), id(1)));
      expect(done.recognised).toBe(false);
      const found = await store.get('log/1');
      expect(found).toMatchObject({ status: 'found', bytes: text('one'), etag: done.etag });
    });

    it('leaves a taken name as it is', async () => {
      await expectDone(store.putIfAbsent('a', text('first'), id(1)));
      expect(await store.putIfAbsent('a', text('second'), id(2))).toMatchObject({ status: 'lost' });
      expect(await store.get('a')).toMatchObject({ bytes: text('first') });
    });

    it('recognises its own earlier write', async () => {
      const first = await expectDone(store.putIfAbsent('a', text('same'), id(1)));
      const again = await expectDone(store.putIfAbsent('a', text('same'), id(1)));
      expect(again).toMatchObject({ recognised: true, etag: first.etag });
    });

    it('has exactly one winner among 16 writers', async () => {
      for (let round = 0; round < 5; round++) {
        const outcomes = await Promise.all(
          Array.from({ length: 16 }, (_, writer) =>
            store.putIfAbsent(`race/${round}`, text(`by ${writer}`), id(round * 16 + writer)),
          ),
        );
        const winners = outcomes.flatMap((outcome, writer) => (outcome.status === 'done' ? [writer] : []));
        expect(winners).toHaveLength(1);
        expect(outcomes.filter((outcome) => outcome.status === 'lost')).toHaveLength(15);
        expect(await store.get(`race/${round}`)).toMatchObject({ bytes: text(`by ${winners[0]}`) });
      }
    });

    it('stores an empty object and a big one', async () => {
      const big = new Uint8Array(5 * 1024 * 1024);
      for (let i = 0; i < big.length; i += 997) big[i] = i;
      await expectDone(store.putIfAbsent('empty', new Uint8Array(0), id(1)));
      await expectDone(store.putIfAbsent('big', big, id(2)));
      expect(await store.get('empty')).toMatchObject({ status: 'found', bytes: new Uint8Array(0) });
      const found = await store.get('big');
      expect(found.status === 'found' && Buffer.compare(found.bytes, big)).toBe(0);
      expect(await store.head('big')).toMatchObject({ sizeBytes: big.length });
      const middle = await store.get('big', { offset: 997, length: 1 });
      expect(middle).toMatchObject({ bytes: Uint8Array.of(997 & 255) });
    });

    it('keeps what was written when the caller reuses its buffer', async () => {
      const bytes = Buffer.from('before');
      await expectDone(store.putIfAbsent('a', bytes, id(1)));
      bytes.fill(0);
      const found = await store.get('a');
      expect(found).toMatchObject({ bytes: text('before') });
      if (found.status === 'found') found.bytes.fill(0);
      expect(await store.get('a')).toMatchObject({ bytes: text('before') });
    });
  });

  describe('compareAndSwap', () => {
    it('replaces the version it was given and refuses an older one', async () => {
      const first = await expectDone(store.compareAndSwap('hint', text('1'), undefined, id(1)));
      const second = await expectDone(store.compareAndSwap('hint', text('2'), first.etag, id(2)));
      expect(second.etag).not.toBe(first.etag);
      expect(await store.compareAndSwap('hint', text('3'), first.etag, id(3))).toMatchObject({ status: 'lost' });
      expect(await store.get('hint')).toMatchObject({ bytes: text('2'), etag: second.etag });
      expect(await store.head('hint')).toMatchObject({ sizeBytes: 1, etag: second.etag });
    });

    it('refuses to create what exists, and to replace what does not', async () => {
      await expectDone(store.putIfAbsent('a', text('a'), id(1)));
      expect(await store.compareAndSwap('a', text('b'), undefined, id(2))).toMatchObject({ status: 'lost' });
      expect(await store.compareAndSwap('b', text('b'), 'other', id(3))).toMatchObject({ status: 'lost' });
      expect(await store.get('b')).toMatchObject({ status: 'missing' });
    });

    it('recognises its own earlier swap', async () => {
      const first = await expectDone(store.putIfAbsent('a', text('1'), id(1)));
      const second = await expectDone(store.compareAndSwap('a', text('2'), first.etag, id(2)));
      const again = await expectDone(store.compareAndSwap('a', text('2'), first.etag, id(2)));
      expect(again).toMatchObject({ recognised: true, etag: second.etag });
    });

    it('has exactly one winner among 16 writers of one version', async () => {
      let { etag } = await expectDone(store.putIfAbsent('register', text('start'), id(999)));
      for (let round = 0; round < 5; round++) {
        const outcomes = await Promise.all(
          Array.from({ length: 16 }, (_, writer) =>
            store.compareAndSwap('register', text(`${round} by ${writer}`), etag, id(round * 16 + writer)),
          ),
        );
        const winners = outcomes.flatMap((outcome) => (outcome.status === 'done' ? [outcome] : []));
        expect(winners).toHaveLength(1);
        etag = winners[0]!.etag;
      }
    });

    it('loses no increment of 4 writers in two stores that read and swap', async () => {
      const other = await fixture.open();
      await expectDone(store.putIfAbsent('counter', text('0'), id(0)));
      let nextId = 1;
      const increment = async (through: ObjectStore): Promise<void> => {
        for (;;) {
          const found = await through.get('counter');
          if (found.status === 'missing') throw new Error('the counter is gone');
          const next = text(String(Number.parseInt(Buffer.from(found.bytes).toString(), 10) + 1));
          // The bytes name their writer, as a record names its commit id.
          const bytes = Buffer.concat([next, text(`\n${nextId}`)]);
          const put = await through.compareAndSwap('counter', bytes, found.etag, id(nextId++));
          if (put.status === 'done') return;
          expect(put.status).toBe('lost');
        }
      };
      const writers = [store, other, store, other].map(async (through) => {
        for (let i = 0; i < 8; i++) await increment(through);
      });
      await Promise.all(writers);
      const found = await other.get('counter');
      expect(Buffer.from((found as { bytes: Uint8Array }).bytes).toString()).toMatch(/^32\n/);
      await other.close();
    });

    it('shows a swapped object once in lists, with its present size, and not after its deletion', async () => {
      const first = await expectDone(store.putIfAbsent('b', text('1'), id(1)));
      await expectDone(store.putIfAbsent('a', text('1'), id(2)));
      await expectDone(store.putIfAbsent('c', text('1'), id(3)));
      await expectDone(store.compareAndSwap('b', text('four'), first.etag, id(4)));
      expect(await collect(store.list(''))).toMatchObject([
        { name: 'a', sizeBytes: 1 },
        { name: 'b', sizeBytes: 4 },
        { name: 'c', sizeBytes: 1 },
      ]);
      expect(await store.delete(['b'])).toMatchObject({ refused: [] });
      expect((await collect(store.list(''))).map(({ name }) => name)).toEqual(['a', 'c']);
      expect(await store.get('b')).toMatchObject({ status: 'missing' });
      expect(await store.compareAndSwap('b', text('5'), first.etag, id(5))).toMatchObject({ status: 'lost' });
      await expectDone(store.putIfAbsent('b', text('again'), id(6)));
      expect(await store.get('b')).toMatchObject({ bytes: text('again') });
    });
  });

  describe('get and head', () => {
    it('report a missing object', async () => {
      expect(await store.get('no')).toMatchObject({ status: 'missing' });
      expect(await store.get('no/such/thing', { offset: 3, length: 2 })).toMatchObject({ status: 'missing' });
      expect(await store.get('no', { offset: 0, length: 0 })).toMatchObject({ status: 'missing' });
      expect(await store.head('no')).toMatchObject({ status: 'missing' });
    });

    it('read ranges, cut off at the end of the object', async () => {
      await expectDone(store.putIfAbsent('a', text('0123456789'), id(1)));
      const read = async (offset: number, length: number): Promise<string> => {
        const found = await store.get('a', { offset, length });
        if (found.status === 'missing') throw new Error('missing');
        return Buffer.from(found.bytes).toString();
      };
      expect(await read(0, 4)).toBe('0123');
      expect(await read(3, 1)).toBe('3');
      expect(await read(8, 10)).toBe('89');
      expect(await read(4, 0)).toBe('');
      expect(await read(10, 5)).toBe('');
      expect(await read(500, 5)).toBe('');
    });

    it('give the size, the tag and the commit id', async () => {
      const { etag } = await expectDone(store.putIfAbsent('a', text('12345'), id(77)));
      expect(await store.head('a')).toMatchObject({
        status: 'found',
        sizeBytes: 5,
        etag,
        commitId: fixture.keepsCommitId ? id(77) : undefined,
      });
    });

    it('tell the time of the store', async () => {
      const before = Date.now();
      const answers = [
        await store.putIfAbsent('a', text('a'), id(1)),
        await store.putIfAbsent('a', text('b'), id(2)),
        await store.get('a'),
        await store.get('no'),
        await store.head('a'),
        await store.head('no'),
        await store.delete(['a', 'no']),
      ];
      for (const answer of answers) {
        const { serverTimeMs } = answer as { serverTimeMs: number };
        expect(serverTimeMs).toBeGreaterThanOrEqual(before - 2_000);
        expect(serverTimeMs).toBeLessThanOrEqual(Date.now() + 2_000);
      }
    });
  });

  describe('list', () => {
    it('gives every object once and in order, beyond one page', async () => {
      const count = 2 * fixture.listPage + 3;
      const names = Array.from({ length: count }, (_, i) => `log/${String(i).padStart(20, '0')}`);
      await inParallel(names, (name, i) => expectDone(store.putIfAbsent(name, new Uint8Array(i % 3), id(i))));
      await expectDone(store.putIfAbsent('logs', text('x'), id(count)));
      const requests = store.operations.snapshot().list.requests;
      const listed = await collect(store.list('log/'));
      expect(listed).toMatchObject(names.map((name, i) => ({ name, sizeBytes: i % 3 })));
      expect(store.operations.snapshot().list.requests - requests).toBe(fixture.pages ? 3 : 1);
    });

    it('tells when an object was last written, by its own clock', async () => {
      const before = await expectDone(store.putIfAbsent('before', text('x'), id(1)));
      const first = await expectDone(store.putIfAbsent('a', text('1'), id(2)));
      const swapped = await expectDone(store.compareAndSwap('a', text('22'), first.etag, id(3)));
      for (const { modifiedMs } of await collect(store.list(''))) {
        // Blob storage knows whole seconds.
        expect(modifiedMs).toBeGreaterThanOrEqual(before.serverTimeMs - 1000);
        expect(modifiedMs).toBeLessThanOrEqual(swapped.serverTimeMs + 1000);
      }
      const [a, other] = await collect(store.list(''));
      expect(a!.modifiedMs).toBeGreaterThanOrEqual(other!.modifiedMs);
    });

    it('starts after a name, whether that exists or not', async () => {
      await inParallel(
        ['a', 'b', 'b/c', 'ba', 'c'].filter((name) => name !== 'b'),
        (name, i) => expectDone(store.putIfAbsent(name, text('x'), id(i))),
      );
      const namesAfter = async (prefix: string, after?: string): Promise<string[]> =>
        (await collect(store.list(prefix, after))).map(({ name }) => name);
      expect(await namesAfter('')).toEqual(['a', 'b/c', 'ba', 'c']);
      expect(await namesAfter('', 'a')).toEqual(['b/c', 'ba', 'c']);
      expect(await namesAfter('', 'aa')).toEqual(['b/c', 'ba', 'c']);
      expect(await namesAfter('', 'b/c')).toEqual(['ba', 'c']);
      expect(await namesAfter('b')).toEqual(['b/c', 'ba']);
      expect(await namesAfter('b', 'a')).toEqual(['b/c', 'ba']);
      expect(await namesAfter('b', 'b/c')).toEqual(['ba']);
      expect(await namesAfter('b/')).toEqual(['b/c']);
      expect(await namesAfter('', 'c')).toEqual([]);
      expect(await namesAfter('no')).toEqual([]);
    });

    it('sorts folders among names as plain text', async () => {
      const names = ['a-b', 'a.b', 'a/b', 'a/b-c/d', 'a/b0', 'a0', 'ab/c'];
      await inParallel(names, (name, i) => expectDone(store.putIfAbsent(name, text('x'), id(i))));
      expect((await collect(store.list(''))).map(({ name }) => name)).toEqual([...names].sort());
    });

    it('can be left early', async () => {
      await inParallel(['a', 'b', 'c'], (name, i) => expectDone(store.putIfAbsent(name, text('x'), id(i))));
      for await (const { name } of store.list('')) {
        expect(name).toBe('a');
        break;
      }
    });
  });

  describe('names', () => {
    const odd = [
      'spaces in it',
      'plus+percent%20hash#question?amp&equals=',
      'quote"apostrophe\'backtick`<angle>',
      'ünïcödé/日本語/🌊',
      'colon:semi;comma,star*pipe|caret^tilde~at@dollar$',
      '.hidden/..twodots',
      'UPPER/lower',
    ];

    it('may hold spaces, marks and any script', async () => {
      for (const [i, name] of odd.entries()) await expectDone(store.putIfAbsent(name, text(name), id(i)));
      for (const name of odd) expect(await store.get(name)).toMatchObject({ bytes: text(name) });
      expect((await collect(store.list(''))).map(({ name }) => name)).toEqual([...odd].sort());
      expect((await collect(store.list('ünïcödé/日'))).map(({ name }) => name)).toEqual(['ünïcödé/日本語/🌊']);
      expect(await store.delete(odd)).toMatchObject({ refused: [] });
      expect(await collect(store.list(''))).toEqual([]);
    });

    it('of the wrong form are refused before anything is sent', async () => {
      const before = store.operations.snapshot();
      const wrong = ['', '/a', 'a/', 'a//b', '.', 'a/../b', './a', 'a.', 'a\\b', 'a\nb', '\ud800', 'x'.repeat(901)];
      for (const name of wrong) {
        await expect(store.putIfAbsent(name, text('x'), id(1)), name).rejects.toMatchObject({ code: 'OPTION_INVALID' });
        await expect(store.get(name), name).rejects.toMatchObject({ code: 'OPTION_INVALID' });
        await expect(store.delete([name]), name).rejects.toMatchObject({ code: 'OPTION_INVALID' });
      }
      await expect(store.putIfAbsent('a', text('x'), 'no id')).rejects.toMatchObject({ code: 'OPTION_INVALID' });
      await expect(store.get('a', { offset: -1, length: 1 })).rejects.toMatchObject({ code: 'OPTION_INVALID' });
      expect(store.operations.snapshot()).toEqual(before);
    });
  });

  describe('delete', () => {
    it('removes objects, also many, and does not mind missing ones', async () => {
      const names = Array.from({ length: 300 }, (_, i) => `seg/${String(i).padStart(4, '0')}`);
      await inParallel(names, (name, i) => expectDone(store.putIfAbsent(name, text('x'), id(i))));
      expect(await store.delete([...names.slice(0, 299), 'seg/none'])).toMatchObject({ refused: [] });
      expect((await collect(store.list('seg/'))).map(({ name }) => name)).toEqual(['seg/0299']);
      expect(await store.delete([])).toMatchObject({ refused: [] });
    });

    it('frees the name', async () => {
      await expectDone(store.putIfAbsent('a', text('1'), id(1)));
      await store.delete(['a']);
      expect(await store.head('a')).toMatchObject({ status: 'missing' });
      await expectDone(store.putIfAbsent('a', text('2'), id(2)));
      expect(await store.get('a')).toMatchObject({ bytes: text('2') });
    });
  });

  it('counts requests and bytes by type', async () => {
    const { overheadBytes = 0 } = fixture;
    const before = store.operations.snapshot();
    await expectDone(store.putIfAbsent('a', text('12345'), id(1)));
    await store.get('a');
    await store.get('a', { offset: 1, length: 2 });
    await store.head('a');
    await collect(store.list(''));
    await store.delete(['a']);
    const after = store.operations.snapshot();
    expect(after.put.requests - before.put.requests).toBe(1);
    expect(after.put.bytesWritten - before.put.bytesWritten).toBe(5 + overheadBytes);
    expect(after.get.requests - before.get.requests).toBe(2);
    expect(after.get.bytesRead - before.get.bytesRead).toBe(overheadBytes > 0 ? 2 * (5 + overheadBytes) : 7);
    expect(after.head.requests - before.head.requests).toBe(1);
    expect(after.list.requests - before.list.requests).toBe(1);
    expect(after.delete.requests - before.delete.requests).toBe(1);
  });

  it('shows one store what another wrote', async () => {
    const other = await fixture.open();
    const { etag } = await expectDone(store.putIfAbsent('a', text('1'), id(1)));
    expect(await other.get('a')).toMatchObject({ bytes: text('1'), etag });
    await expectDone(other.compareAndSwap('a', text('2'), etag, id(2)));
    expect(await store.get('a')).toMatchObject({ bytes: text('2') });
    await other.close();
  });

  it('refuses calls after close', async () => {
    await store.close();
    await store.close();
    await expect(store.get('a')).rejects.toMatchObject({ code: 'CANCELLED' });
    await expect(store.putIfAbsent('a', text('x'), id(1))).rejects.toMatchObject({ code: 'CANCELLED' });
    await expect(collect(store.list(''))).rejects.toMatchObject({ code: 'CANCELLED' });
    await expect(store.delete([])).rejects.toMatchObject({ code: 'CANCELLED' });
  });
}

export function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

/** A commit id from a number. */
export function id(n: number): string {
  return n.toString(16).padStart(32, '0');
}

export async function collect(list: AsyncIterable<ObjectInfo>): Promise<ObjectInfo[]> {
  const found: ObjectInfo[] = [];
  for await (const info of list) found.push(info);
  return found;
}

export async function expectDone(put: Promise<PutOutcome>): Promise<Extract<PutOutcome, { status: 'done' }>> {
  const outcome = await put;
  expect(outcome).toMatchObject({ status: 'done' });
  return outcome as Extract<PutOutcome, { status: 'done' }>;
}

async function inParallel<T>(items: readonly T[], work: (item: T, index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++;
      await work(items[index]!, index);
    }
  };
  await Promise.all(Array.from({ length: 16 }, worker));
}
