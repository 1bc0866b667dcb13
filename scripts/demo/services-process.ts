import { createServer } from 'node:net';
import { startAzurite, startEventHubsEmulator } from '../../src/testing.ts';
import type { LocalSettings } from '../local-settings.ts';
import { runChild, tellParent } from './parent-channel.ts';
import type { ServicesMessage } from './protocol.ts';

/**
 * Process that holds Azurite (its own child) and the Event Hubs emulator. A process apart, and in a session of its own: a
 * Ctrl-C in the terminal must not reach them before the application has stopped.
 *
 * Argument: the local settings as JSON. Ends in good order at SIGTERM, at once when the parent is gone.
 */
await runChild(async () => {
  const { storage, eventHubs } = JSON.parse(process.argv[2] ?? '') as LocalSettings;
  const [storagePort, hubsPort] = await Promise.all([freePort(storage.port), freePort(eventHubs.port)]);
  const [azurite, emulator] = await Promise.all([
    startAzurite({ location: storage.dataFolder, port: storagePort }),
    startEventHubsEmulator({ hubs: eventHubs.hubs, port: hubsPort, dataFolder: eventHubs.dataFolder }),
  ]);
  const stopped = new Promise<void>((resolve) => process.once('SIGTERM', resolve));
  await tellParent({
    type: 'ready',
    storageConnectionString: azurite.connectionString,
    eventHubsConnectionString: emulator.connectionString,
  } satisfies ServicesMessage);
  await stopped;
  await Promise.all([azurite.stop(), emulator.stop()]);
});

/** The port itself if nobody listens there, otherwise 0: any. */
function freePort(port: number): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(0));
    probe.listen({ port, host: '127.0.0.1' }, () => probe.close(() => resolve(port)));
  });
}
