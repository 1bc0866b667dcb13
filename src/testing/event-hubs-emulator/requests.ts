import { amqp, encodeMessage, type RequestMessage, type RheaLink } from './rhea-internals.ts';
import type { TransferWriter } from './transfer-writer.ts';

export interface Reply {
  readonly status: number;
  readonly description: string;
  readonly condition?: string | undefined;
  readonly body?: unknown;
}

const waitingRepliesMax = 1000;

/** The link on which a client gets the answers of `$cbs` or `$management`. */
export class ReplyLink {
  readonly link: RheaLink;
  readonly #writer: TransferWriter;
  readonly #waiting: Buffer[] = [];
  #closed = false;

  constructor(link: RheaLink, writer: TransferWriter) {
    this.link = link;
    this.#writer = writer;
  }

  /** Whether a request's `reply-to` means this link. */
  answersTo(replyTo: unknown): boolean {
    return replyTo === this.link.name || (typeof replyTo === 'string' && replyTo === this.link.target?.address);
  }

  reply(request: RequestMessage, reply: Reply): void {
    const bytes = encodeMessage({
      correlation_id: request.message_id,
      application_properties: {
        'status-code': amqp.int(reply.status),
        'status-description': reply.description,
        ...(reply.condition === undefined ? {} : { 'error-condition': reply.condition }),
      },
      body: reply.body ?? null,
    });
    // A client that asks without reading answers loses the oldest ones.
    if (this.#waiting.push(bytes) > waitingRepliesMax) this.#waiting.shift();
    this.wake();
  }

  wake(): void {
    if (this.#closed || !this.link.is_open() || this.link.state.open_requests > 0) return;
    this.#writer.begin(this.link);
    while (this.#waiting.length > 0 && this.#writer.canSend(this.#waiting[0]!.length)) {
      const bytes = this.#waiting.shift()!;
      this.#writer.send(bytes, 0, bytes.length, 0, bytes, 0);
    }
    this.#writer.flush();
  }

  detach(): void {
    this.dispose();
    this.link.close();
  }

  dispose(): void {
    this.#closed = true;
    this.#waiting.length = 0;
  }
}
