import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hashPartitionKey, partitionOfKey } from '../../../src/testing/event-hubs-emulator/partition-key.ts';

/** The SDK's own mapping, which is not exported. */
async function sdkMapping(): Promise<{ mapPartitionKeyToId(key: string, partitionCount: number): number }> {
  const entry = pathToFileURL(import.meta.resolve('@azure/event-hubs').replace('file://', ''));
  return import(new URL('./impl/partitionKeyToIdMapper.js', entry).href);
}

describe('the partition of a key', () => {
  it('is the one the SDK computes', async () => {
    const { mapPartitionKeyToId } = await sdkMapping();
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), fc.integer({ min: 1, max: 1024 }), (key, count) => {
        expect(partitionOfKey(key, count)).toBe(mapPartitionKeyToId(key, count));
      }),
      { numRuns: 600 },
    );
  });

  it.each([
    ['7149583486996073602', 12_977],
    ['FWfAT', -22_341],
  ])('hashes %j to the value the SDK tests with', (key, hash) => {
    expect(hashPartitionKey(key)).toBe(hash);
  });

  it('spreads keys over all partitions', () => {
    const used = new Set(Array.from({ length: 1000 }, (_, i) => partitionOfKey(`device-${i}`, 32)));
    expect(used.size).toBe(32);
  });
});
