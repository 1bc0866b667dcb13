export { ManualClock } from './base/clock.ts';
export { SeededRandom } from './base/random.ts';
export { dropMemoryStore, MemoryStore, type MemoryStoreOptions } from './storage/memory-store.ts';
export { openObjectStore } from './storage/open-store.ts';
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
export { type CrashOptions, FaultyStore, type StoreFault, type StoreFaultPattern } from './testing/faulty-store.ts';
export { MemoryTopic } from './testing/memory-topic.ts';
export type { SimulatedProgram } from './testing/simulation/driver.ts';
export type { SimulationFaults } from './testing/simulation/faults.ts';
export type { CommittedBatch, ExpectedRows, SimulatedFence, SimulationModel } from './testing/simulation/line.ts';
export type { OperatorCounts } from './testing/simulation/operator.ts';
export type { OutputRows } from './testing/simulation/output-ledger.ts';
export {
  type SimulatedInput,
  type SimulationOptions,
  type SimulationReport,
  simulate,
} from './testing/simulation/simulate.ts';
export type { SimulatedRow } from './testing/simulation/topic.ts';
