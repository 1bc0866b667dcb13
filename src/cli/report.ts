import { toJson } from '../inspect/value-json.ts';
import { formatTable, type TableRow } from './table.ts';

/** One part of what a verb prints: a title, and a table or a sentence when it is empty. */
export interface Section {
  readonly title: string;
  readonly rows: readonly TableRow[];
  readonly empty?: string | undefined;
}

export function formatSections(sections: readonly Section[]): string {
  return sections
    .map(({ title, rows, empty }) => [title, ...(rows.length === 0 ? [empty ?? 'none'] : formatTable(rows))].join('\n'))
    .join('\n\n');
}

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** A report as its function returned it, times in milliseconds. */
export function printJson(report: unknown): void {
  print(JSON.stringify(toJson(report), withoutUndefined, 2));
}

/** What is undefined is left out, as JSON does. */
function withoutUndefined(_name: string, value: unknown): unknown {
  const isUndefined = typeof value === 'object' && value !== null && '$undefined' in value;
  return isUndefined ? undefined : value;
}

export function timeText(timeMs: number | undefined): string {
  return timeMs === undefined ? '' : new Date(timeMs).toISOString();
}

/** On one line, cut at `widthMax`. */
export function valueText(value: unknown, widthMax = 80): string {
  const text = JSON.stringify(toJson(value));
  return text.length <= widthMax ? text : `${text.slice(0, widthMax - 3)}...`;
}
