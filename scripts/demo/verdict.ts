import type { DeviceLedger, LedgerContent, SeqRange } from './ledger.ts';

/** One line of the output `counts`: what a batch received from a device. */
export interface CountLine {
  readonly deviceId: string;
  readonly batchTime: number;
  /** Events of the device in this batch; 0 when the line only repeats the total. */
  readonly received: number;
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** Running count of the device, this batch included. */
  readonly total: number;
  /** Sum of the `seq` of the batch's events, if the application writes it: finds one lost and one doubled in one batch. */
  readonly seqSum?: number | undefined;
}

export interface Verdict {
  /** Events that are in the hub, by the generator's ledger. */
  readonly sent: number;
  /** Events that may be in the hub: the generator could not learn the outcome of a send. Neither lost nor duplicated, whatever came of them. */
  readonly uncertain: number;
  /** Sum of `received` over all lines. */
  readonly counted: number;
  readonly lost: number;
  /** Counted more often than sent, or never sent. */
  readonly duplicated: number;
  /** Lines whose events are not the next ones of their device, although none is missing. */
  readonly outOfOrder: number;
  /** Lines whose running count is not the sum of what was received: the state is wrong. */
  readonly wrongTotals: number;
  /** For the first few devices with a finding: what was found. */
  readonly findings: readonly string[];
  /** True when nothing at all was found. */
  readonly clean: boolean;
}

const findingsMax = 10;
// Beyond this a line is nonsense, and an array of that size would not help anybody.
const rangeLengthMax = 10_000_000;

/** Compares what was counted with what was sent, event by event. The order of `lines` doesn't matter. */
export function judge(ledger: LedgerContent, lines: readonly CountLine[]): Verdict {
  const byDevice = new Map<string, CountLine[]>();
  let counted = 0;
  for (const line of lines) {
    counted += line.received;
    const known = byDevice.get(line.deviceId);
    if (known) known.push(line);
    else byDevice.set(line.deviceId, [line]);
  }
  const sum = { lost: 0, duplicated: 0, outOfOrder: 0, wrongTotals: 0 };
  const findings: string[] = [];
  for (const deviceId of new Set([...ledger.devices.keys(), ...byDevice.keys()])) {
    const device = judgeDevice(ledger.devices.get(deviceId), byDevice.get(deviceId) ?? []);
    sum.lost += device.lost;
    sum.duplicated += device.duplicated;
    sum.outOfOrder += device.outOfOrder;
    sum.wrongTotals += device.wrongTotals;
    if (device.text !== '' && findings.length < findingsMax) findings.push(`${deviceId}: ${device.text}`);
  }
  const clean = sum.lost + sum.duplicated + sum.outOfOrder + sum.wrongTotals === 0;
  return { sent: ledger.sent, uncertain: ledger.uncertain, counted, ...sum, findings, clean };
}

interface DeviceVerdict {
  readonly lost: number;
  readonly duplicated: number;
  readonly outOfOrder: number;
  readonly wrongTotals: number;
  readonly text: string;
}

function judgeDevice(ledger: DeviceLedger | undefined, unordered: readonly CountLine[]): DeviceVerdict {
  const lines = [...unordered].sort((a, b) => a.batchTime - b.batchTime || a.firstSeq - b.firstSeq);
  const filled = lines.filter(({ received }) => received > 0);
  const counts = new Occurrences();
  const possible = new Occurrences();
  for (const range of ledger?.uncertain ?? []) possible.add(range);
  let lost = 0;
  let duplicated = 0;
  for (const line of filled) {
    counts.add([line.deviceId, line.firstSeq, line.lastSeq]);
    // Inside the range of a line: fewer events than it spans are missing, more came twice.
    const missing = line.lastSeq - line.firstSeq + 1 - line.received;
    if (missing > 0) lost += Math.max(0, missing - possible.countWithin(line.firstSeq, line.lastSeq));
    else duplicated -= missing;
    if (
      missing === 0 &&
      line.seqSum !== undefined &&
      line.seqSum !== ((line.firstSeq + line.lastSeq) * line.received) / 2
    ) {
      lost += 1;
      duplicated += 1;
    }
  }
  const expected = new Occurrences();
  for (const range of ledger?.sent ?? []) expected.add(range);
  const gaps: number[] = [];
  for (let seq = 1; seq <= Math.max(counts.last, expected.last); seq++) {
    const seen = counts.at(seq);
    const sent = expected.at(seq);
    if (seen < sent) {
      lost += sent - seen;
      gaps.push(seq);
    } else if (seen > sent + possible.at(seq)) {
      duplicated += seen - sent - possible.at(seq);
    }
  }
  const { outOfOrder, wrongTotals } = judgeOrder(lines, filled);
  const text = describe({ lost, duplicated, outOfOrder, wrongTotals }, gaps);
  return { lost, duplicated, outOfOrder, wrongTotals, text };
}

function judgeOrder(
  lines: readonly CountLine[],
  filled: readonly CountLine[],
): { outOfOrder: number; wrongTotals: number } {
  let outOfOrder = 0;
  let last = 0;
  for (const line of filled) {
    if (line.firstSeq <= last) outOfOrder += 1;
    last = Math.max(last, line.lastSeq);
  }
  let wrongTotals = 0;
  let total = 0;
  for (const line of lines) {
    total += line.received;
    if (line.total === total) continue;
    wrongTotals += 1;
    // Go on from what it says, so that one slip is one finding.
    total = line.total;
  }
  return { outOfOrder, wrongTotals };
}

function describe(found: Omit<DeviceVerdict, 'text'>, gaps: readonly number[]): string {
  const parts: string[] = [];
  if (found.lost > 0) parts.push(`${found.lost} lost${gaps.length > 0 ? ` (seq ${formatSeqs(gaps)})` : ''}`);
  if (found.duplicated > 0) parts.push(`${found.duplicated} duplicated`);
  if (found.outOfOrder > 0) parts.push(`${found.outOfOrder} batches out of order`);
  if (found.wrongTotals > 0) parts.push(`${found.wrongTotals} wrong running counts`);
  return parts.join(', ');
}

function formatSeqs(seqs: readonly number[]): string {
  const first = seqs[0]!;
  const last = seqs.at(-1)!;
  if (last - first + 1 === seqs.length) return first === last ? String(first) : `${first}-${last}`;
  return `${seqs.slice(0, 5).join(', ')}${seqs.length > 5 ? ', ...' : ''}`;
}

/** How often each `seq` of one device occurs. */
class Occurrences {
  readonly #counts: number[] = [];

  get last(): number {
    return this.#counts.length - 1;
  }

  add([deviceId, first, last]: SeqRange): void {
    if (
      !Number.isSafeInteger(first) ||
      !Number.isSafeInteger(last) ||
      first < 1 ||
      last < first ||
      last > rangeLengthMax
    ) {
      throw new RangeError(`${deviceId}: the range of seq ${first} to ${last} makes no sense`);
    }
    for (let seq = this.#counts.length; seq <= last; seq++) this.#counts.push(0);
    for (let seq = first; seq <= last; seq++) this.#counts[seq]! += 1;
  }

  at(seq: number): number {
    return this.#counts[seq] ?? 0;
  }

  countWithin(first: number, last: number): number {
    let count = 0;
    for (let seq = first; seq <= Math.min(last, this.last); seq++) count += this.at(seq);
    return count;
  }
}

/** The table that ends the demo. */
export function formatVerdict(verdict: Verdict): string {
  const rows: [string, number][] = [
    ['events sent', verdict.sent],
    ...(verdict.uncertain > 0 ? ([['perhaps sent', verdict.uncertain]] as [string, number][]) : []),
    ['events counted', verdict.counted],
    ['lost', verdict.lost],
    ['duplicated', verdict.duplicated],
    ...(verdict.outOfOrder > 0 ? ([['out of order', verdict.outOfOrder]] as [string, number][]) : []),
    ...(verdict.wrongTotals > 0 ? ([['wrong running counts', verdict.wrongTotals]] as [string, number][]) : []),
  ];
  const numbers = rows.map(([, value]) => value.toLocaleString('en-US'));
  const width = Math.max(...numbers.map((text) => text.length));
  const lines = rows.map(([name], index) => `  ${name.padEnd(22)}${numbers[index]!.padStart(width)}`);
  const head = verdict.clean ? 'Verdict: exactly once' : 'Verdict: NOT exactly once';
  return [head, ...lines, ...verdict.findings.map((finding) => `  ${finding}`)].join('\n');
}
