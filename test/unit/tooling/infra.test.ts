import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { readLocalSettings } from '../../../scripts/local-settings.ts';
import { projectRoot } from '../../../scripts/steps.ts';
import { readEmulatorConfig } from '../../../src/testing.ts';

interface Compose {
  readonly services: Record<string, { readonly ports: readonly string[]; readonly volumes: readonly string[] }>;
}

const settings = readLocalSettings();
const compose = parse(readFileSync(join(projectRoot, 'infra', 'compose.yaml'), 'utf8')) as Compose;

test('the containers listen on the ports of azurite.json, on this machine only', () => {
  expect(compose.services.azurite?.ports).toEqual([`127.0.0.1:${settings.storage.port}:10000`]);
  expect(compose.services['event-hubs']?.ports).toEqual([`127.0.0.1:${settings.eventHubs.port}:5672`]);
});

test('the official emulator gets the hubs of azurite.json', () => {
  const file = compose.services['event-hubs']?.volumes[0]?.split(':')[0] ?? '';
  expect(readEmulatorConfig(join(projectRoot, 'infra', file))).toEqual(
    settings.eventHubs.hubs.map((hub) => expect.objectContaining(hub)),
  );
});
