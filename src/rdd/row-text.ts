/** A row as a line of text: a string as it is, other scalars as they print, an array as `(a,b)`, an object as JSON. */
export function rowText(row: unknown): string {
  if (typeof row === 'string') return row;
  if (Array.isArray(row)) return `(${row.map(rowText).join(',')})`;
  if (row instanceof Date) return row.toISOString();
  if (typeof row === 'object' && row !== null) return JSON.stringify(row, bigintAsText) ?? String(row);
  return String(row);
}

function bigintAsText(_name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `${value}` : value;
}
