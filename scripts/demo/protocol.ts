import type { TableRow } from '../../src/cli/table.ts';

/**
 * What the processes of the demo say to each other over their IPC channels. Every message is one plain object with a `type`.
 *
 * A child that loses its channel has lost its parent: it ends at once (die-with-parent.ts is loaded into each of them).
 */

/** Driver (scripts/demo/driver.ts) to supervisor. */
export type DriverMessage =
  /** First message of every process: what it found in the checkpoint. All zero on the very first start. */
  | {
      readonly type: 'recovered';
      readonly slot: number;
      readonly epoch: number;
      readonly stateKeys: number;
      readonly batchesReplayed: number;
      readonly tookMs: number;
    }
  | {
      readonly type: 'batch';
      readonly batchTimeMs: number;
      readonly records: number;
      readonly processingMs: number;
      readonly schedulingDelayMs: number;
      readonly totalDelayMs: number;
      readonly checkpointBytes: number;
      readonly checkpointOperations: number;
    }
  /** Replaces the table on the screen. */
  | { readonly type: 'table'; readonly rows: readonly TableRow[] }
  /** Everything that had arrived is committed and published; the process ends by itself. */
  | { readonly type: 'stopped' }
  /** It gives up; the process ends by itself. */
  | { readonly type: 'failed'; readonly code: string; readonly message: string };

/** Supervisor to driver and to generator: come to an end in good order. */
export interface StopMessage {
  readonly type: 'stop';
}

/** Generator to supervisor. */
export type GeneratorMessage =
  /** Connected; `startingSequenceNumbers` of a partition: the first one this run can use. */
  | { readonly type: 'ready'; readonly startingSequenceNumbers: Readonly<Record<string, number>> }
  /** About once a second. */
  | { readonly type: 'progress'; readonly sent: number; readonly behind: number }
  /** Everything is sent, the ledger is complete. */
  | { readonly type: 'finished'; readonly sent: number }
  | { readonly type: 'failed'; readonly code: string; readonly message: string };

/** Services (Azurite and the Event Hubs emulator in one process) to supervisor. */
export type ServicesMessage =
  | { readonly type: 'ready'; readonly storageConnectionString: string; readonly eventHubsConnectionString: string }
  | { readonly type: 'failed'; readonly code: string; readonly message: string };

/**
 * Environment the driver and the generator are started with. The Azure ones are those a user sets to run against a real
 * namespace; DefaultAzureCredential is used where a connection string is left out.
 */
export interface DemoEnvironment {
  readonly EVENTHUB_CONNECTION_STRING?: string | undefined;
  /** `<name>.servicebus.windows.net`, without a connection string. */
  readonly EVENTHUB_NAMESPACE?: string | undefined;
  readonly EVENTHUB_NAME: string;
  readonly EVENTHUB_CONSUMER_GROUP: string;
  readonly AZURE_STORAGE_CONNECTION_STRING?: string | undefined;
  /** Where the checkpoint goes, as a storage URL. */
  readonly TIDEMARK_CHECKPOINT_URL: string;
  /** Folder of the outputs; each output writes below `<url>/<uid>/`, the one that is judged has the uid `counts`. */
  readonly TIDEMARK_OUTPUT_URL: string;
  /** JSON: by partition id, the first sequence number to read on the first start. Events before it are of earlier runs. */
  readonly TIDEMARK_STARTING_SEQUENCE_NUMBERS: string;
}
