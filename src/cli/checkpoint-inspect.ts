import {
  type CheckpointReport,
  inspectCheckpoint,
  type RecordRow,
  type SavepointRow,
} from '../inspect/inspect-checkpoint.ts';
import { schemasOf } from '../state/fingerprint.ts';
import { withBar } from './progress-bar.ts';
import { formatSections, print, printJson, timeText, valueText } from './report.ts';
import type { TableRow } from './table.ts';
import { jsonOption, parseVerb, storageOf, storageOptions, type VerbForm } from './verb-arguments.ts';

const form: VerbForm = {
  name: 'checkpoint inspect',
  what: 'what a checkpoint holds',
  positionals: ['url'],
  options: [
    { name: 'records', value: 'number', what: 'so many of the newest records (default 20)' },
    jsonOption,
    ...storageOptions,
  ],
};

export async function runInspect(args: readonly string[]): Promise<void> {
  const given = parseVerb(form, args);
  if (given === undefined) return;
  const options = { storage: storageOf(given), records: given.count('records', 1) };
  const report = await withBar('read', (onProgress) =>
    inspectCheckpoint(given.positionals[0]!, { ...options, onProgress }),
  );
  if (given.has('json')) printJson(report);
  else print(formatReport(report));
}

export function savepointTable(savepoints: readonly SavepointRow[]): readonly TableRow[] {
  return savepoints.map(({ name, batchId, batchTimeMs, madeMs, isAbandoned }) => ({
    name,
    batch: batchId,
    'batch time': timeText(batchTimeMs),
    made: timeText(madeMs),
    note: isAbandoned ? 'a rewind went back behind it' : '',
  }));
}

/** `5`, or `5 to 8` when they were made durable together. */
function batchText({ batchId, batches }: RecordRow): string {
  if (batchId === undefined) return '';
  return batches > 1 ? `${batchId - batches + 1} to ${batchId}` : String(batchId);
}

export function formatReport({ url, stream, ...report }: CheckpointReport): string {
  const { lastBatch, plannedBatch } = stream;
  const isBegun = (stream.batchIntervalMs ?? 0) > 0;
  const facts: readonly (readonly [string, string])[] = [
    ['stream', stream.streamId],
    ['url', url],
    ['last batch', lastBatch === undefined ? 'none' : `${lastBatch.batchId} of ${timeText(lastBatch.batchTimeMs)}`],
    ['planned', plannedBatch === undefined ? 'no' : `${plannedBatch.batchId} of ${timeText(plannedBatch.batchTimeMs)}`],
    // A stream that holds positions only has neither before its first start.
    ['batch interval', isBegun ? `${stream.batchIntervalMs} ms` : 'the first start says it'],
    ['zero time', isBegun ? timeText(stream.zeroTimeMs) : 'the first start says it'],
    ['epoch', String(stream.epoch)],
    ['generation', String(stream.generation)],
    ['records', `${stream.floor + 1} to ${stream.tailSlot}`],
    ['last stop', stream.drained ? 'clean' : 'running, or not clean'],
  ];
  return formatSections([
    { title: 'Stream', rows: facts.map(([what, value]) => ({ what, value })) },
    {
      title: `Records (the newest ${report.records.length})`,
      rows: report.records.map((record) => ({
        slot: record.slot,
        kind: record.kind,
        epoch: record.epoch,
        batch: batchText(record),
        'batch time': timeText(record.batchTimeMs),
        written: timeText(record.writtenMs),
        bytes: record.bytes,
        'state bytes': record.stateBytes,
        segments: record.segments,
        staged: record.staged,
        published: record.published,
        manifest: record.adopts === undefined ? '' : 'adopted',
      })),
    },
    {
      title: 'Operators with state',
      rows: report.operators.map((one) => ({
        uid: one.uid,
        operator: one.operator,
        keys: one.keys,
        schema: schemasOf(one.fingerprint).join(', '),
        'base bytes': one.baseBytes,
        'delta bytes': one.deltaBytes,
        'bytes since': one.recentBytes,
      })),
    },
    {
      title: 'Sources',
      rows: report.sources.map(({ uid, kind, identity, position, planned }) => ({
        uid,
        kind,
        identity: valueText(identity),
        position: valueText(position, 120),
        planned: planned === undefined ? '' : 'yes',
      })),
    },
    {
      title: 'Output that is committed and not known to be published',
      rows: report.unpublished.map(({ uid, description, batchId, batchTimeMs }) => {
        return { uid, description, batch: batchId, 'batch time': timeText(batchTimeMs) };
      }),
    },
    { title: 'Savepoints', rows: savepointTable(report.savepoints) },
    {
      title: 'Manifests',
      rows: report.manifests.map(({ slot, writtenMs, bytes, inForce }) => {
        return { slot, written: timeText(writtenMs), bytes, 'in force': inForce ? 'yes' : '' };
      }),
      empty: 'none: a start reads all records',
    },
    { title: 'Objects', rows: report.objects },
  ]);
}
