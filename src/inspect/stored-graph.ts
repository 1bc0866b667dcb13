/**
 * What inspection reads from the description of the program that every fence holds. The log keeps it as opaque data, so
 * every field is looked for and none is relied on.
 */
export interface StoredGraph {
  readonly batchIntervalMs: number | undefined;
  readonly sources: ReadonlyMap<string, { readonly kind: string; readonly identity: Readonly<Record<string, string>> }>;
  /** Operator by uid. */
  readonly stateful: ReadonlyMap<string, string>;
  /** Description by uid. */
  readonly outputs: ReadonlyMap<string, string>;
  /** Uids of the outputs that keep their rows in the log. */
  readonly outboxes: readonly string[];
}

export function readStoredGraph(graph: unknown): StoredGraph {
  const { batchIntervalMs } = fieldsOf(graph);
  return {
    batchIntervalMs: typeof batchIntervalMs === 'number' ? batchIntervalMs : undefined,
    sources: byUid(graph, 'sources', (source) => ({
      kind: textOf(source.kind),
      identity: Object.fromEntries(
        Object.entries(fieldsOf(source.identity)).map(([name, value]) => [name, textOf(value)]),
      ),
    })),
    stateful: byUid(graph, 'stateful', (node) => textOf(node.operator)),
    outputs: byUid(graph, 'outputs', (output) => textOf(output.description)),
    outboxes: [...byUid(graph, 'outputs', (output) => textOf(output.sinkClass))].flatMap(([uid, sinkClass]) => {
      return sinkClass === 'outbox' ? [uid] : [];
    }),
  };
}

function byUid<T>(graph: unknown, field: string, read: (fields: Record<string, unknown>) => T): ReadonlyMap<string, T> {
  const list = fieldsOf(graph)[field];
  if (!Array.isArray(list)) return new Map();
  return new Map(list.map((item) => [textOf(fieldsOf(item).uid), read(fieldsOf(item))]));
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
