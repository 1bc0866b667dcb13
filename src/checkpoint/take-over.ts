import { TidemarkError } from '../base/errors.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { CheckpointSettings } from './checkpoint-options.ts';
import { putUntilKnown } from './durable-put.ts';
import type { FenceRecord } from './log-record.ts';
import type { LogTail } from './log-writer.ts';
import { formatName, logName } from './object-names.ts';
import { readForward, readStream } from './read-checkpoint.ts';
import { encodeRecord } from './record-codec.ts';
import type { FenceContent, StreamStatus } from './records.ts';
import { encodeFormat, readFloor, readFormat } from './root-objects.ts';
import { isUndated } from './status-fold.ts';
import { RecoveredStream } from './stream-checkpoint.ts';

// Every loss means that another driver made progress; more in a row than this is two supervisors fighting.
const attemptsMax = 16;

export interface Fenced {
  /** Up to the record before the fence. */
  readonly stream: RecoveredStream;
  readonly fence: FenceRecord;
  readonly tail: LogTail;
}

/**
 * Appends a Fence record to the true end of the log, whatever happened since `found` was read.
 *
 * Its slot is the new epoch: the older driver meets an occupied slot at its next commit. When the slot was taken by
 * another driver meanwhile, what that driver wrote is read first: the stream returned is always the one the fence follows.
 *
 * @param check sees the status the fence will follow, before anything is written; throws to refuse.
 */
export async function fenceStream(
  store: ObjectStore,
  settings: CheckpointSettings,
  found: RecoveredStream | undefined,
  content: FenceContent,
  check: (status: StreamStatus) => void,
): Promise<Fenced> {
  const driverId = settings.random.id();
  let stream = found ?? (await createStream(store, settings));
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    const { status } = stream;
    check(status);
    await settings.crashHook('recovery:before-fence');
    const slot = status.tailSlot + 1;
    const fence: FenceRecord = {
      kind: 'fence',
      slot,
      epoch: slot,
      driverId,
      commitId: settings.random.id(),
      previousHash: stream.tailHash,
      links: { manifest: stream.manifestReference, previousFence: status.epoch, floor: stream.floor },
      fence: {
        ...content,
        zeroTimeMs: isUndated(status) ? content.zeroTimeMs : status.zeroTimeMs,
        silenceThresholdMs: settings.silenceThresholdMs,
      },
    };
    const { bytes, hash } = encodeRecord(fence);
    const put = await putUntilKnown(store, settings, logName(slot), bytes, fence.commitId, 'fail on refusal');
    if (put.status === 'done') {
      // What was read may be old by now, and the slot one that was cleaned away: a fence always asks the floor.
      const { value: floor } = await readFloor(store);
      const { serverTimeMs } = put;
      if (floor < slot) return { stream, fence, tail: { slot, hash, serverTimeMs, arrivedAfterMs: stream.readAtMs } };
      stream = await readAgain(store);
    } else if ((await readForward(store, stream, slot)) === 'cleaned away' || stream.status.tailSlot < slot) {
      stream = await readAgain(store);
    }
  }
  throw new TidemarkError(
    'FENCED',
    `Other drivers took over the stream at ${store.url} ${attemptsMax} times while this one tried to. Run one application per checkpoint URL.`,
  );
}

/** The hint led astray once: the listing is the truth. */
async function readAgain(store: ObjectStore): Promise<RecoveredStream> {
  const stream = await readStream(store, 'by listing');
  if (stream !== undefined) return stream;
  throw new TidemarkError('INTERNAL', `The log at ${store.url} was there and is empty now.`);
}

/** Creates `format`, or goes on where an earlier creation stopped. */
async function createStream(store: ObjectStore, settings: CheckpointSettings): Promise<RecoveredStream> {
  const existing = await readFormat(store);
  if (existing !== undefined) return new RecoveredStream(store, existing);
  const streamId = settings.random.id();
  const commitId = settings.random.id();
  const { bytes, hash } = encodeFormat(streamId, commitId);
  const put = await putUntilKnown(store, settings, formatName, bytes, commitId, 'fail on refusal');
  if (put.status === 'done') {
    const created = new RecoveredStream(store, { streamId, hash });
    created.readAtMs = put.serverTimeMs;
    return created;
  }
  const other = await readFormat(store);
  if (other !== undefined) return new RecoveredStream(store, other);
  throw new TidemarkError('INTERNAL', `"${formatName}" at ${store.url} was there and is gone.`);
}
