import { setMaxListeners } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { CbsClient, RequestResponseLink } from '@azure/core-amqp';
import { Connection, ConnectionEvents, type ConnectionOptions, type EventContext, generate_uuid } from 'rhea-promise';
import type { Clock } from '../../base/clock.ts';
import { toHubFailure } from './azure-amqp-errors.ts';
import { type AmqpReceiverLink, openReceiverLink } from './azure-receiver-link.ts';
import type { TokenProvider } from './azure-tokens.ts';
import { TransferReader } from './azure-transfer-reader.ts';
import type { HubAddress } from './connection-string.ts';
import type { BodyFormat } from './event-hub-event.ts';
import {
  type HubConnection,
  HubFailure,
  type HubProperties,
  type PartitionProperties,
  type ReceiverLink,
  type ReceiverRequest,
} from './hub-connection.ts';

interface AmqpConnectionOptions {
  readonly address: HubAddress;
  readonly tokens: TokenProvider;
  readonly clock: Clock;
  readonly body: BodyFormat;
  /** Per request to the service. */
  readonly attemptTimeoutMs: number;
  /** False: rhea reads every frame. Default true. */
  readonly readDirectly?: boolean | undefined;
}

/** A read of the socket brings this much at most: four times what Node reads by itself, and in the same memory each time. */
const readBytesMax = 256 * 1024;
const closeTimeoutMs = 2_000;
const idleTimeoutMs = 60_000;

/**
 * One AMQP connection to a hub, with its claims ($cbs), its $management link and its receive links, all on one socket.
 *
 * Built on rhea-promise and core-amqp's CbsClient, not on EventHubConsumerClient: the prefetch of that one adds credit on
 * every receive call, used or not, so nothing bounds what it buffers.
 *
 * Owns the socket: `close` ends in its destruction, so no timer and no handle of rhea outlives it. After a disconnect
 * every pending request rejects; nothing is reconnected here.
 */
export class AmqpConnection implements HubConnection {
  readonly closed: Promise<HubFailure>;

  readonly #options: AmqpConnectionOptions;
  readonly #connection: Connection;
  readonly #cbs: CbsClient;
  readonly #over = new AbortController();
  /** Audiences with a claim, and when it must be renewed. */
  readonly #claims = new Map<string, number>();
  readonly #links = new Set<AmqpReceiverLink>();
  #transfers: TransferReader | undefined;
  #claimLane: Promise<unknown> = Promise.resolve();
  #renewing = false;
  #management: Promise<RequestResponseLink> | undefined;
  #socket: net.Socket | undefined;
  #resolveClosed!: (failure: HubFailure) => void;

  private constructor(options: AmqpConnectionOptions) {
    this.#options = options;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    // One listener per pending request and link: bounded by the number of partitions.
    setMaxListeners(0, this.#over.signal);
    this.#connection = new Connection(this.#rheaOptions());
    this.#cbs = new CbsClient(this.#connection, `connect-${generate_uuid()}`);
    const ended = (context: EventContext): void => {
      this.#end(toConnectionFailure(context.error ?? context.connection?.error));
    };
    for (const event of [
      ConnectionEvents.connectionError,
      ConnectionEvents.connectionClose,
      ConnectionEvents.disconnected,
      ConnectionEvents.protocolError,
      ConnectionEvents.error,
    ]) {
      this.#connection.on(event, ended);
    }
  }

  /** @throws HubFailure. `signal` ends the attempt, not the connection it led to. */
  static async open(options: AmqpConnectionOptions, signal: AbortSignal): Promise<AmqpConnection> {
    const opened = new AmqpConnection(options);
    const abort = (): void => {
      opened.#end(new HubFailure('closed', 'The attempt to connect was stopped.'));
    };
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    try {
      await opened.#cbs.init({ abortSignal: opened.#over.signal, timeoutInMs: options.attemptTimeoutMs });
      return opened;
    } catch (error) {
      const failure = opened.#over.signal.aborted ? await opened.closed : toConnectionFailure(error);
      throw opened.#end(failure);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  async hubProperties(): Promise<HubProperties> {
    const reply = await this.#readManagement({ type: 'com.microsoft:eventhub' });
    return {
      createdOn: new Date(reply.created_at as Date).getTime(),
      partitionIds: [...(reply.partition_ids as Iterable<unknown>)].map(String).sort((a, b) => Number(a) - Number(b)),
    };
  }

  async partitionProperties(partitionId: string): Promise<PartitionProperties> {
    const reply = await this.#readManagement({ type: 'com.microsoft:partition', partition: partitionId });
    return {
      partitionId,
      beginSequenceNumber: Number(reply.begin_sequence_number),
      lastSequenceNumber: Number(reply.last_enqueued_sequence_number),
      lastEnqueuedTimeMs: new Date(reply.last_enqueued_time_utc as Date).getTime(),
      isEmpty: Boolean(reply.is_partition_empty),
    };
  }

  openReceiver(request: ReceiverRequest): Promise<ReceiverLink> {
    const { address, body, readDirectly = true } = this.#options;
    const path = `${address.hub}/ConsumerGroups/${request.consumerGroup}/Partitions/${request.partitionId}`;
    return this.#guard(async () => {
      await this.#claim(`${address.endpoint}${path}`);
      const link = await openReceiverLink(
        this.#connection,
        path,
        request,
        body,
        this.#over.signal,
        (gone) => this.#links.delete(gone),
        readDirectly ? ({ connection }) => (this.#transfers ??= new TransferReader(connection)) : undefined,
      );
      if (this.#over.signal.aborted) throw await this.closed;
      this.#links.add(link);
      return link;
    });
  }

  async close(): Promise<void> {
    if (!this.#over.signal.aborted) {
      const closing = this.#connection.close().catch(() => undefined);
      await Promise.race([closing, this.closed, this.#pause(closeTimeoutMs)]);
    }
    this.#end(new HubFailure('closed', 'The connection was closed.'));
    const socket = this.#socket;
    if (socket && !socket.closed) await new Promise((resolve) => socket.once('close', resolve));
  }

  /** Rejects with a HubFailure; `work` rejects by the abort signal when the connection ends meanwhile. */
  async #guard<T>(work: () => Promise<T>): Promise<T> {
    if (this.#over.signal.aborted) throw await this.closed;
    try {
      return await work();
    } catch (error) {
      // An aborted request only says that it was aborted; the connection knows why.
      throw this.#over.signal.aborted ? await this.closed : toHubFailure(error);
    }
  }

  #end(failure: HubFailure): HubFailure {
    if (!this.#over.signal.aborted) {
      this.#resolveClosed(failure);
      this.#over.abort();
      for (const link of this.#links) link.disconnected(failure);
      // With an error: rhea listens to `error` and `end` only, and stops its timers there.
      this.#socket?.destroy(failure);
    }
    return failure;
  }

  async #readManagement(what: Readonly<Record<string, string>>): Promise<Readonly<Record<string, unknown>>> {
    const { address, tokens, attemptTimeoutMs } = this.#options;
    return this.#guard(async () => {
      const link = await this.#managementLink();
      const { token } = await tokens(`${address.endpoint}${address.hub}`);
      const reply = await link.sendRequest(
        {
          body: Buffer.from('[]'),
          message_id: generate_uuid(),
          reply_to: link.receiver.name,
          application_properties: { operation: 'READ', name: address.hub, security_token: token, ...what },
        },
        { abortSignal: this.#over.signal, timeoutInMs: attemptTimeoutMs, requestName: 'READ' },
      );
      return reply.body;
    });
  }

  #managementLink(): Promise<RequestResponseLink> {
    const create = async (): Promise<RequestResponseLink> => {
      const { address } = this.#options;
      await this.#claim(`${address.endpoint}${address.hub}/$management`);
      const replyTo = generate_uuid();
      return RequestResponseLink.create(
        this.#connection,
        { target: { address: '$management' } },
        { source: { address: '$management' }, name: replyTo, target: { address: replyTo } },
        { abortSignal: this.#over.signal },
      );
    };
    const usable = this.#management ?? Promise.reject(new Error('not opened yet'));
    this.#management = usable.then(
      (link) => (link.isOpen() ? link : create()),
      () => create(),
    );
    return this.#management;
  }

  /** Puts a token for the audience, one at a time, and keeps it fresh as long as the connection lives. */
  #claim(audience: string): Promise<void> {
    const turn = this.#claimLane.then(async () => {
      const { tokens, attemptTimeoutMs } = this.#options;
      const { token, type, renewAtMs } = await tokens(audience);
      await this.#cbs.negotiateClaim(audience, token, type, {
        abortSignal: this.#over.signal,
        timeoutInMs: attemptTimeoutMs,
      });
      this.#claims.set(audience, renewAtMs);
    });
    this.#claimLane = turn.catch(() => undefined);
    if (!this.#renewing) {
      this.#renewing = true;
      void this.#keepClaimsFresh();
    }
    return turn;
  }

  async #keepClaimsFresh(): Promise<void> {
    const { clock } = this.#options;
    await this.#claimLane;
    while (!this.#over.signal.aborted) {
      const nextMs = Math.min(clock.now() + 60 * 60_000, ...this.#claims.values());
      try {
        await clock.waitUntil(nextMs, this.#over.signal);
      } catch {
        return;
      }
      for (const [audience, renewAtMs] of this.#claims) {
        if (renewAtMs > clock.now()) continue;
        // If it fails the service detaches the link when the old token ends, and the re-attach reports why.
        this.#claims.set(audience, clock.now() + 30_000);
        await this.#claim(audience).catch(() => undefined);
      }
    }
  }

  #rheaOptions(): ConnectionOptions {
    const { address, attemptTimeoutMs } = this.#options;
    const { host, port, key } = address;
    return {
      // Our own socket, so that `close` can destroy it.
      connection_details: () => ({
        host,
        port,
        connect: (_port: number, _host: string, _options: unknown, connected: () => void): net.Socket => {
          const onread = { buffer: Buffer.allocUnsafeSlow(readBytesMax), callback: this.#received };
          const socket = address.tls
            ? tls.connect({ host, port, servername: host, onread } as tls.ConnectionOptions, connected)
            : net.connect({ host, port, onread }, connected);
          socket.setNoDelay(true);
          // rhea takes its own listener away when it gives a socket up.
          socket.on('error', () => undefined);
          this.#socket = socket;
          if (this.#over.signal.aborted) socket.destroy(new HubFailure('closed', 'The connection was closed.'));
          return socket;
        },
      }),
      host,
      hostname: host,
      port,
      transport: address.tls ? 'tls' : 'tcp',
      // A name without a password makes rhea sign in as ANONYMOUS; the claims carry the key.
      username: key && 'sharedAccessKeyName' in key ? key.sharedAccessKeyName : 'tidemark',
      reconnect: false,
      idle_time_out: idleTimeoutMs,
      operationTimeoutInSeconds: attemptTimeoutMs / 1000,
      properties: {
        product: 'tidemark',
        'user-agent': 'tidemark',
        platform: process.platform,
        framework: `Node/${process.version}`,
      },
    } as ConnectionOptions;
  }

  /** The memory is filled anew by the next read: whoever keeps something of it gets a copy. */
  readonly #received = (length: number, memory: Uint8Array): boolean => {
    const bytes = (memory as Buffer).subarray(0, length);
    if (this.#transfers === undefined) this.#socket?.emit('data', Buffer.from(bytes));
    else this.#transfers.input(bytes);
    return true;
  };

  async #pause(ms: number): Promise<void> {
    const { clock } = this.#options;
    await clock.waitUntil(clock.now() + ms, this.#over.signal).catch(() => undefined);
  }
}

function toConnectionFailure(thrown: unknown): HubFailure {
  const failure = toHubFailure(thrown ?? new Error('The connection ended.'));
  return failure.kind === 'transient' ? new HubFailure('disconnected', failure.message, failure.cause) : failure;
}
