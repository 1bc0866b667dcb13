/** An absent optional is null in the cases and undefined here. */
export function normalise(value: unknown): unknown {
  if (value === undefined) return null;
  if (Array.isArray(value)) return value.map(normalise);
  return value;
}

/** Sorted by a text that tells all JSON values apart. */
export function asBag(rows: readonly unknown[]): unknown[] {
  return rows.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

const groupingOperations = new Set(['groupByKey', 'groupByKeyAndWindow', 'cogroup']);

/** What the rows of a batch are compared by. */
export function comparable(
  rows: readonly unknown[],
  compare: 'ordered' | 'bag' | undefined,
  operation: string | undefined,
): unknown[] {
  let result = rows.map(normalise);
  if (groupingOperations.has(operation ?? '')) {
    result = result.map((row) => {
      const [key, groups] = row as [unknown, unknown[]];
      return [key, operation === 'cogroup' ? groups.map((group) => asBag(group as unknown[])) : asBag(groups)];
    });
  }
  return compare === 'bag' ? asBag(result) : result;
}

/** Pairs of lists are compared whatever the order of their rows. */
export function expectedBatches(
  batches: readonly (readonly unknown[])[],
  compare: 'ordered' | 'bag' | undefined,
  operation: string | undefined,
): unknown[][] {
  return batches.map((rows) => comparable(rows, compare, operation));
}
