/** One row of a printed table, by column. */
export type TableRow = Readonly<Record<string, string | number>>;

/** A head line, a rule, and the rows; numbers to the right. The columns are the fields of the first row. */
export function formatTable(rows: readonly TableRow[]): string[] {
  const [first] = rows;
  if (!first) return [];
  const columns = Object.keys(first).map((name) => {
    const cells = rows.map((row) => formatCell(row[name]));
    const width = Math.max(name.length, ...cells.map((cell) => cell.length));
    const pad =
      typeof first[name] === 'number' ? (text: string) => text.padStart(width) : (text: string) => text.padEnd(width);
    return { head: pad(name), rule: '-'.repeat(width), cells: cells.map(pad) };
  });
  const join = (cells: readonly string[]): string => cells.join('  ').trimEnd();
  return [
    join(columns.map(({ head }) => head)),
    join(columns.map(({ rule }) => rule)),
    ...rows.map((_, row) => join(columns.map(({ cells }) => cells[row]!))),
  ];
}

function formatCell(value: string | number | undefined): string {
  if (typeof value === 'string') return value;
  if (value === undefined) return '';
  return Number.isInteger(value) ? value.toLocaleString('en-US') : value.toFixed(1);
}
