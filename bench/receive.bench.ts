import { fork } from 'node:child_process';
import { join } from 'node:path';
import { EventHubProducerClient } from '@azure/event-hubs';
import { Child } from '../scripts/demo/child.ts';
import type { ServicesMessage } from '../scripts/demo/protocol.ts';
import { readLocalSettings } from '../scripts/local-settings.ts';
import type { Bench, BenchCircumstances, BenchOutcome } from './bench.ts';
import { median } from './median.ts';
import { alone, compared, type ResultRow } from './result.ts';

const events = 320_000;
const warm = 120_000;
const repeats = 5;
const partitions = 4;
const bufferEventsMax = 10_000;

const formats = ['json', 'bytes'] as const;
type Format = (typeof formats)[number];

/** What is worth trying of the published client: larger batches wait less, and prefetch fills them. */
const sdkSettings = [
  { BATCH: '1000', PREFETCH: '' },
  { BATCH: '1000', PREFETCH: '10000' },
  { BATCH: '5000', PREFETCH: '' },
];

interface Run {
  readonly ms: number;
  readonly cpuUs: number;
  readonly events: number;
  readonly touched: number;
}

type Env = Readonly<Record<string, string>>;

function bodyOf(format: Format, seq: number): unknown {
  if (format === 'bytes') return Buffer.alloc(200, 'x');
  const body = { deviceId: `thermostat-${seq % 500}`, temperature: (seq % 400) / 10, at: Date.now(), seq, note: '' };
  return { ...body, note: 'x'.repeat(200 - JSON.stringify(body).length) };
}

async function fill(connectionString: string, format: Format): Promise<void> {
  const producer = new EventHubProducerClient(connectionString, format);
  for (let sent = 0; sent < events; sent += 2000) {
    const batch = Array.from({ length: 2000 }, (_, i) => ({ body: bodyOf(format, sent + i) }));
    await producer.sendBatch(batch, { partitionId: String((sent / 2000) % partitions) });
  }
  await producer.close();
}

function run<T>(script: string, env: Env): Promise<T> {
  const child = fork(join(import.meta.dirname, script), {
    env: { ...process.env, ...env },
    execArgv: [...process.execArgv, '--expose-gc'],
  });
  return new Promise((resolve, reject) => {
    child.on('message', (message: T) => resolve(message));
    child.on('exit', (code) => code !== 0 && reject(new Error(`${script} ended with ${code}`)));
  });
}

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
  for (const setting of sdkSettings)
    tried.push({ setting, run: await run<Run>('receive-sdk.ts', { ...base, ...setting }) });
  const best = tried.reduce((a, b) => (cost(b.run) < cost(a.run) ? b : a)).setting;
  const sdk: Run[] = [];
  const direct: Run[] = [];
  for (let i = 0; i < rounds(repeats); i++) {
    progress(`bodies of ${format}, round ${i + 1} of ${rounds(repeats)}`);
    sdk.push(await run('receive-sdk.ts', { ...base, ...best }));
    direct.push(await run('receive-tidemark.ts', ours));
  }
  const byRhea = [await run<Run>('receive-tidemark.ts', { ...ours, READ_DIRECTLY: 'false' })];
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
    const direct = await run<{ bytes: number; events: number }>('receive-tidemark.ts', settings);
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
    `${events.toLocaleString('en-US')} events of 200 bytes over ${partitions} partitions, the emulator in a process of its own on the same machine; each ` +
    `reader in a fresh process, in turn, median of ${repeats}, counted after ${warm.toLocaleString('en-US')} events. CPU is user and system time of the reading process, ` +
    'for everything from the socket to a handler that touches every body. The published client runs at the cheapest of the ' +
    'settings tried. Nothing is computed, stored or committed on either side.',
  run: async (circumstances) => {
    const { storage, eventHubs } = readLocalSettings();
    const hubs = formats.map((name) => ({ name, partitionCount: partitions, consumerGroups: [] }));
    const settings = {
      storage: { ...storage, port: 0, dataFolder: undefined },
      eventHubs: { ...eventHubs, port: 0, hubs, dataFolder: undefined },
    };
    const services = new Child<ServicesMessage>({
      name: 'services',
      script: 'scripts/demo/services-process.ts',
      args: [JSON.stringify(settings)],
      env: {},
      onMessage: () => {},
      onLine: (line) => console.log(line),
    });
    try {
      const { eventHubsConnectionString } = await services.next('ready', 60_000);
      const env = { CONNECTION_STRING: eventHubsConnectionString };
      const outcomes: BenchOutcome[] = [];
      for (const format of formats) {
        await fill(eventHubsConnectionString, format);
        outcomes.push(await compare(format, env, circumstances));
      }
      outcomes.push(await memory(env));
      return { tables: outcomes.flatMap(({ tables }) => tables), rows: outcomes.flatMap(({ rows }) => rows) };
    } finally {
      await services.kill();
    }
  },
};
