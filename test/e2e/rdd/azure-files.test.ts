import { describe, expect, it } from 'vitest';
import { useAzurite } from '../../support/azurite.ts';
import { newContext } from '../../unit/rdd/fixture.ts';

const azurite = useAzurite();

describe('RDD files on Azurite', () => {
  it('are saved, refused the second time, overwritten, and read back by folder and by name', async () => {
    const store = { connectionString: azurite.connectionString, createContainer: true };
    const context = newContext();
    const url = 'az://rdd-files/out';
    const rdd = context.parallelize(['a', 'b', 'c'], 2);
    await rdd.saveAsTextFile(`${url}/text`, store);
    await expect(rdd.saveAsTextFile(`${url}/text`, store)).rejects.toMatchObject({ code: 'OUTPUT_EXISTS' });
    await rdd.map((row) => row.toUpperCase()).saveAsTextFile(`${url}/text`, { ...store, overwrite: true });
    expect(await (await context.textFile(`${url}/text`, store)).collectPartitions()).toEqual([['A'], ['B', 'C']]);
    expect(await (await context.textFile(`${url}/text/part-00001`, store)).collect()).toEqual(['B', 'C']);
    await rdd.map((row) => ({ row })).saveAsObjectFile(`${url}/objects`, store);
    const read = await context.objectFile(`${url}/objects`, store);
    expect(await read.collect()).toEqual([{ row: 'a' }, { row: 'b' }, { row: 'c' }]);
    await expect(context.textFile(`${url}/none`, store)).rejects.toMatchObject({ code: 'SOURCE_NOT_FOUND' });
  });

  it('hold the rows of a checkpoint', async () => {
    const context = newContext();
    context.setCheckpointDir('az://rdd-checkpoints/dir', {
      connectionString: azurite.connectionString,
      createContainer: true,
    });
    const rdd = context.parallelize([1, 2, 3], 2).map((x) => x * 2);
    rdd.checkpoint();
    expect(await rdd.collect()).toEqual([2, 4, 6]);
    expect(rdd.dependencies).toEqual([]);
    expect(await rdd.collect()).toEqual([2, 4, 6]);
  });
});
