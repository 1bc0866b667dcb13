import { conditions, Refusal } from './conditions.ts';

interface Producer {
  epoch: number;
  /** -1 before the first event, as the service answers. */
  lastSequence: number;
}

export interface ProducerState {
  readonly id: number;
  readonly epoch: number;
  readonly lastSequence: number;
}

const producersMax = 10_000;

/**
 * Producers with idempotent retries, per partition: what they sent last, so that a batch sent again is recognised. Kept
 * in memory only; a restart of the emulator forgets them and their next attach starts a new producer.
 */
export class ProducerRegistry {
  readonly #producers = new Map<number, Producer>();
  #nextId = 0;

  /** The state a sender link is answered with. @throws Refusal when a newer epoch of the producer is known */
  attach(asked: { readonly id?: number; readonly epoch?: number; readonly lastSequence?: number }): ProducerState {
    const id = asked.id ?? this.#nextId;
    this.#nextId = Math.max(this.#nextId, id + 1);
    const known = this.#producers.get(id);
    const epoch = asked.epoch ?? known?.epoch ?? 0;
    if (known !== undefined && epoch < known.epoch) throw stolen(id, epoch, known.epoch);
    const lastSequence = known?.lastSequence ?? asked.lastSequence ?? -1;
    this.#remember(id, { epoch, lastSequence });
    // A client that lost an answer knows less than the hub. It goes on numbering where it stands, and what it sends
    // again is recognised by its number.
    return { id, epoch, lastSequence: asked.lastSequence ?? lastSequence };
  }

  /** True when the batch is new; false when it was stored before. @throws Refusal on a gap or a stale epoch */
  isNew(id: number, epoch: number, firstSequence: number, count: number): boolean {
    const known = this.#producers.get(id);
    if (known === undefined) return true;
    if (epoch < known.epoch) throw stolen(id, epoch, known.epoch);
    if (firstSequence + count - 1 <= known.lastSequence) return false;
    if (firstSequence !== known.lastSequence + 1) {
      throw new Refusal(
        conditions.outOfOrderSequence,
        `Producer ${id} sent sequence number ${firstSequence}, expected ${known.lastSequence + 1}.`,
      );
    }
    return true;
  }

  stored(id: number, epoch: number, firstSequence: number, count: number): void {
    this.#remember(id, { epoch, lastSequence: firstSequence + count - 1 });
  }

  #remember(id: number, producer: Producer): void {
    this.#producers.delete(id);
    this.#producers.set(id, producer);
    if (this.#producers.size > producersMax) this.#producers.delete(this.#producers.keys().next().value!);
  }
}

function stolen(id: number, epoch: number, knownEpoch: number): Refusal {
  return new Refusal(
    conditions.producerEpochStolen,
    `Producer ${id} with epoch ${epoch} was replaced by one with epoch ${knownEpoch}.`,
  );
}
