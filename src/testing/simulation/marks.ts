/**
 * Marks are short texts that the simulator's sources, sinks and names carry into the checkpoint. The verifier finds them in
 * the raw bytes of a record, so it learns what the record commits without any code of the engine.
 */
/** `plan`: the position where a plan ends; `range`: stands in the ranges of a plan, so only where the plan itself is stored. */
export type MarkKind = 'plan' | 'range' | 'out';

export function markOf(kind: MarkKind, id: number): string {
  return `[[${kind}:${id}]]`;
}

/** @throws Error when `text` is not such a mark. */
export function parseMark(kind: MarkKind, text: unknown): number {
  const match = typeof text === 'string' ? /^\[\[(plan|range|out):(\d+)\]\]$/.exec(text) : null;
  if (match?.[1] !== kind) throw new Error(`${JSON.stringify(text)} is not a ${kind} that was given to the engine.`);
  return Number(match[2]);
}

/** Names of savepoints can't hold brackets. The end is marked, since any byte may follow. */
export function savepointMark(id: number): string {
  return `mark-savepoint-${id}.`;
}

/** An id of 128 bits that shows which process has drawn it. */
export function writerId(process: number, id: string): string {
  return (process >>> 0).toString(16).padStart(8, '0') + id.slice(8);
}

export type RecordKind = 'fence' | 'batch' | 'plan' | 'drain' | 'pin' | 'unpin' | 'rewind' | 'seed' | 'other';

/** What a record of the log shows to somebody who knows only its header (docs/formats/checkpoint.md) and the marks. */
export interface MarkedRecord {
  readonly kind: RecordKind;
  readonly slot: number;
  readonly epoch: number;
  /** The process that wrote it. */
  readonly writer: number;
  /** Positions it holds. */
  readonly positions: ReadonlySet<number>;
  /** Plans it holds. */
  readonly planned: ReadonlySet<number>;
  readonly outs: readonly number[];
  readonly savepoint: number | undefined;
  /** Objects it names. */
  readonly references: readonly string[];
}

const kinds: Readonly<Record<number, RecordKind>> = {
  2: 'fence',
  3: 'batch',
  4: 'plan',
  5: 'drain',
  9: 'pin',
  10: 'unpin',
  11: 'rewind',
  12: 'seed',
};

/** Field offsets as docs/formats/checkpoint.md gives them: kind at 12, slot at 16, epoch at 24, driver id at 32. */
export function readMarkedRecord(bytes: Uint8Array): MarkedRecord {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  const positions = new Set<number>();
  const planned = new Set<number>();
  const outs: number[] = [];
  for (const [, kind, id] of text.matchAll(/\[\[(plan|range|out):(\d+)\]\]/g)) {
    if (kind === 'plan') positions.add(Number(id));
    else if (kind === 'range') planned.add(Number(id));
    else outs.push(Number(id));
  }
  const savepoint = /mark-savepoint-(\d+)\./.exec(text)?.[1];
  return {
    kind: kinds[view.getUint16(12, true)] ?? 'other',
    slot: slotOf(bytes),
    epoch: Number(view.getBigUint64(24, true)),
    writer: view.getUint32(32, false),
    positions,
    planned,
    outs,
    savepoint: savepoint === undefined ? undefined : Number(savepoint),
    references: text.match(/(?:seg|snap|man)\/[0-9a-f-]{20,}/g) ?? [],
  };
}

/** Of any frame: of `gc/floor` it is the floor. */
export function slotOf(bytes: Uint8Array): number {
  return Number(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getBigUint64(16, true));
}
