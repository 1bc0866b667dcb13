import { ContainerClient } from '@azure/storage-blob';
import { expect, test } from 'vitest';
import { SystemClock } from '../../../src/base/clock.ts';
import { textFileSource } from '../../../src/sources/files/file-source.ts';
import { useAzurite } from '../../support/azurite.ts';
import { rowsOf, startWith } from '../../unit/receivers/support.ts';

const fixture = useAzurite();

/** Batches until `count` rows have come. */
async function receive(source: ReturnType<typeof textFileSource>, count: number): Promise<string[]> {
  const rows: string[] = [];
  await expect
    .poll(
      async () => {
        rows.push(...(await rowsOf(source, structuredClone(await source.plan(Date.now())))));
        return rows.length;
      },
      { timeout: 20_000, interval: 100 },
    )
    .toBeGreaterThanOrEqual(count);
  return rows;
}

test('blobs that appear below a URL are read once each, whatever was there before and beside', async () => {
  const { connectionString } = fixture;
  const url = fixture.newUrl();
  const container = new ContainerClient(connectionString, url.slice('az://'.length));
  await container.create();
  const upload = (name: string, text: string) => container.getBlockBlobClient(name).upload(text, text.length);
  await upload('in/before', 'before');
  await upload('in-other/x', 'other');
  const warnings: string[] = [];
  const source = textFileSource(`${url}/in`, { connectionString });
  await source.start({ ...startWith({}, { warnings }), clock: new SystemClock() });
  // At once: its time in whole seconds may be before the start.
  await upload('in/first', 'one\ntwo\n');
  await upload('in/below/file', 'below');
  await upload('in/.hidden', 'hidden');
  expect(await receive(source, 2)).toEqual(['one', 'two']);
  const names = Array.from({ length: 30 }, (_, n) => `in/many-${String(n).padStart(2, '0')}`);
  await Promise.all(names.map((name) => upload(name, name)));
  expect((await receive(source, 30)).sort()).toEqual(names);
  expect(await rowsOf(source, await source.plan(Date.now()))).toEqual([]);
  await upload('in/gone', 'gone');
  let chosen = await source.plan(Date.now());
  await expect
    .poll(async () => {
      if (chosen.partitions.length === 0) chosen = await source.plan(Date.now());
      return chosen.partitions.length;
    })
    .toBe(1);
  await container.deleteBlob('in/gone');
  await expect(rowsOf(source, chosen)).rejects.toMatchObject({ code: 'DATA_LOSS', message: /in\/gone/ });
  expect(warnings).toEqual([]);
  await source.stop();
});

test('a container that is made later is found later', async () => {
  const { connectionString } = fixture;
  const url = fixture.newUrl();
  const warnings: string[] = [];
  const source = textFileSource(url, { connectionString });
  await source.start({ ...startWith({}, { warnings }), clock: new SystemClock() });
  expect((await source.plan(Date.now())).partitions).toEqual([]);
  expect(warnings).toHaveLength(1);
  const container = new ContainerClient(connectionString, url.slice('az://'.length));
  await container.create();
  await container.getBlockBlobClient('file').upload('late', 4);
  expect(await receive(source, 1)).toEqual(['late']);
  await source.stop();
});
