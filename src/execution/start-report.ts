import type { PathGuarantee, RecoveryInfo } from '../observe/streaming-listener.ts';

/** What a person should see of every start without asking: the guarantee of each path, and uids that depend on the program's order. */
export function formatStartReport(appName: string, { guarantees, derivedUids }: RecoveryInfo): string {
  const rows = [head, ...guarantees].map(({ source, output, guarantee, why }) => [source, output, guarantee, why]);
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`);
  return [`'${appName}' has started. From source to output:`, ...lines, ...aboutUids(derivedUids)].join('\n');
}

const head = { source: 'source', output: 'output', guarantee: 'guarantee', why: 'why' } satisfies Record<
  keyof PathGuarantee,
  string
>;

function aboutUids(uids: readonly string[]): string[] {
  if (uids.length === 0) return [];
  return [
    `  Without a uid of their own: ${uids.join(', ')}. These were made from kind and order, so a program that gains or loses`,
    '  one of the same kind before them no longer finds what is stored, or finds that of another. Give each { uid }.',
  ];
}
