import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseStoreUrl, withoutSecrets } from '../../../src/storage/store-url.ts';

describe('parseStoreUrl', () => {
  const blob = {
    kind: 'blob',
    account: 'myaccount',
    endpoint: 'https://myaccount.blob.core.windows.net',
    container: 'data',
    prefix: 'jobs/one',
    url: 'https://myaccount.blob.core.windows.net/data/jobs/one',
  };

  it.each([
    'https://myaccount.blob.core.windows.net/data/jobs/one',
    'https://myaccount.blob.core.windows.net/data/jobs/one/',
    'https://MyAccount.Blob.Core.Windows.Net/data/jobs/one',
    'https://myaccount.dfs.core.windows.net/data/jobs/one',
    'abfs://data@myaccount.dfs.core.windows.net/jobs/one',
    'abfss://data@myaccount.dfs.core.windows.net/jobs/one',
    'ABFSS://data@myaccount.dfs.core.windows.net/jobs/one/',
    'wasb://data@myaccount.blob.core.windows.net/jobs/one',
    'wasbs://data@myaccount.blob.core.windows.net/jobs/one',
    'abfss://data@myaccount.blob.core.windows.net/jobs/one',
  ])('maps %s to the blob endpoint of the account', (url) => {
    expect(parseStoreUrl(url)).toMatchObject(blob);
  });

  it.each([
    ['https://a11.blob.core.chinacloudapi.cn/data', 'https://a11.blob.core.chinacloudapi.cn'],
    ['abfss://data@a11.dfs.core.usgovcloudapi.net', 'https://a11.blob.core.usgovcloudapi.net'],
    ['https://a11.z42.blob.storage.azure.net/data', 'https://a11.z42.blob.storage.azure.net'],
  ])('knows the clouds and zones: %s', (url, endpoint) => {
    expect(parseStoreUrl(url)).toMatchObject({ kind: 'blob', account: 'a11', endpoint, container: 'data', prefix: '' });
  });

  it('takes a path-style URL for a server on this machine only', () => {
    expect(parseStoreUrl('http://127.0.0.1:10000/devstoreaccount1/data/a/b')).toMatchObject({
      account: 'devstoreaccount1',
      endpoint: 'http://127.0.0.1:10000/devstoreaccount1',
      container: 'data',
      prefix: 'a/b',
      url: 'http://127.0.0.1:10000/devstoreaccount1/data/a/b',
    });
    expect(parseStoreUrl('http://localhost:1/devstoreaccount1/data')).toMatchObject({ container: 'data' });
    expect(() => parseStoreUrl('http://myaccount.blob.core.windows.net/data')).toThrow(/use https/);
  });

  it('leaves the account of az: to the connection string', () => {
    expect(parseStoreUrl('az://data/jobs/one')).toEqual({
      kind: 'blob',
      url: 'az://data/jobs/one',
      account: undefined,
      endpoint: undefined,
      container: 'data',
      prefix: 'jobs/one',
      sasToken: undefined,
    });
    expect(parseStoreUrl('az://data')).toMatchObject({ container: 'data', prefix: '', url: 'az://data' });
  });

  it('decodes the path and encodes it in the canonical form', () => {
    expect(parseStoreUrl('az://data/my%20jobs/%C3%BC')).toMatchObject({
      prefix: 'my jobs/ü',
      url: 'az://data/my%20jobs/%C3%BC',
    });
  });

  it('keeps a SAS token apart from everything that is shown', () => {
    const location = parseStoreUrl('https://myaccount.blob.core.windows.net/data/x?sv=2024&sp=rw&sig=se%2Bcret');
    expect(location).toMatchObject({
      url: 'https://myaccount.blob.core.windows.net/data/x',
      sasToken: 'sv=2024&sp=rw&sig=se%2Bcret',
    });
  });

  it('takes plain paths and file URLs', () => {
    expect(parseStoreUrl('./some/folder/')).toEqual({
      kind: 'file',
      path: resolve('some/folder'),
      url: `file://${resolve('some/folder')}`,
    });
    expect(parseStoreUrl('checkpoints')).toMatchObject({ kind: 'file', path: join(process.cwd(), 'checkpoints') });
    expect(parseStoreUrl('file:///var/my%20data/')).toMatchObject({ kind: 'file', path: '/var/my data' });
    expect(parseStoreUrl('/')).toMatchObject({ kind: 'file', path: '/' });
  });

  it('takes memory names with a root', () => {
    expect(parseStoreUrl('memory:test')).toEqual({ kind: 'memory', url: 'memory:test', name: 'test', prefix: '' });
    expect(parseStoreUrl('memory:test/a/b/')).toMatchObject({ name: 'test', prefix: 'a/b', url: 'memory:test/a/b' });
  });

  it.each([
    ['', 'empty'],
    ['   ', 'empty'],
    ['s3://bucket/path', '"s3:" is not known'],
    ['https://example.com/container/path', 'no storage account host'],
    ['https://myaccount.queue.core.windows.net/data', 'no storage account host'],
    ['https://myaccount.blob.core.windows.net', 'the container is missing'],
    ['https://myaccount.blob.core.windows.net/', 'the container is missing'],
    ['https://myaccount.blob.core.windows.net/Data', '"Data" is no container name'],
    ['https://myaccount.blob.core.windows.net/da--ta', 'no container name'],
    ['https://myaccount.blob.core.windows.net/$root/x', 'no container name'],
    ['https://my-account.blob.core.windows.net/data', '"my-account" is no account name'],
    ['https://data@myaccount.blob.core.windows.net/x', 'belongs to abfss'],
    ['https://myaccount.blob.core.windows.net/data//x', 'is empty'],
    ['https://myaccount.blob.core.windows.net/data/x.', 'ends with a dot'],
    ['https://myaccount.blob.core.windows.net/data/%zz', 'hexadecimal'],
    ['https://myaccount.blob.core.windows.net/data?comp=list', 'no SAS token'],
    ['https://myaccount.blob.core.windows.net/data#part', 'after #'],
    ['abfss://myaccount.dfs.core.windows.net/data', 'followed by <container>@<account>'],
    ['az://', 'the container is missing'],
    ['az://data:80/x', 'the container alone'],
    ['https://[', 'cannot be parsed'],
    ['file://host/share', 'absolute path'],
    ['file:relative', 'absolute path'],
    ['memory:', 'a name of letters'],
    ['memory://x', 'a name of letters'],
    [`az://data/${'x'.repeat(121)}`, 'at most 120'],
  ])('refuses %j', (url, problem) => {
    for (const part of [problem, 'Use one of']) {
      expect(() => parseStoreUrl(url)).toThrow(
        expect.objectContaining({ code: 'URL_INVALID', message: expect.stringContaining(part) }),
      );
    }
  });

  it.each([
    'https://user:hunter2@myaccount.blob.core.windows.net/data',
    'https://example.com/x?sig=hunter2',
    'myaccount.blob.core.windows.net/data/x?sv=2024&sig=hunter2',
    'DefaultEndpointsProtocol=https;AccountName=a;AccountKey=hunter2==;EndpointSuffix=core.windows.net',
    'streams/SharedAccessSignature=sv%3D2024%26sig%3Dhunter2',
    'https://[broken?sig=hunter2',
    'nonsense://user:hunter2@host/x?sig=hunter2#hunter2',
  ])('does not repeat a secret of %j', (url) => {
    expect(() => parseStoreUrl(url)).toThrow(
      expect.objectContaining({ code: 'URL_INVALID', message: expect.not.stringContaining('hunter2') }),
    );
    expect(withoutSecrets(url)).not.toContain('hunter2');
  });
});
