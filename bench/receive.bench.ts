import type { Bench, BenchCircumstances, BenchOutcome } from './bench.ts';
import { fillHub, hubPartitions, measured, reading, startHubs } from './hubs.ts';
import { median } from './median.ts';
import { alone, compared, type ResultRow } from './result.ts';

const events = 320_000;
const warm = 120_000;
const repeats = 5;
const bufferEventsMax = 10_000;

const formats = ['json', 'bytes'] as const;
type Format = (typeof formats)[number];

/** What is worth trying of the published client: larger batches wait less, and prefetch fills them. */
const sdkSettings = [
  { BATCH: '1000', PREFETCH: '' },
  { BATCH: '1000', PREFETCH: '10000' },
  { BATCH: '5000', PREFETCH: '' },
  { BATCH: '5000', PREFETCH: '20000' },
];

interface Run {
  readonly ms: number;
  readonly cpuUs: number;
  readonly events: number;
  readonly touched: number;
}

type Env = Readonly<Record<string, string>>;

const bytesBody = Buffer.alloc(200, 'x');

const cost = ({ cpuUs, events: count }: Run): number => cpuUs / count;
const rate = ({ ms, events: count }: Run): number => (count / ms) * 1000;
const round = (value: number, digits: number): number => Number(value.toFixed(digits));

function row(reader: string, runs: readonly Run[], sdkUs: number): Record<string, string | number> {
  const us = median(runs.map(cost));
  return {
    reader,
    'CPU us/event': round(us, 2),
    'lowest and highest': `${round(Math.min(...runs.map(cost)), 2)} - ${round(Math.max(...runs.map(cost)), 2)}`,
    'times cheaper': round(sdkUs / us, 1),
    'events/s': Math.round(median(runs.map(rate))),
  };
}

async function compare(format: Format, env: Env, { rounds, progress }: BenchCircumstances): Promise<BenchOutcome> {
  const base = { ...env, HUB: format, FORMAT: format, TOTAL: String(events), WARM: String(warm) };
  const ours = { ...base, BUFFER: String(bufferEventsMax) };
  const tried = [];
  for (const setting of sdkSettings) {
    progress(
      `bodies of ${format}, the client with batches of ${setting.BATCH} and prefetch ${setting.PREFETCH || 'by default'}`,
    );
    tried.push({ setting, run: await measured<Run>('receive-sdk.ts', { ...base, ...setting }) });
  }
  const best = tried.reduce((a, b) => (cost(b.run) < cost(a.run) ? b : a)).setting;
  const sdk: Run[] = [];
  const direct: Run[] = [];
  for (let i = 0; i < rounds(repeats); i++) {
    progress(`bodies of ${format}, round ${i + 1} of ${rounds(repeats)}`);
    sdk.push(await measured('receive-sdk.ts', { ...base, ...best }));
    direct.push(await measured('receive-tidemark.ts', ours));
  }
  if ([...sdk, ...direct].some(({ touched }) => touched !== direct[0]!.touched))
    throw new Error('The sides read other events.');
  const byRhea = [await measured<Run>('receive-tidemark.ts', { ...ours, READ_DIRECTLY: 'false' })];
  const sdkUs = median(sdk.map(cost));
  const prefetch = best.PREFETCH || 'default';
  const title = format === 'json' ? 'bodies of JSON, parsed' : 'bodies of bytes';
  const result = compared({
    what: `receive, ${title}`,
    against: 'EventHubConsumerClient.subscribe at its best setting',
    unit: 'CPU us/event',
    ours: direct.map(cost),
    peer: sdk.map(cost),
    better: 'less',
    atLeast: 5,
  });
  const table = {
    title,
    rows: [
      row('Tidemark', direct, sdkUs),
      row('Tidemark, every frame read by rhea (one run)', byRhea, sdkUs),
      row(`subscribe, maxBatchSize ${best.BATCH}, prefetchCount ${prefetch}`, sdk, sdkUs),
    ],
  };
  return { tables: [table], rows: [result] };
}

async function memory(env: Env): Promise<BenchOutcome> {
  const cells = [];
  const rows: ResultRow[] = [];
  for (const format of formats) {
    const settings = { ...env, HUB: format, FORMAT: format, BUFFER: '50000', MEMORY: 'true' };
    const direct = await measured<{ bytes: number; events: number }>('receive-tidemark.ts', settings);
    const bytes = direct.bytes / direct.events;
    rows.push(alone({ what: `memory per waiting event, ${format}`, unit: 'bytes', ours: [bytes], atMost: 500 }));
    cells.push({
      bodies: format,
      'events held': direct.events,
      'bytes per event': Math.round(bytes),
    });
  }
  const title = 'memory per buffered event (heap and external, after a collection; connection included)';
  return { tables: [{ title, rows: cells }], rows };
}

export const bench: Bench = {
  title: 'Receiving from Event Hubs, beside EventHubConsumerClient.subscribe',
  measures:
    `${events.toLocaleString('en-US')} events of 200 bytes over ${hubPartitions} partitions, the emulator in a process of its own on the same machine; each ` +
    `reader in a fresh process, in turn, median of ${repeats}, counted after ${warm.toLocaleString('en-US')} events. CPU is user and system time of the reading process, ` +
    'for everything from the socket to a handler that touches every body. The published client runs at the cheapest of the ' +
    'settings tried. Nothing is computed, stored or committed on either side.',
  run: async (circumstances) => {
    const hubs = await startHubs(formats);
    try {
      const env = { CONNECTION_STRING: hubs.connectionString };
      const outcomes: BenchOutcome[] = [];
      for (const format of formats) {
        await fillHub(hubs, format, events, format === 'json' ? reading : () => bytesBody);
        outcomes.push(await compare(format, env, circumstances));
      }
      outcomes.push(await memory(env));
      return { tables: outcomes.flatMap(({ tables }) => tables), rows: outcomes.flatMap(({ rows }) => rows) };
    } finally {
      hubs.stop();
    }
  },
};
