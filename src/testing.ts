export { ManualClock } from './base/clock.ts';
export { SeededRandom } from './base/random.ts';
export { type Azurite, type AzuriteOptions, startAzurite } from './testing/azurite.ts';
export {
  type AttachRefusal,
  type EmulatedHubOptions,
  type EmulatedPartitionProperties,
  type EventHubsEmulator,
  type EventHubsEmulatorFaults,
  type EventHubsEmulatorOptions,
  type LinkDetachment,
  type LinkSelector,
  parseEmulatorConfig,
  readEmulatorConfig,
  startEventHubsEmulator,
} from './testing/event-hubs-emulator.ts';
