/** Bytes of a batch: in its record itself, or in parts of segments or snapshots. */
export type Content =
  | { readonly kind: 'inline'; readonly bytes: Uint8Array }
  | { readonly kind: 'parts'; readonly parts: readonly Part[] };

/** A piece of a segment or snapshot object. */
export interface Part {
  readonly object: string;
  readonly offset: number;
  readonly length: number;
  /** Of exactly these bytes. */
  readonly sha256: string;
}
