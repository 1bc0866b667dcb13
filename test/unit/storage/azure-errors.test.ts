import { RestError } from '@azure/storage-blob';
import { describe, expect, it } from 'vitest';
import { classifyAzureError, redactSecrets } from '../../../src/storage/azure-errors.ts';

const root = 'https://a.blob.core.windows.net/c';

function answer(status: number, code: string, headers: Readonly<Record<string, string>> = {}): RestError {
  const all: Record<string, string> = { 'x-ms-error-code': code, ...headers };
  const response = { status, headers: { get: (name: string) => all[name] } };
  return new RestError(code, { statusCode: status, response: response as never });
}

describe('classifyAzureError', () => {
  it.each([
    [404, 'BlobNotFound', 'missing', 'STORE_UNAVAILABLE'],
    [404, 'ContainerNotFound', 'final', 'CONTAINER_MISSING'],
    [409, 'BlobAlreadyExists', 'conflict', 'STORE_FORBIDDEN'],
    [412, 'ConditionNotMet', 'conflict', 'STORE_FORBIDDEN'],
    [403, 'UnauthorizedBlobOverwrite', 'conflict', 'STORE_FORBIDDEN'],
    [409, 'ContainerBeingDeleted', 'passing', 'STORE_UNAVAILABLE'],
    [401, 'InvalidAuthenticationInfo', 'final', 'CREDENTIALS_INVALID'],
    [403, 'AuthenticationFailed', 'final', 'CREDENTIALS_INVALID'],
    [409, 'PublicAccessNotPermitted', 'final', 'CREDENTIALS_INVALID'],
    [403, 'AuthorizationPermissionMismatch', 'final', 'STORE_FORBIDDEN'],
    [403, 'AccountIsDisabled', 'final', 'STORE_FORBIDDEN'],
    [413, 'RequestBodyTooLarge', 'final', 'LIMIT_EXCEEDED'],
    [400, 'Md5Mismatch', 'passing', 'STORE_UNAVAILABLE'],
    [400, 'InvalidHeaderValue', 'final', 'OPTION_INVALID'],
    [408, 'RequestTimeout', 'passing', 'STORE_UNAVAILABLE'],
    [429, 'TooManyRequests', 'passing', 'STORE_UNAVAILABLE'],
    [500, 'InternalError', 'passing', 'STORE_UNAVAILABLE'],
    [503, 'ServerBusy', 'passing', 'STORE_UNAVAILABLE'],
  ])('takes HTTP %i %s for %s, %s', (status, code, kind, errorCode) => {
    const failure = classifyAzureError(answer(status, code), root);
    expect(failure).toMatchObject({ kind, code, mayHaveArrived: true, error: { code: errorCode } });
    expect(failure.error.message).toContain(root);
  });

  it('reads the date and the wait the service asks for', () => {
    const date = 'Sun, 22 Nov 2026 12:00:00 GMT';
    expect(classifyAzureError(answer(503, 'ServerBusy', { date, 'retry-after': '7' }), root)).toMatchObject({
      serverTimeMs: Date.parse(date),
      retryAfterMs: 7_000,
    });
  });

  it.each(['ENOTFOUND', 'EAI_AGAIN', 'ECONNREFUSED'])('knows that nothing arrived after %s', (code) => {
    expect(classifyAzureError(new RestError('no', { code }), root)).toMatchObject({
      kind: 'passing',
      mayHaveArrived: false,
    });
  });

  it.each(['ECONNRESET', 'EPIPE', 'ETIMEDOUT'])('does not know what arrived after %s', (code) => {
    expect(classifyAzureError(new RestError('no', { code }), root)).toMatchObject({
      kind: 'passing',
      mayHaveArrived: true,
    });
  });
});

describe('redactSecrets', () => {
  it.each([
    'GET https://a.blob.core.windows.net/c?sv=1&sig=hunter2&sp=r failed',
    'AccountName=a;AccountKey=hunter2;EndpointSuffix=x',
    'Authorization: SharedKey hunter2',
    'Authorization: Bearer hunter2',
    'sig=hunter2',
  ])('blots out the secret of %j', (text) => {
    expect(redactSecrets(text)).not.toContain('hunter2');
    expect(redactSecrets(text)).toContain('***');
  });
});
