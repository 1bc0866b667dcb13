import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { TidemarkError } from '../../src/base/errors.ts';

/** Consecutive readings of one device: `[deviceId, first seq, last seq]`. */
export type SeqRange = readonly [deviceId: string, first: number, last: number];

/**
 * What happened to one send, one line of the file:
 * `sending` is written before the send and says what is in it, one of the other three when its outcome is known.
 */
export type LedgerEntry =
  | {
      readonly kind: 'sending';
      readonly send: number;
      readonly partition: string;
      /** Last sequence number in the partition before the send: what the outcome is checked against. */
      readonly lastSequenceNumber: number;
      readonly ranges: readonly SeqRange[];
    }
  /** In the hub, once: acknowledged, or seen there. */
  | { readonly kind: 'sent'; readonly send: number }
  /** Not in the hub; its readings come again in a later send. */
  | { readonly kind: 'dropped'; readonly send: number }
  /** Nobody can tell; its readings don't come again. */
  | { readonly kind: 'uncertain'; readonly send: number };

export interface DeviceLedger {
  /** Readings that are in the hub, each once. */
  readonly sent: readonly SeqRange[];
  /** Readings that may be there, once or not at all; those of open sends are among them. */
  readonly uncertain: readonly SeqRange[];
}

export interface LedgerContent {
  readonly devices: ReadonlyMap<string, DeviceLedger>;
  readonly sent: number;
  readonly uncertain: number;
  /** Sends without an outcome: the generator was killed. At most one per partition. */
  readonly open: readonly Extract<LedgerEntry, { kind: 'sending' }>[];
  readonly lastSend: number;
}

/** Append-only file of JSON lines. Written synchronously: an entry is with the operating system before the send goes out. */
export class LedgerWriter {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  append(entry: LedgerEntry): void {
    appendFileSync(this.#file, `${JSON.stringify(entry)}\n`);
  }
}

/** An absent file is an empty ledger; a last line that was cut by a kill is left out. */
export function readLedger(file: string): LedgerContent {
  return parseLedger(existsSync(file) ? readFileSync(file, 'utf8') : '');
}

export function parseLedger(text: string): LedgerContent {
  const open = new Map<number, Extract<LedgerEntry, { kind: 'sending' }>>();
  const devices = new Map<string, { sent: SeqRange[]; uncertain: SeqRange[] }>();
  let sent = 0;
  let uncertain = 0;
  let lastSend = 0;
  const note = (ranges: readonly SeqRange[], kind: 'sent' | 'uncertain'): void => {
    for (const range of ranges) {
      const [deviceId, first, last] = range;
      let device = devices.get(deviceId);
      if (!device) devices.set(deviceId, (device = { sent: [], uncertain: [] }));
      device[kind].push(range);
      if (kind === 'sent') sent += last - first + 1;
      else uncertain += last - first + 1;
    }
  };
  const lines = text.split('\n');
  lines.pop();
  for (const line of lines) {
    const entry = JSON.parse(line) as LedgerEntry;
    if (entry.kind === 'sending') {
      open.set(entry.send, entry);
      lastSend = Math.max(lastSend, entry.send);
      continue;
    }
    const sending = open.get(entry.send);
    if (!sending)
      throw new TidemarkError('INTERNAL', `The ledger has an outcome for send ${entry.send}, which it does not know.`);
    open.delete(entry.send);
    if (entry.kind !== 'dropped') note(sending.ranges, entry.kind);
  }
  for (const { ranges } of open.values()) note(ranges, 'uncertain');
  return { devices, sent, uncertain, open: [...open.values()], lastSend };
}

/** The readings of a send, as ranges; they are dense per device and in order. */
export function rangesOf(readings: readonly { readonly deviceId: string; readonly seq: number }[]): SeqRange[] {
  const ranges = new Map<string, [string, number, number]>();
  for (const { deviceId, seq } of readings) {
    const range = ranges.get(deviceId);
    if (range) range[2] = seq;
    else ranges.set(deviceId, [deviceId, seq, seq]);
  }
  return [...ranges.values()];
}
