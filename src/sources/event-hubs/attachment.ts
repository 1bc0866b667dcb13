import type { Clock } from '../../base/clock.ts';
import type { ReceiverLink } from './hub-connection.ts';

/** Why a link is no longer used. */
export type AttachmentEnd =
  | { readonly reason: 'stopped' }
  /** A read needs events from before the link's place. */
  | { readonly reason: 'rewound' }
  /** This event arrived where an earlier one was due. */
  | { readonly reason: 'gap'; readonly found: number }
  /** Events are owed and none came for too long. */
  | { readonly reason: 'silent' }
  | { readonly reason: 'failed'; readonly error: Error };

/** One life of a receive link: its outstanding credit, and the one reason it ended for. */
export class Attachment {
  readonly ended: Promise<AttachmentEnd>;
  readonly openedMs: number;
  link: ReceiverLink | undefined;

  readonly #clock: Clock;
  readonly #over = new AbortController();
  #resolve!: (end: AttachmentEnd) => void;
  #outstanding = 0;
  #quietSinceMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.openedMs = clock.now();
    this.#quietSinceMs = this.openedMs;
    this.ended = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  /** Credit that was given and not used yet. */
  get outstanding(): number {
    return this.#outstanding;
  }

  get isEnded(): boolean {
    return this.#over.signal.aborted;
  }

  /** Only the first call counts. */
  end(end: AttachmentEnd): void {
    if (this.isEnded) return;
    this.#over.abort();
    this.#outstanding = 0;
    this.#resolve(end);
  }

  ask(credit: number): void {
    if (this.#outstanding === 0) this.#quietSinceMs = this.#clock.now();
    this.#outstanding += credit;
    this.link?.addCredit(credit);
  }

  arrived(events = 1): void {
    this.#outstanding -= events;
    this.#quietSinceMs = this.#clock.now();
  }

  /** Ends the attachment when nothing arrives for `silenceMs` though there is credit and `isOwed()`. */
  async watchSilence(silenceMs: number, isOwed: () => boolean): Promise<void> {
    let dueMs = this.#quietSinceMs + silenceMs;
    for (;;) {
      try {
        await this.#clock.waitUntil(dueMs, this.#over.signal);
      } catch {
        return;
      }
      const nowMs = this.#clock.now();
      const quiet = nowMs - this.#quietSinceMs >= silenceMs;
      if (quiet && this.#outstanding > 0 && isOwed()) return this.end({ reason: 'silent' });
      dueMs = (quiet ? nowMs : this.#quietSinceMs) + silenceMs;
    }
  }
}
