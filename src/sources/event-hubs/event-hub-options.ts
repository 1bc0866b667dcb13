import { TidemarkError } from '../../base/errors.ts';
import { requireKnownOptions } from '../../base/options.ts';
import { maskSecrets } from '../../base/secrets.ts';
import { type HubAddress, parseConnectionString } from './connection-string.ts';
import type { BodyFormat } from './event-hub-event.ts';

/** Where to begin in a partition for which nothing is recorded yet. */
export type StartingPosition =
  | 'earliest'
  | 'latest'
  | {
      readonly sequenceNumber: number;
      /** True: begin with this event. False (default): begin after it. */
      readonly isInclusive?: boolean | undefined;
    }
  /** Begin with the first event that was enqueued after this moment (a Date, or ms since the Unix epoch). */
  | { readonly enqueuedTime: Date | number };

/** What an application should hear of though the stream goes on. */
export interface EventHubWarning {
  readonly kind: 'events_lost' | 'partition_added' | 'reconnecting' | 'silent_link';
  readonly message: string;
  readonly partitionId?: string | undefined;
  /** Of `events_lost`: the sequence numbers `from` to `to` (exclusive) are gone. */
  readonly from?: number | undefined;
  readonly to?: number | undefined;
}

/** Any `TokenCredential` of `@azure/identity` fits. */
export interface TokenSource {
  getToken(
    scopes: string | string[],
  ): Promise<{ readonly token: string; readonly expiresOnTimestamp: number } | null | undefined>;
}

export interface RetryOptions {
  /** Pause before the second attempt; doubles from there. Default 200. */
  readonly firstDelayMs?: number | undefined;
  /** Longest pause between two attempts. Default 10,000. */
  readonly maxDelayMs?: number | undefined;
  /** How long attempts may fail in a row before the stream stops with SOURCE_UNAVAILABLE. Default 60,000. */
  readonly totalMs?: number | undefined;
  /** How long one request to the service may take. Default 15,000. */
  readonly attemptTimeoutMs?: number | undefined;
}

export interface EventHubOptions {
  /** Of the namespace or the hub. Default: the environment variable EVENTHUB_CONNECTION_STRING. */
  readonly connectionString?: string | undefined;
  /** `<name>.servicebus.windows.net`, instead of a connection string. */
  readonly fullyQualifiedNamespace?: string | undefined;
  /** Used with `fullyQualifiedNamespace`. Default: DefaultAzureCredential of `@azure/identity`. */
  readonly credential?: TokenSource | undefined;
  /** Default: EntityPath of the connection string, then the environment variable EVENTHUB_NAME. */
  readonly eventHubName?: string | undefined;
  /** One application per consumer group. Default `$Default`. */
  readonly consumerGroup?: string | undefined;
  /** For all partitions, or by partition id. Only for partitions without a recorded position. Default `latest`. */
  readonly startingPosition?: StartingPosition | Readonly<Record<string, StartingPosition>> | undefined;
  /** Over all partitions, shared by backlog. Default: what the buffers hold. */
  readonly maxEventsPerBatch?: number | undefined;
  /** Of one partition in one batch. Default: what its buffer holds. */
  readonly maxEventsPerPartition?: number | undefined;
  /** Events kept in memory per partition, until their batch is committed. Default 10,000. */
  readonly bufferEventsMax?: number | undefined;
  /** Size of the bodies kept in memory per partition. Approximate: credit is granted by the average event. Default 64 MiB. */
  readonly bufferBytesMax?: number | undefined;
  /** `json` (default): parsed if it parses, else bytes; `bytes`: always a Buffer; `text`: always a string. */
  readonly body?: BodyFormat | undefined;
  /** `fail` (default) stops with the exact lost range; `skip` goes on after it, with a warning. */
  readonly onDataLoss?: 'fail' | 'skip' | undefined;
  readonly retry?: RetryOptions | undefined;
  /** How long reading a recorded range may wait without any event arriving. Default 60,000. */
  readonly readTimeoutMs?: number | undefined;
  /** A link that owes events and delivers nothing for so long is opened anew. Default 30,000. */
  readonly silenceMs?: number | undefined;
  /** Default: `process.emitWarning`. */
  readonly onWarning?: ((warning: EventHubWarning) => void) | undefined;
}

/** Options with every default filled in. */
export interface EventHubSettings {
  readonly address: HubAddress;
  /** Set when the address carries no key: the caller's credential, or undefined for DefaultAzureCredential. */
  readonly credential: TokenSource | undefined;
  readonly consumerGroup: string;
  readonly startingPositionOf: (partitionId: string) => StartingPosition;
  /** Partition ids that the options name; one that the hub doesn't have is refused at start. */
  readonly namedPartitions: readonly string[];
  readonly maxEventsPerBatch: number;
  readonly maxEventsPerPartition: number;
  readonly bufferEventsMax: number;
  readonly bufferBytesMax: number;
  readonly body: BodyFormat;
  readonly onDataLoss: 'fail' | 'skip';
  readonly retry: Required<{ [K in keyof RetryOptions]: number }>;
  readonly readTimeoutMs: number;
  readonly silenceMs: number;
  readonly onWarning: (warning: EventHubWarning) => void;
}

const optionNames = [
  'connectionString',
  'fullyQualifiedNamespace',
  'credential',
  'eventHubName',
  'consumerGroup',
  'startingPosition',
  'maxEventsPerBatch',
  'maxEventsPerPartition',
  'bufferEventsMax',
  'bufferBytesMax',
  'body',
  'onDataLoss',
  'retry',
  'readTimeoutMs',
  'silenceMs',
  'onWarning',
] as const satisfies readonly (keyof EventHubOptions)[];

const retryNames = [
  'firstDelayMs',
  'maxDelayMs',
  'totalMs',
  'attemptTimeoutMs',
] as const satisfies readonly (keyof RetryOptions)[];

/** @throws OPTION_INVALID naming the option, its value and what is accepted. Never repeats a secret. */
export function parseEventHubOptions(
  options: EventHubOptions,
  env: Readonly<Record<string, string | undefined>>,
): EventHubSettings {
  requireKnownOptions('eventHubStream', options, optionNames);
  const retry = options.retry ?? {};
  requireKnownOptions('eventHubStream retry', retry, retryNames);
  const { address, credential } = parseAddress(options, env);
  const start = options.startingPosition ?? 'latest';
  const byPartition = isByPartition(start);
  if (byPartition)
    for (const [id, position] of Object.entries(start)) checkPosition(position, `startingPosition['${id}']`);
  else checkPosition(start, 'startingPosition');

  return {
    address,
    credential,
    consumerGroup: name(options.consumerGroup ?? '$Default', 'consumerGroup'),
    startingPositionOf: (id) => (byPartition ? (start[id] ?? 'latest') : start),
    namedPartitions: byPartition ? Object.keys(start) : [],
    maxEventsPerBatch: count(options.maxEventsPerBatch, 'maxEventsPerBatch', Number.MAX_SAFE_INTEGER),
    maxEventsPerPartition: count(options.maxEventsPerPartition, 'maxEventsPerPartition', Number.MAX_SAFE_INTEGER),
    bufferEventsMax: count(options.bufferEventsMax, 'bufferEventsMax', 10_000),
    bufferBytesMax: count(options.bufferBytesMax, 'bufferBytesMax', 64 * 1024 * 1024),
    body: oneOf(options.body ?? 'json', 'body', ['json', 'bytes', 'text']),
    onDataLoss: oneOf(options.onDataLoss ?? 'fail', 'onDataLoss', ['fail', 'skip']),
    retry: {
      firstDelayMs: count(retry.firstDelayMs, 'retry.firstDelayMs', 200),
      maxDelayMs: count(retry.maxDelayMs, 'retry.maxDelayMs', 10_000),
      totalMs: count(retry.totalMs, 'retry.totalMs', 60_000),
      attemptTimeoutMs: count(retry.attemptTimeoutMs, 'retry.attemptTimeoutMs', 15_000),
    },
    readTimeoutMs: count(options.readTimeoutMs, 'readTimeoutMs', 60_000),
    silenceMs: count(options.silenceMs, 'silenceMs', 30_000),
    onWarning: options.onWarning ?? emitProcessWarning,
  };
}

function parseAddress(
  options: EventHubOptions,
  env: Readonly<Record<string, string | undefined>>,
): { readonly address: HubAddress; readonly credential: TokenSource | undefined } {
  const { fullyQualifiedNamespace: namespace, credential } = options;
  if (namespace !== undefined) {
    if (options.connectionString !== undefined) {
      throw invalid('Give either connectionString or fullyQualifiedNamespace, not both.');
    }
    if (!/^[A-Za-z0-9.-]+$/.test(namespace)) {
      throw invalid(
        `fullyQualifiedNamespace is '${maskSecrets(namespace)}'; a host name is expected, like 'mynamespace.servicebus.windows.net'.`,
      );
    }
    if (credential !== undefined && typeof credential?.getToken !== 'function') {
      throw invalid('credential has no getToken(); give a TokenCredential of @azure/identity.');
    }
    const hub = name(options.eventHubName ?? env.EVENTHUB_NAME, 'eventHubName');
    return {
      address: { host: namespace, port: 5671, tls: true, endpoint: `sb://${namespace}/`, hub, key: undefined },
      credential,
    };
  }
  const connectionString = options.connectionString ?? env.EVENTHUB_CONNECTION_STRING;
  if (connectionString === undefined || connectionString === '') {
    throw invalid(
      'No event hub is given. Set connectionString, or fullyQualifiedNamespace with a credential, or the environment variable EVENTHUB_CONNECTION_STRING.',
    );
  }
  if (credential !== undefined)
    throw invalid('credential is used with fullyQualifiedNamespace only, not with connectionString.');
  const parsed = parseConnectionString(connectionString);
  if (
    options.eventHubName !== undefined &&
    parsed.entityPath !== undefined &&
    options.eventHubName !== parsed.entityPath
  ) {
    throw invalid(
      `eventHubName is '${options.eventHubName}' but the connection string has EntityPath=${parsed.entityPath}. Use the same name, or leave one out.`,
    );
  }
  const hub = name(options.eventHubName ?? parsed.entityPath ?? env.EVENTHUB_NAME, 'eventHubName');
  return { address: { ...parsed.server, hub }, credential: undefined };
}

function isByPartition(
  start: StartingPosition | Readonly<Record<string, StartingPosition>>,
): start is Readonly<Record<string, StartingPosition>> {
  return typeof start === 'object' && start !== null && !('sequenceNumber' in start) && !('enqueuedTime' in start);
}

function checkPosition(position: StartingPosition, option: string): void {
  if (position === 'earliest' || position === 'latest') return;
  if (typeof position === 'object' && position !== null) {
    const number = 'sequenceNumber' in position ? position.sequenceNumber : Number(position.enqueuedTime);
    if (Number.isSafeInteger(number) && number >= 0) return;
  }
  throw invalid(
    `${option} is ${JSON.stringify(position)}; accepted are 'earliest', 'latest', { sequenceNumber, isInclusive? }, { enqueuedTime: Date or ms }, or an object of these by partition id.`,
  );
}

function count(value: number | undefined, option: string, fallback: number): number {
  if (value === undefined) return fallback;
  if (!Number.isSafeInteger(value) || value < 1)
    throw invalid(`${option} is ${value}; a whole number of at least 1 is expected.`);
  return value;
}

function oneOf<T extends string>(value: T, option: string, accepted: readonly T[]): T {
  if (!accepted.includes(value)) throw invalid(`${option} is '${value}'. Accepted: ${accepted.join(', ')}.`);
  return value;
}

function name(value: string | undefined, option: string): string {
  if (typeof value !== 'string' || !/^[\w.$/-]{1,256}$/.test(value)) {
    throw invalid(
      value === undefined
        ? `${option} is missing. Set it, or EntityPath in the connection string, or the environment variable EVENTHUB_NAME.`
        : `${option} is '${value}'; a name of letters, digits, '.', '-', '_' is expected.`,
    );
  }
  return value;
}

function emitProcessWarning(warning: EventHubWarning): void {
  process.emitWarning(warning.message, { type: 'TidemarkWarning', code: warning.kind });
}

function invalid(message: string): TidemarkError {
  return new TidemarkError('OPTION_INVALID', message);
}
