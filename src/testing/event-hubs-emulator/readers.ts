import { conditions, Refusal } from './conditions.ts';
import type { AmqpError } from './rhea-internals.ts';

/** A receiver link as the rules of ownership see it. */
export interface Reader {
  readonly name: string;
  /** Owner level; undefined reads beside others. */
  readonly epoch: number | undefined;
  detach(error: AmqpError): void;
}

const nonEpochReadersMax = 5;

/**
 * Who reads one partition in one consumer group. A reader with an epoch is alone: it disconnects readers with the same
 * or a lower epoch and those without; without an epoch up to 5 read side by side, unless one with an epoch is there.
 * Only connected readers count: when the owner leaves, its epoch is forgotten.
 */
export class ReaderRegistry {
  readonly #readers = new Set<Reader>();

  get size(): number {
    return this.#readers.size;
  }

  /** @throws Refusal */
  add(reader: Reader): void {
    const owner = [...this.#readers].find((other) => other.epoch !== undefined);
    if (reader.epoch === undefined) {
      if (owner !== undefined) throw epochReaderExists(owner.epoch!);
      if (this.#readers.size >= nonEpochReadersMax) throw tooManyReaders([...this.#readers]);
    } else {
      if (owner !== undefined && owner.epoch! > reader.epoch) throw higherEpochExists(owner, reader);
      for (const other of this.#readers) other.detach(replacedBy(reader, other));
      this.#readers.clear();
    }
    this.#readers.add(reader);
  }

  remove(reader: Reader): void {
    this.#readers.delete(reader);
  }
}

function epochReaderExists(epoch: number): Refusal {
  return new Refusal(
    conditions.linkStolen,
    `At least one receiver for the endpoint is created with epoch of '${epoch}', and so non-epoch receiver is not allowed. Either reconnect with a higher epoch, or make sure all epoch receivers are closed or disconnected.`,
  );
}

function higherEpochExists(owner: Reader, reader: Reader): Refusal {
  return new Refusal(
    conditions.linkStolen,
    `Receiver '${owner.name}' with a higher epoch '${owner.epoch}' already exists. Receiver '${reader.name}' with epoch ${reader.epoch} cannot be created. Make sure you are creating receiver with increasing epoch value to ensure connectivity, or ensure all old epoch receivers are closed or disconnected.`,
  );
}

function replacedBy(reader: Reader, other: Reader): AmqpError {
  return {
    condition: conditions.linkStolen,
    description: `New receiver '${reader.name}' with higher epoch of '${reader.epoch}' is created hence current receiver '${other.name}' with epoch '${other.epoch ?? 'none'}' is getting disconnected. If you are recreating the receiver, make sure a higher epoch is used.`,
  };
}

function tooManyReaders(readers: readonly Reader[]): Refusal {
  return new Refusal(
    conditions.resourceLimitExceeded,
    `Exceeded the maximum number of allowed receivers per partition in a consumer group which is ${nonEpochReadersMax}. List of connected receivers - ${readers.map((reader) => reader.name).join(', ')}.`,
  );
}
