import type { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import rhea from 'rhea';

/**
 * The parts of rhea 3 the emulator uses beyond its published types. Everything that relies on rhea's insides is named
 * here, so an upgrade has one page to check.
 */

export interface AmqpError {
  readonly condition: string;
  readonly description: string;
}

/** A value as rhea decodes it: `type.name` is the AMQP type, `value` the plain value. */
export interface RheaTyped {
  readonly type?: { readonly name: string };
  readonly value: unknown;
}

export interface RheaFrame {
  readonly channel: number;
  readonly performative: {
    readonly handle?: number | null;
    message_format?: number | null | undefined;
    readonly more?: boolean | null;
    readonly name?: string;
    readonly value: unknown[];
  };
  payload?: Buffer | undefined;
}

interface RheaTerminus {
  readonly address?: string | null;
  readonly filter?: Readonly<Record<string, unknown>> | null;
}

interface RheaAttach {
  source: unknown;
  target: unknown;
  max_message_size: number | undefined;
  offered_capabilities: string[] | undefined;
  properties: Record<string, unknown> | undefined;
  readonly value: unknown[];
}

export interface RheaLink extends EventEmitter {
  readonly name: string;
  readonly session: RheaSession;
  readonly connection: RheaConnection;
  readonly local: { readonly handle: number; readonly attach: RheaAttach };
  readonly remote: { readonly attach?: RheaAttach };
  readonly state: { readonly open_requests: number };
  readonly source: RheaTerminus | null;
  readonly target: RheaTerminus | null;
  readonly properties: Readonly<Record<string, unknown>> | null | undefined;
  readonly desired_capabilities: unknown;
  credit: number;
  delivery_count: number;
  readonly _draining?: boolean;
  set_source(fields: object): void;
  set_target(fields: object): void;
  set_drained(drained: boolean): void;
  add_credit(credit: number): void;
  is_open(): boolean;
  is_receiver(): boolean;
  close(error?: AmqpError): void;
}

export interface RheaSession {
  readonly connection: RheaConnection;
  readonly local: { readonly channel: number };
  readonly remote: { readonly handles: Record<number, RheaLink | undefined> };
  readonly outgoing: {
    next_delivery_id: number;
    next_pending_delivery: number;
    next_transfer_id: number;
    readonly remote_next_transfer_id: number | null | undefined;
    readonly remote_window: number | null | undefined;
  };
}

export interface RheaDelivery {
  readonly remote_settled: boolean;
  accept(): void;
  reject(error: AmqpError): void;
}

export interface RheaContext {
  readonly connection: RheaConnection;
  readonly session?: RheaSession;
  readonly receiver?: RheaLink;
  readonly sender?: RheaLink;
  readonly delivery?: RheaDelivery;
  readonly message?: unknown;
  readonly format?: number;
  readonly error?: unknown;
}

type FrameHandler = 'on_attach' | 'on_detach' | 'on_transfer' | 'on_disposition' | 'on_flow' | 'on_end';

export type RheaConnection = EventEmitter & {
  readonly remote: { readonly open?: { readonly max_frame_size?: number | null } };
  readonly remote_channel_map: Record<number, RheaSession | undefined>;
  readonly amqp_transport: { readonly header_received: unknown; readonly read_complete: boolean };
  /** Size of the frame of which a part has arrived. */
  readonly frame_size: number | undefined;
  readonly previous_input: Buffer | null | undefined;
  readonly socket: Socket | undefined;
  socket_ready: boolean;
  heartbeat_in: NodeJS.Timeout | undefined;
  heartbeat_out: NodeJS.Timeout | undefined;
  abort_idle: NodeJS.Timeout | undefined;
  input(bytes: Buffer): void;
  accept(socket: Socket): void;
  close(error?: AmqpError): void;
  is_open(): boolean;
  _disconnected(error?: unknown): void;
  _register(): void;
  _process(): void;
} & Record<FrameHandler, (frame: RheaFrame) => void>;

interface SaslMechanism {
  outcome: boolean | undefined;
  username: string | undefined;
  start(): void;
}

export interface RheaContainer extends EventEmitter {
  readonly sasl_server_mechanisms: Record<string, () => SaslMechanism> & { enable_anonymous(): void };
  create_connection(options: object): RheaConnection;
}

/** A decoded AMQP message, as far as requests to `$cbs` and `$management` need it. */
export interface RequestMessage {
  readonly message_id?: unknown;
  readonly reply_to?: unknown;
  readonly body?: unknown;
  readonly application_properties?: Readonly<Record<string, unknown>>;
}

export function createContainer(id: string): RheaContainer {
  const container = rhea.create_container({ id }) as unknown as RheaContainer;
  container.sasl_server_mechanisms.enable_anonymous();
  for (const name of ['MSSBCBS', 'EXTERNAL']) {
    container.sasl_server_mechanisms[name] = () => ({
      outcome: undefined,
      username: undefined,
      start() {
        this.outcome = true;
      },
    });
  }
  return container;
}

export function encodeMessage(message: object): Buffer {
  return rhea.message.encode(message as never);
}

/** Constructors of typed AMQP values, for replies whose types the clients rely on. */
export const amqp = {
  int: (value: number): unknown => rhea.types.wrap_int(value),
  short: (value: number): unknown => rhea.types.wrap_short(value),
  long: (value: number): unknown => rhea.types.wrap_long(value),
  timestamp: (value: number): unknown => rhea.types.wrap_timestamp(value),
  stringArray: (values: readonly string[]): unknown => rhea.types.wrap_array([...values], 0xa1, undefined),
};

/** Symbols may come as one or as an array. */
export function symbols(value: unknown): string[] {
  if (value === undefined || value === null) return [];
  return (Array.isArray(value) ? value : [value]).map(String);
}
