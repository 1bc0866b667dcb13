import { ByteWriter } from '../base/byte-writer.ts';
import { type KeyIdentity, keyOfIdentity, writeKey } from '../base/canonical-key.ts';
import { keysPerStep, type Steps } from '../base/turns.ts';
import { ArenaPane } from './arena-pane.ts';
import type { Change } from './change.ts';
import type { CommittedPanes } from './committed-panes.ts';
import { Fingerprint } from './fingerprint.ts';
import { newStamp, type Summand } from './pane.ts';
import type { Addition } from './sealed-part.ts';
import { writeDrop, writeGroupHead } from './state-codec.ts';

/** What a batch has written in a pane, by key; undefined: removed. */
export type Overlay = Map<KeyIdentity, Change | undefined>;

/** What a batch does to a partition, encoded. */
export interface Sealed {
  /** Without the places of new keys: see {@link SealedPart}. */
  readonly bytes: Uint8Array;
  readonly additions: readonly Addition[];
  /** What the batch adds to the fingerprint and takes from it. */
  readonly change: Fingerprint;
  readonly removed: readonly RemovedEntry[];
}

interface RemovedEntry {
  readonly pane: number;
  readonly id: KeyIdentity;
  readonly stamp: Summand;
}

/** The overlays of one pane, by what becomes of the committed entries. */
interface SortedChanges {
  readonly gone: readonly RemovedEntry[];
  readonly changed: readonly Change[];
  readonly added: readonly Change[];
}

/** The changes of a pane on their way into the bytes of the batch. */
interface OpenGroup {
  readonly writer: ByteWriter;
  readonly additions: Addition[];
  readonly pane: number;
  readonly committed: CommittedPanes;
  readonly change: Fingerprint;
  readonly isDecoded: boolean;
}

// Where values are large, fewer of them make a step.
const bytesPerStep = 64 * 1024;
// So many entries tell how large all of them will be.
const sampleEntries = 256;

/** Encodes what the batch drops and changes. Until it is through, nothing of it counts. */
export function* seal(
  dropped: ReadonlySet<number>,
  overlays: ReadonlyMap<number, Overlay>,
  committed: CommittedPanes,
): Steps<Sealed> {
  const writer = new ByteWriter();
  const additions: Addition[] = [];
  const change = new Fingerprint();
  const removed: RemovedEntry[] = [];
  for (const pane of dropped) {
    const stamps = committed.get(pane)?.stamps(({ hash, schema }) => change.subtract(hash, schema));
    if (stamps !== undefined) yield* stamps;
    writeDrop(writer, pane);
  }
  for (const [pane, overlay] of overlays) {
    const sorted = yield* sort(pane, overlay, committed, change);
    const { gone, changed, added } = sorted;
    for (const entry of gone) removed.push(entry);
    if (gone.length + changed.length + added.length === 0) continue;
    const isDecoded = !committed.isLarge(pane, overlay.size);
    const start = writer.length;
    yield* write({ writer, additions, pane, committed, change, isDecoded }, sorted);
    for (const [id, cell] of overlay) if (cell?.isWithdrawn === true) overlay.delete(id);
    if (overlay.size === 0) writer.endAt(start);
  }
  // The writer is nobody else's: no copy is needed.
  return { bytes: writer.view(), additions, change, removed };
}

function* sort(pane: number, overlay: Overlay, committed: CommittedPanes, change: Fingerprint): Steps<SortedChanges> {
  const before = newStamp();
  const gone: RemovedEntry[] = [];
  const changed: Change[] = [];
  const added: Change[] = [];
  let target = committed.get(pane);
  let count = 0;
  for (const [id, cell] of overlay) {
    if (cell !== undefined) {
      if (target === undefined || !cell.isFoundIn(target)) {
        cell.find(id, target?.stampOf(id, before) ? before : undefined);
      }
      if (cell.isThere) {
        changed.push(cell);
        cell.stampBefore(before);
        change.subtract(before.hash, before.schema);
      } else {
        added.push(cell);
      }
    } else {
      // Keys the batch made and removed again leave no trace.
      const stamp = newStamp();
      if (target?.stampOf(id, stamp)) {
        gone.push({ pane, id, stamp });
        change.subtract(stamp.hash, stamp.schema);
      }
    }
    if (++count % keysPerStep !== 0) continue;
    yield;
    target = committed.get(pane);
  }
  return { gone, changed, added };
}

function* write(group: OpenGroup, { gone, changed, added }: SortedChanges): Steps {
  const { writer, additions, pane } = group;
  writeGroupHead(writer, pane, 'batch');
  writer.varint(gone.length);
  let count = 0;
  for (const { id } of gone) {
    writeKey(writer, keyOfIdentity(id));
    if (++count % keysPerStep === 0) yield;
  }
  yield* writeChanged(group, changed);
  writer.varint(added.length);
  if (added.length === 0) return;
  const last = additions.at(-1);
  let rank = last === undefined ? 0 : last.rank + last.count;
  additions.push({ at: writer.length, rank, count: added.length });
  for (const cell of added) cell.rank = rank++;
  yield* writeEach(group, added);
}

/** What is encoded as it was before is no change: its bytes are taken back, and the count that stands before them put right. */
function* writeChanged(group: OpenGroup, changed: readonly Change[]): Steps {
  const { writer } = group;
  const countAt = writer.length;
  writer.varint(changed.length);
  const from = writer.length;
  yield* writeEach(group, changed);
  let count = 0;
  for (const { isWithdrawn } of changed) if (!isWithdrawn) count += 1;
  if (count === changed.length) return;
  const end = writer.length;
  writer.endAt(countAt);
  writer.varint(count);
  const moved = from - writer.length;
  if (moved > 0) {
    writer.roomAt(end, 0).copyWithin(writer.length, from, end);
    for (const change of changed) change.moveBack(moved);
  }
  writer.endAt(end - moved);
}

/** Between a value's bytes and the copy that is kept of it nobody else has a turn: they must not differ. */
function* writeEach(group: OpenGroup, cells: readonly Change[]): Steps {
  const { writer, committed, pane, change, isDecoded } = group;
  const start = writer.length;
  let steppedAt = start;
  for (let index = 0; index < cells.length; index++) {
    const cell = cells[index]!;
    cell.encode(writer, pane);
    change.add(cell.hash, cell.schema);
    const target = cell.isThere ? committed.get(pane) : undefined;
    if (target instanceof ArenaPane) cell.withdrawIfSame(target, writer);
    if (isDecoded) cell.takeCopies();
    else cell.forgetValue();
    if ((index + 1) % keysPerStep !== 0 && writer.length - steppedAt < bytesPerStep) continue;
    // Growing by doubling would copy tens of megabytes in one go.
    if (index + 1 === sampleEntries) writer.reserve(((writer.length - start) / sampleEntries) * cells.length * 1.1);
    steppedAt = writer.length;
    yield;
  }
}
