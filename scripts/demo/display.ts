import { formatTable, type TableRow } from '../../src/cli/table.ts';
import type { DriverMessage } from './protocol.ts';

export interface DisplayOutput {
  /** A terminal: the table stays at the bottom and is drawn anew. Otherwise: lines only. */
  readonly isTTY: boolean;
  readonly columns: number;
  readonly rows: number;
  readonly write: (text: string) => void;
}

const plainTableEveryMs = 10_000;

/** What the demo shows: lines that scroll, and a table of results that is always the newest. */
export class Display {
  readonly #output: DisplayOutput;
  readonly #now: () => number;
  #table: readonly string[] = [];
  /** Lines of the table that stand on the screen, below the last scrolled line. */
  #drawn = 0;
  #plainTableAtMs = Number.NEGATIVE_INFINITY;

  constructor(output: DisplayOutput, now: () => number) {
    this.#output = output;
    this.#now = now;
  }

  /** One or more lines that stay. */
  line(text: string): void {
    this.#erase();
    this.#output.write(`${text}\n`);
    this.#draw();
  }

  table(rows: readonly TableRow[]): void {
    const { isTTY, columns, rows: height } = this.#output;
    const lines = formatTable(rows);
    if (isTTY) {
      this.#erase();
      // A line that wraps, or a table higher than the screen, could not be erased again.
      this.#table = lines.slice(0, Math.max(3, height - 4)).map((line) => line.slice(0, columns - 1));
      this.#draw();
    } else if (this.#now() - this.#plainTableAtMs >= plainTableEveryMs) {
      this.#plainTableAtMs = this.#now();
      this.#output.write(`${lines.join('\n')}\n`);
    }
  }

  /** The table is left standing; what follows is printed below it. */
  end(): void {
    this.#table = [];
    this.#drawn = 0;
  }

  #erase(): void {
    if (this.#drawn > 0) this.#output.write(`\x1b[${this.#drawn}A\x1b[J`);
    this.#drawn = 0;
  }

  #draw(): void {
    if (!this.#output.isTTY || this.#table.length === 0) return;
    this.#output.write(`${this.#table.join('\n')}\n`);
    this.#drawn = this.#table.length;
  }
}

export function formatBatch(batch: Extract<DriverMessage, { type: 'batch' }>): string {
  return [
    formatTimeOfDay(batch.batchTimeMs),
    `${batch.records.toLocaleString('en-US').padStart(7)} records`,
    `processing ${formatMs(batch.processingMs)}`,
    `scheduling delay ${formatMs(batch.schedulingDelayMs)}`,
    `checkpoint ${formatBytes(batch.checkpointBytes)} in ${batch.checkpointOperations} ${batch.checkpointOperations === 1 ? 'operation' : 'operations'}`,
    `total delay ${formatMs(batch.totalDelayMs)}`,
  ].join('  ');
}

export function formatRecovery(recovered: Extract<DriverMessage, { type: 'recovered' }>): string {
  const { slot, epoch, stateKeys, batchesReplayed, tookMs } = recovered;
  return (
    `driver recovered: slot ${slot}, epoch ${epoch}, ${stateKeys.toLocaleString('en-US')} state keys, ` +
    `${batchesReplayed} ${batchesReplayed === 1 ? 'batch' : 'batches'} replayed, in ${formatMs(tookMs).trim()}`
  );
}

/** Local time, as the one who watches reads a clock. */
export function formatTimeOfDay(timeMs: number): string {
  const time = new Date(timeMs);
  return [time.getHours(), time.getMinutes(), time.getSeconds()].map((part) => String(part).padStart(2, '0')).join(':');
}

function formatMs(ms: number): string {
  return `${Math.round(ms).toLocaleString('en-US').padStart(5)} ms`;
}

function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${String(bytes).padStart(6)} B `;
  const [value, unit] = bytes < 1024 ** 2 ? [bytes / 1024, 'KB'] : [bytes / 1024 ** 2, 'MB'];
  return `${value.toFixed(1).padStart(6)} ${unit}`;
}
