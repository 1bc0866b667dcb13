export { parseEmulatorConfig, readEmulatorConfig } from './event-hubs-emulator/config-file.ts';
export {
  type EmulatedPartitionProperties,
  type EventHubsEmulator,
  startEventHubsEmulator,
} from './event-hubs-emulator/emulator.ts';
export type {
  AttachRefusal,
  EventHubsEmulatorFaults,
  LinkDetachment,
  LinkSelector,
} from './event-hubs-emulator/faults.ts';
export type { EmulatedHubOptions, EventHubsEmulatorOptions } from './event-hubs-emulator/options.ts';
