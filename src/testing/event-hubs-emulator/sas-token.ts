import { createHmac, timingSafeEqual } from 'node:crypto';

export interface SasKey {
  readonly name: string;
  readonly key: string;
}

/** Why a shared access signature is refused, or undefined when it is good. `nowMs` is the real time: clients stamp with it. */
export function checkSasToken(token: string, audience: string, key: SasKey, nowMs: number): string | undefined {
  const prefix = 'SharedAccessSignature ';
  if (!token.startsWith(prefix)) return 'MalformedToken: The token is not a shared access signature.';
  const fields = new Map<string, string>();
  for (const part of token.slice(prefix.length).split('&')) {
    const equals = part.indexOf('=');
    fields.set(part.slice(0, equals), part.slice(equals + 1));
  }
  const [resource, signature, expiry, keyName] = ['sr', 'sig', 'se', 'skn'].map((name) => fields.get(name));
  if (resource === undefined || signature === undefined || expiry === undefined || keyName === undefined) {
    return 'MalformedToken: The token lacks sr, sig, se or skn.';
  }
  if (decode(keyName) !== key.name) return `InvalidKey: There is no key named '${decode(keyName)}'.`;
  const expected = createHmac('sha256', key.key).update(`${resource}\n${expiry}`).digest();
  const given = Buffer.from(decode(signature), 'base64');
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
    return 'InvalidSignature: The token has an invalid signature.';
  }
  if (!(Number(expiry) * 1000 > nowMs)) return `ExpiredToken: The token is expired. Expiration time: '${expiry}'.`;
  if (!covers(entityPath(decode(resource)), entityPath(audience))) {
    return `InvalidAudience: The token for '${decode(resource)}' does not cover '${audience}'.`;
  }
  return undefined;
}

/** The path of an audience or address without scheme and host, lower case, no slash at either end. */
export function entityPath(uri: string): string {
  return decode(uri)
    .replace(/^[a-z]+:\/\/[^/]*/i, '')
    .replace(/^\/+|\/+$/g, '')
    .toLowerCase();
}

/** Whether a claim for `claimed` allows the entity `path` or something below it. */
export function covers(claimed: string, path: string): boolean {
  return claimed === '' || path === claimed || path.startsWith(`${claimed}/`);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
