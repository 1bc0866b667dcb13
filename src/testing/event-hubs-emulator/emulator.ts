import { createServer, type Server } from 'node:net';
import { SystemClock } from '../../base/clock.ts';
import { TidemarkError, toError } from '../../base/errors.ts';
import { SystemRandom } from '../../base/random.ts';
import { ClientConnection } from './client-connection.ts';
import { conditions } from './conditions.ts';
import { lockDataFolder } from './data-folder.ts';
import type { EventHubsEmulatorFaults } from './faults.ts';
import { Hub } from './hub.ts';
import { Namespace } from './namespace.ts';
import { checkHubs, checkInteger, type EventHubsEmulatorOptions, invalid } from './options.ts';
import { readInto } from './read-into.ts';
import { createContainer } from './rhea-internals.ts';

/** State of a partition, for tests and tools that want it without a client. */
export interface EmulatedPartitionProperties {
  /** Of the oldest retained event; equals `nextSequenceNumber` when nothing is retained. */
  readonly beginSequenceNumber: number;
  readonly nextSequenceNumber: number;
}

/** A running local Event Hubs. */
export interface EventHubsEmulator {
  readonly host: string;
  readonly port: number;
  /** For the clients of any SDK; without a hub name. */
  readonly connectionString: string;
  readonly hubNames: readonly string[];
  readonly faults: EventHubsEmulatorFaults;
  /** Connections open now. */
  readonly connectionCount: number;
  partitionProperties(hub: string, partition: number): EmulatedPartitionProperties;
  /** Receivers attached to a partition, over all consumer groups. */
  readerCount(hub: string, partition: number): number;
  /** Cuts all connections, closes all files. Idempotent. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const connectionsMax = 5000;
const defaultMaxMessageBytes = 1024 * 1024;
/** A read of any connection brings this much at most; what it brought is used up before the next. */
const readBuffer = Buffer.allocUnsafeSlow(256 * 1024);

/**
 * Starts a local Event Hubs that the published Azure SDKs use without knowing.
 *
 * @throws TidemarkError OPTION_INVALID naming the field, EMULATOR_UNAVAILABLE when the port or the data folder is in
 * use, EMULATOR_DATA_CORRUPT when stored events are damaged
 */
export async function startEventHubsEmulator(options: EventHubsEmulatorOptions): Promise<EventHubsEmulator> {
  const { dataFolder, host = '127.0.0.1' } = options;
  const settings = checkHubs(options.hubs, dataFolder !== undefined);
  const port = checkInteger('port', options.port ?? 0, 0, 65_535);
  const maxMessageBytes = checkInteger(
    'maxMessageBytes',
    options.maxMessageBytes ?? defaultMaxMessageBytes,
    1024,
    64 * 2 ** 20,
  );
  const key = {
    name: checkKey('sharedAccessKeyName', options.sharedAccessKeyName ?? 'RootManageSharedAccessKey'),
    key: checkKey('sharedAccessKey', options.sharedAccessKey ?? 'SAS_KEY_VALUE'),
  };
  const clock = options.clock ?? new SystemClock();
  const random = options.random ?? new SystemRandom();
  const unlock = dataFolder === undefined ? () => {} : lockDataFolder(dataFolder);
  const hubs: Hub[] = [];
  try {
    for (const hub of settings) hubs.push(new Hub(hub, dataFolder, clock));
    const namespace = new Namespace({ hubs, key, clock, tokenClock: new SystemClock(), maxMessageBytes });
    const running = new RunningEmulator(namespace, random.id(), host, options.log ?? (() => {}), unlock);
    await running.listen(port);
    return running;
  } catch (error) {
    for (const hub of hubs) hub.close();
    unlock();
    throw error;
  }
}

class RunningEmulator implements EventHubsEmulator {
  readonly host: string;
  readonly faults: EventHubsEmulatorFaults;
  readonly #namespace: Namespace;
  readonly #connections = new Set<ClientConnection>();
  readonly #server: Server;
  readonly #unlock: () => void;
  #port = 0;
  #stopped: Promise<void> | undefined;

  constructor(namespace: Namespace, id: string, host: string, log: (line: string) => void, unlock: () => void) {
    this.#namespace = namespace;
    this.host = host;
    this.#unlock = unlock;
    const container = createContainer(id);
    container.on('error', (error: unknown) => log(toError(error).message));
    this.#server = createServer({ pauseOnConnect: true }, (accepted) => {
      if (namespace.faults.takeDroppedConnection()) {
        // A reset is what clients retry; an orderly end before the first frame is a wrong server to them.
        accepted.resetAndDestroy();
        return;
      }
      const socket = readInto(readBuffer, accepted);
      const connection = new ClientConnection(namespace, container, socket, log);
      this.#connections.add(connection);
      socket.on('close', () => this.#connections.delete(connection));
    });
    this.#server.maxConnections = connectionsMax;
    this.faults = createFaults(namespace, this.#connections);
  }

  get port(): number {
    return this.#port;
  }

  get connectionString(): string {
    const { name, key } = this.#namespace.key;
    return `Endpoint=sb://${this.host}:${this.#port};SharedAccessKeyName=${name};SharedAccessKey=${key};UseDevelopmentEmulator=true`;
  }

  get hubNames(): readonly string[] {
    return this.#namespace.hubs.map((hub) => hub.settings.name);
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  partitionProperties(hub: string, partition: number): EmulatedPartitionProperties {
    const { log } = findPartition(this.#namespace, hub, partition);
    return { beginSequenceNumber: log.begin, nextSequenceNumber: log.next };
  }

  readerCount(hub: string, partition: number): number {
    const { readers } = findPartition(this.#namespace, hub, partition);
    return [...readers.values()].reduce((sum, registry) => sum + registry.size, 0);
  }

  listen(port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', (cause) => {
        reject(
          new TidemarkError(
            'EMULATOR_UNAVAILABLE',
            `Cannot listen on ${this.host}:${port}: ${toError(cause).message}.`,
            { cause },
          ),
        );
      });
      this.#server.listen({ port, host: this.host }, () => {
        const address = this.#server.address();
        if (address !== null && typeof address === 'object') this.#port = address.port;
        resolve();
      });
    });
  }

  stop(): Promise<void> {
    this.#stopped ??= new Promise((resolve) => {
      this.#server.close(() => {
        for (const hub of this.#namespace.hubs) hub.close();
        this.#unlock();
        resolve();
      });
      for (const connection of [...this.#connections]) connection.destroy();
    });
    return this.#stopped;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

function createFaults(namespace: Namespace, connections: ReadonlySet<ClientConnection>): EventHubsEmulatorFaults {
  const { faults } = namespace;
  const setFrozen = (hub: string, partition: number, frozen: boolean): void => {
    findPartition(namespace, hub, partition).frozen = frozen;
    if (!frozen) for (const connection of connections) connection.wakeConsumers();
  };
  return {
    dropConnections(close) {
      const open = [...connections];
      for (const connection of open) {
        if (close === undefined) connection.destroy();
        else
          connection.close({
            condition: close.condition,
            description: close.description ?? 'closed by an injected fault',
          });
      }
      return open.length;
    },
    dropNextConnections: (count) => faults.dropNextConnections(checkInteger('count', count, 0, 1e6)),
    refuseAttach(refusal) {
      if (refusal.times !== undefined) checkInteger('times', refusal.times, 1, 1e6);
      faults.refuseAttach(refusal);
    },
    detachLinks({ condition, description = 'detached by an injected fault', ...selector }) {
      let count = 0;
      for (const connection of connections) count += connection.detachLinks(selector, { condition, description });
      return count;
    },
    delayAccepts: (delayMs) => faults.delayAccepts(checkInteger('delayMs', delayMs, 0, 2 ** 31 - 1)),
    throttleSends: (count) => faults.throttleSends(checkInteger('count', count, 0, 1e6)),
    loseAccepts: (count, how = 'drop-connection') => faults.loseAccepts(checkInteger('count', count, 0, 1e6), how),
    trimPartition: (hub, partition, sequenceNumber) =>
      findPartition(namespace, hub, partition).log.trimTo(
        checkInteger('sequenceNumber', sequenceNumber, 0, Number.MAX_SAFE_INTEGER),
      ),
    recreateHub(name) {
      const hub = findHub(namespace, name);
      const error = {
        condition: conditions.detachForced,
        description: `The link is force detached by the broker because the entity '${hub.settings.name}' was deleted.`,
      };
      for (const connection of connections) connection.detachLinks({ hub: hub.settings.name }, error);
      hub.recreate();
    },
    freezeDelivery: (hub, partition) => setFrozen(hub, partition, true),
    unfreezeDelivery: (hub, partition) => setFrozen(hub, partition, false),
    clear() {
      faults.clear();
      for (const hub of namespace.hubs) for (const partition of hub.partitions) partition.frozen = false;
      for (const connection of connections) connection.wakeConsumers();
    },
  };
}

function findHub(namespace: Namespace, name: string): Hub {
  const hub = namespace.hub(name);
  if (hub === undefined) {
    throw invalid('hub', name, `one of ${namespace.hubs.map(({ settings }) => settings.name).join(', ')} is needed`);
  }
  return hub;
}

function findPartition(namespace: Namespace, hubName: string, id: number): Hub['partitions'][number] {
  const { partitions } = findHub(namespace, hubName);
  return partitions[checkInteger('partition', id, 0, partitions.length - 1)]!;
}

function checkKey(field: string, value: string): string {
  if (typeof value !== 'string' || value === '' || /[;\s]/.test(value)) {
    throw invalid(field, value, "a text without spaces and ';' is needed");
  }
  return value;
}
