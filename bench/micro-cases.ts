import { hashKey, keyIdentity } from '../src/base/canonical-key.ts';
import { SeededRandom } from '../src/base/random.ts';
import { decodeRows, encodeRows } from '../src/base/stored-rows.ts';
import { Seconds } from '../src/base/time.ts';
import { decodeValue, encodeValue } from '../src/base/value-codec.ts';
import type { LogRecord } from '../src/checkpoint/log-record.ts';
import { decodeRecord, encodeRecord } from '../src/checkpoint/record-codec.ts';
import { start } from './manual-program.ts';

export interface MicroCase {
  readonly name: string;
  /** Times the speed of the baseline loop below which it counts as regressed: about six tenths of what was measured. */
  readonly floor: number;
  readonly run: () => unknown;
}

const count = 20_000;
const random = new SeededRandom(5);
const names = Array.from({ length: count }, () => `device-${Math.floor(random.next() * 1e7).toString(36)}`);
const readings = names.map((device, i) => ({
  device,
  at: 1_700_000_000_000 + i,
  temperature: i / 7,
  humidity: i % 100,
}));
const pairs = names.map((name, i): [string, number] => [name, i]);
const composite = names.map((name, i) => [name, i % 16] as const);

/** The fixed loop everything is measured beside: texts into a Map, and what a compiled loop does with numbers. */
export function baseline(): number {
  const counts = new Map<string, number>();
  let sum = 0;
  for (let round = 0; round < 5; round++) {
    for (let i = 0; i < count; i++) {
      const key = names[i]!.slice(0, 11);
      counts.set(key, (counts.get(key) ?? 0) + 1);
      for (let j = 0; j < 8; j++) sum = (Math.imul(sum, 31) + key.charCodeAt(j)) | 0;
    }
  }
  return sum + counts.size;
}

const record: LogRecord = {
  kind: 'batch',
  slot: 12,
  epoch: 3,
  driverId: 'a'.repeat(32),
  commitId: 'b'.repeat(32),
  previousHash: 'c'.repeat(64),
  links: { manifest: undefined, previousFence: 3, floor: 0 },
  batches: [
    {
      batchId: 7,
      batchTimeMs: 1_700_000_000_000,
      positions: { hub: Object.fromEntries(Array.from({ length: 32 }, (_, p) => [String(p), { next: p * 1e9 }])) },
      handles: Array.from({ length: 50 }, (_, i) => ({
        uid: `out-${i}`,
        batchId: 7,
        batchTimeMs: 1_700_000_000_000,
        handle: { names: [`part-${i}-0`, `part-${i}-1`], bytes: i * 1000 },
      })),
      deltas: [],
      outputs: [],
    },
  ],
  receipts: Array.from({ length: 50 }, (_, i) => ({ uid: `out-${i}`, batchId: 6 })),
  plan: undefined,
};

const encodedReadings = readings.slice(0, 5000).map((reading) => encodeValue(reading));
const encodedRows = encodeRows(0, [pairs]);
const encodedRecord = encodeRecord(record).bytes;

/** Programs are built once: their operators have code of their own, as in a stream that runs. */
export async function microCases(): Promise<MicroCase[]> {
  const numbers = Array.from({ length: 400_000 }, (_, i) => i);
  const narrow = await start(numbers, (rows) =>
    rows
      .map((x) => x + 1)
      .filter((x) => x % 3 !== 0)
      .map((x) => x * 2)
      .filter((x) => x % 1000 === 0),
  );
  const reduced = await start(numbers, (rows) =>
    rows.map((x): [string, number] => [names[x % 5000]!, x]).reduceByKey((a, b) => a + b),
  );
  const grouped = await start(numbers.slice(0, 100_000), (rows) =>
    rows.map((x) => [x % 5000, x] as const).groupByKey(),
  );
  const joined = await start(numbers.slice(0, 40_000), (rows) => {
    const left = rows.map((x): [number, number] => [x, x + 1]);
    return left.join(rows.map((x): [number, number] => [x, x - 1])).filter(([key]) => key % 1000 === 0);
  });
  const windowed = await start(numbers.slice(0, 100_000), (rows) =>
    rows.map((x): [string, number] => [names[x % 5000]!, x]).reduceByKeyAndWindow((a, b) => a + b, Seconds(5)),
  );
  return [
    { name: 'hash: text keys', floor: 10, run: () => names.reduce((sum, name) => sum + hashKey(name), 0) },
    { name: 'hash: composite keys', floor: 3.5, run: () => composite.reduce((sum, key) => sum + hashKey(key), 0) },
    { name: 'identity: composite keys', floor: 3.4, run: () => composite.map((key) => keyIdentity(key)).length },
    { name: 'codec: objects written', floor: 0.34, run: () => readings.map((reading) => encodeValue(reading)).length },
    { name: 'codec: objects read', floor: 2.8, run: () => encodedReadings.map((bytes) => decodeValue(bytes)).length },
    { name: 'codec: rows written', floor: 2.7, run: () => encodeRows(0, [pairs]).length },
    { name: 'codec: rows read', floor: 4.4, run: () => decodeRows(encodedRows).partitions.length },
    { name: 'log record: written', floor: 0.65, run: () => repeat(50, () => encodeRecord(record)) },
    { name: 'log record: read', floor: 1.8, run: () => repeat(50, () => decodeRecord(12, encodedRecord)) },
    { name: 'operators: map, filter, map, filter', floor: 2, run: narrow },
    { name: 'operators: reduceByKey', floor: 0.42, run: reduced },
    { name: 'operators: groupByKey', floor: 0.68, run: grouped },
    { name: 'operators: join', floor: 0.45, run: joined },
    { name: 'operators: window', floor: 0.55, run: windowed },
  ];
}

function repeat(times: number, work: () => unknown): void {
  for (let i = 0; i < times; i++) work();
}
