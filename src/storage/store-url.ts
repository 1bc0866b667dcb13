import { isAbsolute, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TidemarkError } from '../base/errors.ts';
import { holdsSecret, maskSecrets } from '../base/secrets.ts';
import { findProblem } from './object-name.ts';

/** Where a store lives, as its URL says. `url` is the canonical form, free of secrets. */
export type StoreLocation = MemoryLocation | FileLocation | BlobLocation;

export interface MemoryLocation {
  readonly kind: 'memory';
  readonly url: string;
  readonly name: string;
  /** Root within the store, without slashes at its ends; may be empty. */
  readonly prefix: string;
}

export interface FileLocation {
  readonly kind: 'file';
  readonly url: string;
  /** Absolute. */
  readonly path: string;
}

export interface BlobLocation {
  readonly kind: 'blob';
  readonly url: string;
  /** Undefined for `az:`, which takes the account from the connection string. */
  readonly account: string | undefined;
  /** Blob endpoint without a slash at its end; undefined for `az:`. */
  readonly endpoint: string | undefined;
  readonly container: string;
  /** Root within the container, without slashes at its ends; may be empty. */
  readonly prefix: string;
  /** A SAS token that was part of the URL. A secret: not for messages. */
  readonly sasToken: string | undefined;
}

const forms = `Use one of:
  https://<account>.blob.core.windows.net/<container>/<path>
  abfss://<container>@<account>.dfs.core.windows.net/<path>
  wasbs://<container>@<account>.blob.core.windows.net/<path>
  az://<container>/<path> (account from the connection string)
  http://127.0.0.1:<port>/<account>/<container>/<path> (Azurite)
  file:///<path> or a plain path
  memory:<name>`;

const notAPath =
  'it is no path but holds a key or signature; give a connection string as such (connectionString, or AZURE_STORAGE_CONNECTION_STRING), and a URL with its https://';
const schemeForm = /^([A-Za-z][A-Za-z0-9+.-]+):/;
const accountForm = /^[a-z0-9]{3,24}$/;
const containerForm = /^(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/;
const memoryForm = /^memory:([A-Za-z0-9_][A-Za-z0-9_.-]*)(?:\/(.*))?$/s;
// Public and national clouds, and the accounts with a DNS zone of their own.
const storageHost =
  /^([^.]+)\.((?:z\d+\.)?)(blob|dfs)\.(core\.windows\.net|core\.chinacloudapi\.cn|core\.usgovcloudapi\.net|storage\.azure\.net)$/;

/**
 * Reads a storage URL. Does no I/O.
 *
 * @throws TidemarkError URL_INVALID; the message never holds a query or a password.
 */
export function parseStoreUrl(url: string): StoreLocation {
  if (typeof url !== 'string' || url.trim() === '') throw invalid(String(url), 'it is empty');
  const scheme = schemeForm.exec(url)?.[1]?.toLowerCase();
  switch (scheme) {
    case undefined:
      // It would become the name of a folder, and that is shown.
      if (holdsSecret(url)) throw invalid(url, notAPath);
      return fileLocation(resolve(url));
    case 'memory':
      return parseMemory(url);
    case 'file':
      return parseFile(url);
    case 'az':
    case 'abfs':
    case 'abfss':
    case 'wasb':
    case 'wasbs':
    case 'http':
    case 'https':
      return parseBlob(url, scheme);
    default:
      throw invalid(url, `the scheme "${scheme}:" is not known`);
  }
}

function parseMemory(url: string): MemoryLocation {
  const match = memoryForm.exec(url);
  if (match === null) throw invalid(url, 'after memory: comes a name of letters, digits, dots, dashes and underscores');
  const prefix = parsePrefix(url, (match[2] ?? '').split('/'));
  const name = match[1]!;
  return { kind: 'memory', url: `memory:${name}${prefix === '' ? '' : `/${prefix}`}`, name, prefix };
}

function parseFile(url: string): FileLocation {
  try {
    const path = fileURLToPath(new URL(url));
    if (!url.toLowerCase().startsWith('file:///') || !isAbsolute(path)) throw new Error('not absolute');
    return fileLocation(path);
  } catch {
    throw invalid(url, 'a file URL is file:/// and an absolute path on this machine');
  }
}

function fileLocation(path: string): FileLocation {
  const trimmed = path.length > 1 ? path.replace(/[/\\]+$/, '') : path;
  return { kind: 'file', url: `file://${trimmed}`, path: trimmed };
}

function parseBlob(text: string, scheme: string): BlobLocation {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw invalid(text, 'it cannot be parsed');
  }
  if (url.password !== '') throw invalid(text, 'it holds a password');
  if (url.hash !== '') throw invalid(text, 'it has a part after #');
  const sasToken = parseSas(text, url);
  const segments = url.pathname
    .split('/')
    .slice(1)
    .map((segment) => decode(text, segment));

  if (scheme === 'az') {
    if (url.username !== '' || url.port !== '') throw invalid(text, 'az:// is followed by the container alone');
    return blobLocation(text, undefined, undefined, decode(text, url.host), segments, sasToken);
  }
  if (scheme === 'http' || scheme === 'https') {
    if (url.username !== '')
      throw invalid(text, 'there is a name before @; that form belongs to abfss:// and wasbs://');
    if (isLocalHost(url.hostname)) {
      const [account, container, ...path] = segments;
      return blobLocation(text, account ?? '', `${url.origin}/${account}`, container ?? '', path, sasToken);
    }
    if (scheme === 'http') throw invalid(text, 'http: is for Azurite on this machine only, use https:');
    const [container, ...path] = segments;
    return blobLocation(text, ...accountOf(text, url.host), container ?? '', path, sasToken);
  }
  if (url.username === '') throw invalid(text, `${scheme}:// is followed by <container>@<account>`);
  const container = decode(text, url.username);
  return blobLocation(text, ...accountOf(text, url.host), container, segments, sasToken);
}

function blobLocation(
  text: string,
  account: string | undefined,
  endpoint: string | undefined,
  container: string,
  path: readonly string[],
  sasToken: string | undefined,
): BlobLocation {
  if (account !== undefined && !accountForm.test(account)) {
    throw invalid(text, `"${account}" is no account name (3 to 24 lower-case letters and digits)`);
  }
  if (!containerForm.test(container)) {
    const rule = '3 to 63 lower-case letters, digits and single dashes';
    throw invalid(
      text,
      container === '' ? 'the container is missing' : `"${container}" is no container name (${rule})`,
    );
  }
  const prefix = parsePrefix(text, path);
  const url = formatBlobUrl(endpoint ?? 'az:/', container, prefix);
  return { kind: 'blob', url, account, endpoint, container, prefix, sasToken };
}

/** Canonical URL of a root within a container. */
export function formatBlobUrl(endpoint: string, container: string, prefix: string): string {
  const path = prefix === '' ? '' : `/${prefix.split('/').map(encodeURIComponent).join('/')}`;
  return `${endpoint}/${container}${path}`;
}

/** Account and blob endpoint of a host; ADLS goes through the blob endpoint too. */
function accountOf(text: string, host: string): [account: string, endpoint: string] {
  const match = storageHost.exec(host);
  if (match === null) {
    throw invalid(
      text,
      `"${host}" is no storage account host; for a domain of your own use az:// and a connection string with BlobEndpoint`,
    );
  }
  const [, account, zone, , suffix] = match;
  return [account!, `https://${account}.${zone}blob.${suffix}`];
}

function isLocalHost(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127(\.\d+){3}$/.test(host);
}

function parseSas(text: string, url: URL): string | undefined {
  if (url.search === '') return undefined;
  if (url.searchParams.has('sig')) return url.search.slice(1);
  throw invalid(text, 'it has a query that is no SAS token');
}

function parsePrefix(text: string, segments: readonly string[]): string {
  const path = segments.join('/').replace(/\/+$/, '');
  if (path === '') return '';
  const problem = findProblem(path);
  if (problem !== undefined) throw invalid(text, `the path is not allowed, ${problem}`);
  if (path.length > 120)
    throw invalid(text, `the path has ${path.length} characters, at most 120 leave room for names`);
  return path;
}

function decode(text: string, segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw invalid(text, 'a % is not followed by two hexadecimal digits');
  }
}

function invalid(url: string, problem: string): TidemarkError {
  const shown = withoutSecrets(url);
  return new TidemarkError('URL_INVALID', `The storage URL "${shown}" cannot be used: ${problem}. ${forms}`, {
    context: { url: shown },
  });
}

/** The URL without query, fragment and password, even if it is malformed. */
export function withoutSecrets(url: string): string {
  return maskSecrets(url)
    .replace(/[?#].*$/s, '')
    .replace(/^([A-Za-z][\w+.-]*:\/\/[^/@:]*):[^/]*@/, '$1@');
}
