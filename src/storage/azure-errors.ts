import { RestError } from '@azure/storage-blob';
import type { ErrorCode } from '../base/error-codes.ts';
import { TidemarkError, toError } from '../base/errors.ts';

/**
 * What a failed request means, translated once for the whole program.
 *
 * `missing` the object is not there; `conflict` a condition of the request does not hold; `passing` it may work when
 * sent again; `final` it will not.
 */
export interface AzureFailure {
  readonly kind: 'missing' | 'conflict' | 'passing' | 'final';
  readonly error: TidemarkError;
  /** Of the service or the socket; empty when there is none. */
  readonly code: string;
  /** False only when the request surely never reached the service, so that a write cannot have happened. */
  readonly mayHaveArrived: boolean;
  /** Asked for by the service. */
  readonly retryAfterMs: number | undefined;
  /** Date of the answer, if there was one. */
  readonly serverTimeMs: number | undefined;
}

const passingStatuses = new Set([408, 429, 500, 502, 503, 504]);
const neverSent = new Set(['ENOTFOUND', 'EAI_AGAIN', 'ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH']);
const containerGone = new Set(['ContainerNotFound', 'ContainerDisabled', 'FilesystemNotFound']);
// 403 because of who asks, as opposed to what is asked.
const badCredentials = new Set([
  'AuthenticationFailed',
  // Also what the network rules of an account answer, and Azurite to a wrong key.
  'AuthorizationFailure',
  'InvalidAuthenticationInfo',
  'NoAuthenticationInformation',
  'PublicAccessNotPermitted',
  'KeyBasedAuthenticationNotPermitted',
]);
const identityErrors = new Set([
  'AuthenticationError',
  'AuthenticationRequiredError',
  'AggregateAuthenticationError',
  'CredentialUnavailableError',
]);

/** `root` names the store in messages, `timedOut` tells that our own limit ended the request. */
export function classifyAzureError(thrown: unknown, root: string, timedOut = false): AzureFailure {
  const error = toError(thrown);
  if (error instanceof TidemarkError) {
    return { kind: 'final', error, code: '', mayHaveArrived: false, retryAfterMs: undefined, serverTimeMs: undefined };
  }
  const rest = error instanceof RestError ? error : undefined;
  const status = rest?.statusCode;
  const headers = rest?.response?.headers;
  const code = headers?.get('x-ms-error-code') ?? (error as { code?: string }).code ?? '';
  const cause = withoutSecretsIn(error, code, status, headers?.get('x-ms-request-id'));
  const failure = (kind: AzureFailure['kind'], errorCode: ErrorCode, message: string): AzureFailure => ({
    kind,
    error: new TidemarkError(errorCode, message, { cause, context: { url: root, status, code } }),
    code,
    mayHaveArrived: status !== undefined || !neverSent.has(code),
    retryAfterMs: parseRetryAfter(headers?.get('retry-after')),
    serverTimeMs: parseDate(headers?.get('date')),
  });
  const said = `HTTP ${status}${code === '' ? '' : ` ${code}`}`;

  if (timedOut) return failure('passing', 'STORE_UNAVAILABLE', `${root} did not answer in time.`);
  if (identityErrors.has(error.name)) {
    return failure(
      'final',
      'CREDENTIALS_INVALID',
      `No token for ${root}: ${firstLine(error.message)} Log in (az login), or give a connection string, a SAS token or a key.`,
    );
  }
  if (status === undefined) {
    const hint = code === 'ENOTFOUND' ? ' Check the account name: its host name does not resolve.' : '';
    return failure(
      'passing',
      'STORE_UNAVAILABLE',
      `${root} cannot be reached: ${code || firstLine(error.message)}.${hint}`,
    );
  }
  if (passingStatuses.has(status) || code === 'Md5Mismatch' || code === 'PARSE_ERROR') {
    return failure('passing', 'STORE_UNAVAILABLE', `${root} answered ${said}.`);
  }
  if (containerGone.has(code)) {
    return failure(
      'final',
      'CONTAINER_MISSING',
      `The container of ${root} does not exist (${said}). Create it, or open the store with createContainer: true.`,
    );
  }
  if (status === 401 || badCredentials.has(code)) {
    return failure(
      'final',
      'CREDENTIALS_INVALID',
      `${root} refused the credentials (${said}). Check the key, or the SAS token and its expiry, the clock of this machine, and the network rules of the account.`,
    );
  }
  // A SAS token that may create but not write reports a taken name in this way.
  if (code === 'UnauthorizedBlobOverwrite')
    return failure('conflict', 'STORE_FORBIDDEN', `${root}: the name is taken.`);
  if (status === 403) {
    return failure(
      'final',
      'STORE_FORBIDDEN',
      `The credentials lack a permission on ${root} (${said}). Grant read, write, list and delete on the container (role Storage Blob Data Contributor).`,
    );
  }
  if (status === 404) return failure('missing', 'STORE_UNAVAILABLE', `${root}: the object does not exist (${said}).`);
  if (status === 413) return failure('final', 'LIMIT_EXCEEDED', `The object is too large for ${root} (${said}).`);
  if ((status === 409 || status === 412) && !/^(Container|Account|Filesystem)/.test(code)) {
    return failure(
      'conflict',
      'STORE_FORBIDDEN',
      `${root} refused the request because of the object's own state (${said}): a lease, an immutability policy, or the archive tier.`,
    );
  }
  if (status === 409) return failure('passing', 'STORE_UNAVAILABLE', `${root} is being changed or deleted (${said}).`);
  if (status === 400 && code === 'InvalidHeaderValue') {
    return failure(
      'final',
      'OPTION_INVALID',
      `${root} refused the API version. Start Azurite with --skipApiVersionCheck.`,
    );
  }
  return failure('final', 'INTERNAL', `${root} refused the request (${said}).`);
}

function parseRetryAfter(value: string | undefined): number | undefined {
  const seconds = Number(value);
  return value === undefined || !Number.isFinite(seconds) ? undefined : seconds * 1000;
}

function parseDate(value: string | undefined): number | undefined {
  const timeMs = Date.parse(value ?? '');
  return Number.isNaN(timeMs) ? undefined : timeMs;
}

/** An SDK error carries the request with its URL and headers. What we keep has the diagnosis and no secret. */
function withoutSecretsIn(
  error: Error,
  code: string,
  status: number | undefined,
  requestId: string | undefined,
): Error {
  const kept = Object.assign(new Error(firstLine(error.message)), { code, status, requestId });
  kept.name = error.name;
  return kept;
}

function firstLine(message: string): string {
  return redactSecrets(message.split('\n', 1)[0] ?? '').slice(0, 300);
}

/** Blots out signatures and keys, wherever in a text they stand. */
export function redactSecrets(text: string): string {
  return text
    .replace(/([?&;\s"']|^)(sig|AccountKey|SharedAccessSignature|SharedAccessKey)=[^&;\s"']*/gi, '$1$2=***')
    .replace(/\b(SharedKey|Bearer)\s+\S+/gi, '$1 ***');
}
