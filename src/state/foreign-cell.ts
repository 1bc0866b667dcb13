import type { StoredCell } from './pane.ts';
import type { ValueSchema } from './state-schema.ts';

/** A cell of another schema version, as readers see it. Many are visited for their keys only. */
export class ForeignCell {
  readonly #stored: StoredCell;
  readonly #schema: ValueSchema;
  #upgraded: { readonly value: unknown } | undefined;

  constructor(stored: StoredCell, schema: ValueSchema) {
    this.#stored = stored;
    this.#schema = schema;
  }

  get key(): unknown {
    return this.#stored.key;
  }

  get timeMs(): number {
    return this.#stored.timeMs;
  }

  get value(): unknown {
    const { key, value, schema } = this.#stored;
    this.#upgraded ??= { value: this.#schema.upgrade(key, value, schema) };
    return this.#upgraded.value;
  }
}
