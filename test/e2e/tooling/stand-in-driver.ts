import { EventHubConsumerClient } from '@azure/event-hubs';
import { ContainerClient } from '@azure/storage-blob';
import { runChild, tellParent } from '../../../scripts/demo/parent-channel.ts';
import type { DriverMessage } from '../../../scripts/demo/protocol.ts';
import type { Reading } from '../../../scripts/demo/telemetry.ts';

/**
 * The smallest application that speaks the demo's protocol and survives SIGKILL: one blob holds positions, totals and the
 * lines of the last batch, so writing it is the commit; the lines are published after it, again at the next start.
 * STAND_IN_FAULT makes it wrong on purpose: the demo must notice.
 */

interface Commit {
  readonly slot: number;
  readonly epoch: number;
  readonly positions: Record<string, number>;
  readonly totals: Record<string, number>;
  readonly batchTime: number;
  readonly lines: string;
}

const { env } = process;
const fault = env.STAND_IN_FAULT;
const containerName = /^az:\/\/([^/]+)\//.exec(env.TIDEMARK_OUTPUT_URL ?? '')?.[1] ?? '';
const container = new ContainerClient(env.AZURE_STORAGE_CONNECTION_STRING ?? '', containerName);
const commitBlob = container.getBlockBlobClient('checkpoint/commit.json');

async function tell(message: DriverMessage): Promise<void> {
  await tellParent(message);
}

async function put(name: string, text: string): Promise<void> {
  await container.getBlockBlobClient(name).upload(text, Buffer.byteLength(text));
}

async function publish(commit: Commit): Promise<void> {
  if (commit.lines !== '') await put(`output/counts/${commit.batchTime}-0.jsonl`, commit.lines);
}

async function recover(): Promise<Commit> {
  if (!(await commitBlob.exists())) {
    const positions = JSON.parse(env.TIDEMARK_STARTING_SEQUENCE_NUMBERS ?? '{}') as Record<string, number>;
    return { slot: 0, epoch: 0, positions, totals: {}, batchTime: 0, lines: '' };
  }
  const commit = JSON.parse((await commitBlob.downloadToBuffer()).toString()) as Commit;
  await publish(commit);
  return commit;
}

await runChild(async () => {
  const startedMs = Date.now();
  let commit = await recover();
  commit = { ...commit, epoch: commit.epoch + 1 };
  const { epoch, slot } = commit;
  const stateKeys = Object.keys(commit.totals).length;
  const client = new EventHubConsumerClient(
    env.EVENTHUB_CONSUMER_GROUP ?? '',
    env.EVENTHUB_CONNECTION_STRING ?? '',
    env.EVENTHUB_NAME ?? '',
  );
  const arrived: { partition: string; sequenceNumber: number; reading: Reading }[] = [];
  const startPosition = Object.fromEntries(
    Object.entries(commit.positions).map(([id, next]) => [
      id,
      next === 0 ? { offset: '-1' } : { sequenceNumber: next - 1, isInclusive: false },
    ]),
  );
  client.subscribe(
    {
      processEvents: async (events, context) => {
        for (const event of events)
          arrived.push({
            partition: context.partitionId,
            sequenceNumber: event.sequenceNumber,
            reading: event.body as Reading,
          });
      },
      processError: async (error) => console.error(error.message),
    },
    { startPosition, maxBatchSize: 1000, ownerLevel: epoch },
  );
  let stopping = false;
  process.on('message', () => {
    stopping = true;
  });
  await tell({ type: 'recovered', slot, epoch, stateKeys, batchesReplayed: 0, tookMs: Date.now() - startedMs });
  if (fault === 'die') throw new Error('died on purpose');

  // The first batch that has any events is the wrong one.
  let isWrong = false;
  for (;;) {
    const batchTime = Math.max(Date.now(), commit.batchTime + 1);
    const taken = arrived.splice(0);
    const loses = fault === 'lose' && !isWrong && taken.length > 0;
    commit = advance(commit, batchTime, loses ? taken.slice(1) : taken);
    const text = JSON.stringify(commit);
    await commitBlob.upload(text, Buffer.byteLength(text));
    await publish(commit);
    if (fault === 'double' && !isWrong && taken.length > 0)
      await put(`output/counts/${batchTime}-1.jsonl`, commit.lines);
    isWrong ||= taken.length > 0;
    await tell({
      type: 'batch',
      batchTimeMs: batchTime,
      records: taken.length,
      processingMs: 1,
      schedulingDelayMs: 0,
      totalDelayMs: 1,
      checkpointBytes: text.length,
      checkpointOperations: 1,
    });
    await tell({
      type: 'table',
      rows: [
        { devices: Object.keys(commit.totals).length, events: Object.values(commit.totals).reduce((a, b) => a + b, 0) },
      ],
    });
    if (stopping && (await caughtUp(client, commit))) break;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  await tell({ type: 'stopped' });
});

function advance(
  before: Commit,
  batchTime: number,
  taken: readonly { partition: string; sequenceNumber: number; reading: Reading }[],
): Commit {
  const positions = { ...before.positions };
  const totals = { ...before.totals };
  const counts = new Map<string, { received: number; firstSeq: number; lastSeq: number; seqSum: number }>();
  for (const { partition, sequenceNumber, reading } of taken) {
    positions[partition] = sequenceNumber + 1;
    const count = counts.get(reading.deviceId) ?? {
      received: 0,
      firstSeq: reading.seq,
      lastSeq: reading.seq,
      seqSum: 0,
    };
    counts.set(reading.deviceId, {
      ...count,
      received: count.received + 1,
      lastSeq: reading.seq,
      seqSum: count.seqSum + reading.seq,
    });
    totals[reading.deviceId] = (totals[reading.deviceId] ?? 0) + 1;
  }
  const lines = [...counts].map(
    ([deviceId, count]) => `${JSON.stringify({ deviceId, batchTime, ...count, total: totals[deviceId] })}\n`,
  );
  return { slot: before.slot + 1, epoch: before.epoch, positions, totals, batchTime, lines: lines.join('') };
}

async function caughtUp(client: EventHubConsumerClient, commit: Commit): Promise<boolean> {
  for (const [id, next] of Object.entries(commit.positions)) {
    if ((await client.getPartitionProperties(id)).lastEnqueuedSequenceNumber >= next) return false;
  }
  return true;
}
