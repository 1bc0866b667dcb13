import type { ContainerClient } from '@azure/storage-blob';
import { TidemarkError } from '../../src/base/errors.ts';
import type { CountLine } from './verdict.ts';

export interface ReadOutput {
  readonly lines: readonly CountLine[];
  readonly objects: number;
}

/**
 * Reads every `.jsonl` object below `prefix` with nothing but the storage SDK: the judge must not trust the engine's own reader.
 *
 * @throws TidemarkError INTERNAL for a line that is not one of the output `counts`
 */
export async function readCountLines(container: ContainerClient, prefix: string): Promise<ReadOutput> {
  const lines: CountLine[] = [];
  let objects = 0;
  for await (const item of container.listBlobsFlat({ prefix })) {
    if (!item.name.endsWith('.jsonl')) continue;
    objects += 1;
    const text = (await container.getBlobClient(item.name).downloadToBuffer()).toString('utf8');
    for (const [index, line] of text.split('\n').entries()) {
      if (line !== '') lines.push(parseLine(line, `${item.name}:${index + 1}`));
    }
  }
  return { lines, objects };
}

export function parseLine(line: string, place: string): CountLine {
  let value: Partial<Record<keyof CountLine, unknown>>;
  try {
    value = JSON.parse(line) as typeof value;
  } catch (cause) {
    throw new TidemarkError('INTERNAL', `${place} is not JSON: ${line.slice(0, 100)}`, { cause });
  }
  const { deviceId, batchTime, received, total, firstSeq = 0, lastSeq = 0, seqSum } = value;
  const numbers = [batchTime, received, total, firstSeq ?? 0, lastSeq ?? 0, seqSum ?? 0];
  if (typeof deviceId !== 'string' || !numbers.every((number) => Number.isSafeInteger(number))) {
    throw new TidemarkError(
      'INTERNAL',
      `${place} has no deviceId, batchTime, received, firstSeq, lastSeq and total: ${line.slice(0, 200)}`,
    );
  }
  return {
    deviceId,
    batchTime: batchTime as number,
    received: received as number,
    firstSeq: (firstSeq ?? 0) as number,
    lastSeq: (lastSeq ?? 0) as number,
    total: total as number,
    ...(typeof seqSum === 'number' ? { seqSum } : {}),
  };
}
