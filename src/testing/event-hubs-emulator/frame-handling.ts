import { frameBytesMax, PayloadInput } from './payload-input.ts';
import type { ProducerLink } from './producer-link.ts';
import type { RheaConnection, RheaFrame, RheaLink, RheaSession } from './rhea-internals.ts';

const requestBytesMax = 1024 * 1024;
const noBytes = Buffer.alloc(0);

export interface FrameHooks {
  readonly producerOf: (link: RheaLink) => ProducerLink | undefined;
  /** Credit or the window of a session changed. */
  readonly flowed: (session: RheaSession) => void;
  /** The client sends more than it may. */
  readonly exceeded: () => void;
}

/**
 * Corrects what rhea 3.0.5 gets wrong as a server; call before the connection gets its socket.
 *
 * - Clients send dispositions, flows and transfers for a session that has just ended; rhea throws. They are ignored.
 * - A flow that only moves the session's window is not reported to links; a reader waiting for the window would hang.
 * - rhea decodes messages of format 0; events are kept as the bytes they came in, and don't pass through rhea at all.
 * - rhea writes each frame to the socket by itself; what it has to say in one turn is one write here.
 * - rhea buffers a frame or a message of any size; here both have a limit.
 */
export function correctFrameHandling(rhea: RheaConnection, hooks: FrameHooks): void {
  const standard = {
    on_attach: rhea.on_attach.bind(rhea),
    on_detach: rhea.on_detach.bind(rhea),
    on_disposition: rhea.on_disposition.bind(rhea),
    on_end: rhea.on_end.bind(rhea),
    on_flow: rhea.on_flow.bind(rhea),
    on_transfer: rhea.on_transfer.bind(rhea),
    input: rhea.input.bind(rhea),
    _process: rhea._process.bind(rhea),
  };
  const ended = (frame: RheaFrame): boolean => rhea.remote_channel_map[frame.channel] === undefined;
  for (const handler of ['on_attach', 'on_detach', 'on_disposition', 'on_end'] as const) {
    rhea[handler] = (frame) => {
      if (!ended(frame)) standard[handler](frame);
    };
  }
  rhea.on_flow = (frame) => {
    if (ended(frame)) return;
    const session = rhea.remote_channel_map[frame.channel]!;
    const { handle } = frame.performative;
    // For a link that was detached meanwhile; the next flow of the session brings its window.
    if (typeof handle === 'number' && session.remote.handles[handle] === undefined) return;
    standard.on_flow(frame);
    hooks.flowed(session);
  };
  let requestBytes = 0;
  rhea.on_transfer = (frame) => {
    if (ended(frame)) return;
    const { performative, payload = noBytes } = frame;
    const more = performative.more === true;
    const link = rhea.remote_channel_map[frame.channel]!.remote.handles[performative.handle ?? -1];
    const producer = link && hooks.producerOf(link);
    if (producer === undefined) {
      requestBytes += payload.length;
      if (requestBytes > requestBytesMax) {
        hooks.exceeded();
        return;
      }
      if (!more) requestBytes = 0;
    } else {
      if (performative.message_format === 0) performative.message_format = undefined;
      producer.append(payload, 0, payload.length);
      frame.payload = noBytes;
    }
    standard.on_transfer(frame);
  };
  const readByRhea = (bytes: Buffer): void => {
    standard.input(bytes);
    if ((rhea.frame_size ?? 0) > frameBytesMax) hooks.exceeded();
  };
  const payloads = new PayloadInput(rhea, readByRhea, hooks.producerOf);
  rhea.input = (bytes) => payloads.input(bytes);
  rhea._process = () => {
    // Node hands on what was corked when this turn is over.
    rhea.socket?.cork();
    standard._process();
    rhea.socket?.uncork();
  };
}
