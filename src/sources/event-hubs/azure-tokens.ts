import { Constants, createSasTokenProvider, TokenType } from '@azure/core-amqp';
import { TidemarkError, toError } from '../../base/errors.ts';
import type { HubAddress } from './connection-string.ts';
import type { TokenSource } from './event-hub-options.ts';
import { HubFailure } from './hub-connection.ts';

export interface HubToken {
  readonly token: string;
  readonly type: TokenType;
  /** When it should be replaced, ms since the Unix epoch. */
  readonly renewAtMs: number;
}

/** Gives a token for an audience (`sb://host/hub/...`). */
export type TokenProvider = (audience: string) => Promise<HubToken>;

// Signed tokens live for an hour and cost nothing, so they are replaced well before.
const signedLifeMs = 45 * 60_000;
const renewBeforeExpiryMs = 2 * 60_000;

/** @throws DEPENDENCY_MISSING when DefaultAzureCredential is needed and @azure/identity is not installed. */
export async function createTokenProvider(
  address: HubAddress,
  credential: TokenSource | undefined,
  now: () => number,
): Promise<TokenProvider> {
  if (address.key) {
    const provider = createSasTokenProvider(address.key);
    return async (audience) => ({
      token: (await provider.getToken(audience)).token,
      type: TokenType.CbsTokenTypeSas,
      renewAtMs: now() + signedLifeMs,
    });
  }
  const source = credential ?? (await defaultCredential());
  return async () => {
    const token = await source.getToken(Constants.aadEventHubsScope).catch((error: unknown) => {
      throw new HubFailure('unauthorized', `The credential gave no token: ${toError(error).message}`, error);
    });
    if (!token)
      throw new HubFailure('unauthorized', `The credential gave no token for ${Constants.aadEventHubsScope}.`);
    return {
      token: token.token,
      type: TokenType.CbsTokenTypeJwt,
      renewAtMs: Math.max(now() + 1000, token.expiresOnTimestamp - renewBeforeExpiryMs),
    };
  };
}

async function defaultCredential(): Promise<TokenSource> {
  try {
    const { DefaultAzureCredential } = await import('@azure/identity');
    return new DefaultAzureCredential();
  } catch (error) {
    throw new TidemarkError(
      'DEPENDENCY_MISSING',
      'fullyQualifiedNamespace without a credential uses DefaultAzureCredential: install @azure/identity, or give a credential.',
      { cause: error },
    );
  }
}
