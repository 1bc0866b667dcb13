import { TidemarkError, toError } from '../base/errors.ts';
import { keysPerStep, type Steps } from '../base/turns.ts';

/** `jsonl`: any row as JSON on a line of its own. `text`: strings, numbers, bigints and booleans as they print. */
export type LineFormat = 'jsonl' | 'text';

export const lineFormats: readonly LineFormat[] = ['jsonl', 'text'];

export const extensions: Readonly<Record<LineFormat, string>> = { jsonl: 'jsonl', text: 'txt' };

/** Text is turned into bytes in parts of about this length, so that no string grows with the batch. */
const partCharacters = 1024 * 1024;

/**
 * One line per row, in order of partitions and rows. No rows: no bytes.
 *
 * @throws TidemarkError VALUE_UNSUPPORTED naming the row
 */
export function* encodeLines(format: LineFormat, partitions: readonly (readonly unknown[])[]): Steps<Uint8Array> {
  const encode = format === 'jsonl' ? encodeJson : encodeText;
  const parts: Buffer[] = [];
  let text = '';
  let count = 0;
  for (const [partition, rows] of partitions.entries()) {
    for (let i = 0; i < rows.length; i++) {
      text += `${encode(rows[i], partition, i)}\n`;
      if (text.length >= partCharacters) {
        parts.push(Buffer.from(text));
        text = '';
        yield;
      }
      if (++count % keysPerStep === 0) yield;
    }
  }
  parts.push(Buffer.from(text));
  return Buffer.concat(parts);
}

/** The rows of an object that `encodeLines` made. */
export function decodeLines(format: LineFormat, bytes: Uint8Array): unknown[] {
  const lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString().split('\n');
  lines.pop();
  return format === 'jsonl' ? lines.map((line) => JSON.parse(line)) : lines;
}

function encodeJson(row: unknown, partition: number, index: number): string {
  let line: string | undefined;
  try {
    line = JSON.stringify(row);
  } catch (cause) {
    // A bigint, a cycle, or a toJSON of the program that throws.
    throw unsupported(partition, index, toError(cause).message.split('\n', 1)[0]!, cause);
  }
  if (line === undefined) throw unsupported(partition, index, `${typeof row} has no JSON form`);
  return line;
}

function encodeText(row: unknown, partition: number, index: number): string {
  switch (typeof row) {
    case 'number':
    case 'bigint':
    case 'boolean':
      return String(row);
    case 'string':
      if (!row.includes('\n')) return row;
      throw unsupported(partition, index, 'the string holds a line break, which format text cannot tell from two rows');
    default:
      throw unsupported(partition, index, `format text cannot write ${row === null ? 'null' : `an ${typeof row}`}`);
  }
}

function unsupported(partition: number, index: number, problem: string, cause?: unknown): TidemarkError {
  return new TidemarkError(
    'VALUE_UNSUPPORTED',
    `Row ${index} of partition ${partition} cannot be written: ${problem}. Map rows to plain data first${
      problem.includes('format text') ? ", or use format: 'jsonl'" : ''
    }.`,
    { cause, context: { partition, row: index } },
  );
}
