import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { checkSasToken, covers, entityPath } from '../../../src/testing/event-hubs-emulator/sas-token.ts';

const key = { name: 'root', key: 'the-key' };
const nowMs = 1_700_000_000_000;

function token(audience: string, options: { key?: string; name?: string; expiry?: number } = {}): string {
  const resource = encodeURIComponent(audience);
  const expiry = options.expiry ?? nowMs / 1000 + 60;
  const signature = createHmac('sha256', options.key ?? key.key)
    .update(`${resource}\n${expiry}`)
    .digest('base64');
  return `SharedAccessSignature sr=${resource}&sig=${encodeURIComponent(signature)}&se=${expiry}&skn=${options.name ?? key.name}`;
}

describe('a shared access signature', () => {
  const audience = 'sb://localhost:5672/hub/Partitions/1';

  it('is good for its audience and what lies below it', () => {
    expect(checkSasToken(token(audience), audience, key, nowMs)).toBeUndefined();
    expect(checkSasToken(token('sb://localhost/Hub'), audience, key, nowMs)).toBeUndefined();
    expect(checkSasToken(token('sb://localhost/'), audience, key, nowMs)).toBeUndefined();
  });

  it.each([
    ['of another key', token(audience, { key: 'other' }), 'InvalidSignature'],
    ['of another key name', token(audience, { name: 'other' }), 'InvalidKey'],
    ['that has expired', token(audience, { expiry: nowMs / 1000 }), 'ExpiredToken'],
    ['with a changed expiry', token(audience).replace('se=17', 'se=27'), 'InvalidSignature'],
    ['without a number as expiry', token(audience, { expiry: Number.NaN }), 'ExpiredToken'],
    ['for another hub', token('sb://localhost/other'), 'InvalidAudience'],
    ['for a hub whose name goes on', token('sb://localhost/hu'), 'InvalidAudience'],
    ['that is something else', 'Bearer abc', 'MalformedToken'],
    ['that lacks fields', 'SharedAccessSignature sr=a', 'MalformedToken'],
    ['with a broken escape', 'SharedAccessSignature sr=%&sig=%&se=1&skn=%', 'InvalidKey'],
  ])('%s is refused', (_name, text, reason) => {
    expect(checkSasToken(text, audience, key, nowMs)).toContain(reason);
  });
});

it('entity paths compare without scheme, host, case and outer slashes', () => {
  expect(entityPath('sb://host:1/Hub/ConsumerGroups/$Default/')).toBe('hub/consumergroups/$default');
  expect(entityPath('/hub')).toBe('hub');
  expect(covers('hub', 'hub/partitions/0')).toBe(true);
  expect(covers('hub', 'hub2')).toBe(false);
});
