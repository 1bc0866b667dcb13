import { join } from 'node:path';
import { parseDemoOptions } from '../../../scripts/demo/options.ts';
import { openSetting } from '../../../scripts/demo/setting.ts';

// A supervisor that only starts the services, tells where they listen, and waits to be killed.
const folder = process.argv[2] ?? '';
const settings = {
  storage: { port: 0, account: 'devstoreaccount1', container: 'tidemark', dataFolder: join(folder, 'azurite') },
  eventHubs: {
    port: 0,
    dataFolder: join(folder, 'hubs'),
    hubs: [{ name: 'telemetry', partitionCount: 1, consumerGroups: [] }],
  },
};
const options = parseDemoOptions([])!;
const { container, env } = await openSetting(options, {}, { settings, folder: join(folder, 'demo') }, 0, console.error);
const hubPort = /:(\d+);/.exec(env.EVENTHUB_CONNECTION_STRING ?? '')?.[1];
console.log(JSON.stringify({ ports: [Number(new URL(container.url).port), Number(hubPort)] }));
setInterval(() => {}, 1000);
