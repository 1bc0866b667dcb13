/** In any order: the engine promises an order per key only. */
export function sameRows(a: readonly unknown[], b: readonly unknown[]): boolean {
  return textOf(a) === textOf(b);
}

function textOf(rows: readonly unknown[]): string {
  return rows
    .map((row) => JSON.stringify(row))
    .sort()
    .join();
}
