import { startEventHubsEmulator } from '../src/testing.ts';

// The Event Hubs emulator in a process of its own. Argument: the hubs as JSON. Tells its CPU time when it is asked.
const hubs = JSON.parse(process.argv[2] ?? '') as { name: string; partitionCount: number }[];
const emulator = await startEventHubsEmulator({ hubs });
process.on('message', () => {
  const { user, system } = process.cpuUsage();
  process.send?.(user + system);
});
process.on('disconnect', () => process.exit(0));
process.send?.(emulator.connectionString);
