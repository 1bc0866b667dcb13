import { describe, expect, it } from 'vitest';
import { readBlobOutput } from '../../../src/sinks/blob-output.ts';
import { blobSink } from '../../../src/sinks/blob-sink.ts';
import { openObjectStore } from '../../../src/storage/open-store.ts';
import { useAzurite } from '../../support/azurite.ts';
import { collect } from '../../support/object-store-suite.ts';

const azurite = useAzurite();

describe('blobSink on Azurite', () => {
  it('publishes inline and staged batches once, over two drivers, and cleans up', async () => {
    const url = `${azurite.newUrl()}/results`;
    const access = { connectionString: azurite.connectionString, createContainer: true };
    const first = blobSink({ url, ...access, inlineBytesMax: 100 });
    await first.open?.({ streamId: 's', uid: 'out', epoch: 1 });
    const small = ['small'];
    const large = Array.from({ length: 1_000 }, (_, i) => ({ i, text: 'größer' }));
    const handles = [
      await first.stage({ batchId: 1, batchTimeMs: 1_000, generation: 0 }, [small]),
      await first.stage({ batchId: 2, batchTimeMs: 2_000, generation: 0 }, [large]),
    ];
    // Staged and never committed.
    await first.stage({ batchId: 3, batchTimeMs: 3_000, generation: 0 }, [large]);
    await first.publish(handles[0]);
    await first.close?.();

    const second = blobSink({ url, ...access, inlineBytesMax: 100 });
    await second.open?.({ streamId: 's', uid: 'out', epoch: 2 });
    for (const handle of handles) await second.publish(structuredClone(handle));
    await second.sweep?.();
    await second.close?.();

    const rows: unknown[] = [];
    for await (const row of readBlobOutput(url, 'out', access)) rows.push(row);
    expect(rows).toEqual([...small, ...large]);
    const store = await openObjectStore(url, access);
    expect((await collect(store.list(''))).map(({ name }) => name)).toEqual([
      'out/000000000001000-0000.jsonl',
      'out/000000000002000-0000.jsonl',
    ]);
    await store.close();
  });
});
