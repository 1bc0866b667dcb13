import { TidemarkError } from '../base/errors.ts';
import { decodeValue, encodeValue } from '../base/value-codec.ts';
import type { Content, Part } from './content.ts';
import { corrupt, incompatible } from './corruption.ts';
import { decodeFrame, type EncodedFrame, encodeFrame, type FrameSection } from './frame.ts';
import type { LogRecord, RecordLinks, RecordPlace, StoredBatch, StoredDelta, StoredOutput } from './log-record.ts';
import { logName } from './object-names.ts';
import type { FenceContent, PinContent, PlannedBatch, Receipt, RewindContent, SeedContent } from './records.ts';
import { linksShape, recordShapes, requireShape } from './stored-shapes.ts';

/** Sections of a record. All are critical: leaving one out would change what the record says. */
const tags = { links: 1, content: 2, inline: 3 } as const;
const knownTags: ReadonlySet<number> = new Set(Object.values(tags));

/** Inline bytes stand one after the other in the inline section: batch by batch, of deltas, then of outputs. */
interface ContentEntry {
  readonly lengthBytes: number;
  /** null: inline. */
  readonly parts: readonly Part[] | null;
}

interface DeltaEntry extends ContentEntry {
  readonly uid: string;
  readonly fingerprint: string;
}

interface OutputEntry extends ContentEntry {
  readonly uid: string;
}

interface BatchEntry extends Omit<StoredBatch, 'deltas' | 'outputs'> {
  readonly deltas: readonly DeltaEntry[];
  readonly outputs: readonly OutputEntry[];
}

interface BatchContent {
  readonly batches: readonly BatchEntry[];
  readonly receipts: readonly Receipt[];
  readonly plan: PlannedBatch | null;
}

/** @throws VALUE_UNSUPPORTED when an opaque part holds something that can't be stored. */
export function encodeRecord(record: LogRecord): EncodedFrame {
  const { links } = record;
  const sections: FrameSection[] = [
    section(tags.links, [encodeValue({ ...links, manifest: links.manifest ?? null })]),
    section(tags.content, [encodeValue(contentOf(record))]),
  ];
  if (record.kind === 'batch') {
    const contents = record.batches.flatMap(({ deltas, outputs }) => [...deltas, ...outputs]);
    const inline = contents.flatMap(({ content }) => (content.kind === 'inline' ? [content.bytes] : []));
    if (inline.some((bytes) => bytes.length > 0)) sections.push(section(tags.inline, inline));
  }
  return encodeFrame(record, sections);
}

/**
 * @param slot the record must say it stands at: a record copied to another name is damage.
 * @returns the record and its hash; inline bytes are views of the input.
 */
export function decodeRecord(slot: number, bytes: Uint8Array): { readonly record: LogRecord; readonly hash: string } {
  const name = logName(slot);
  const frame = decodeFrame(name, bytes, knownTags);
  const { header, sections } = frame;
  if (header.slot !== slot) throw corrupt(name, `it says it is record ${header.slot}`);
  const links = decodeSection(name, sections, tags.links) as Omit<RecordLinks, 'manifest'> & {
    readonly manifest: RecordLinks['manifest'] | null;
  };
  requireShape(name, 'links', links, linksShape);
  const content = decodeSection(name, sections, tags.content);
  if (Object.hasOwn(recordShapes, header.kind)) requireShape(name, header.kind, content, recordShapes[header.kind]!);
  const place: RecordPlace = { ...header, links: { ...links, manifest: links.manifest ?? undefined } };
  switch (header.kind) {
    case 'fence':
      return { record: { ...place, kind: 'fence', fence: content as FenceContent }, hash: frame.hash };
    case 'plan':
      return { record: { ...place, kind: 'plan', plan: content as PlannedBatch }, hash: frame.hash };
    case 'drain':
      return { record: { ...place, kind: 'drain', receipts: content as readonly Receipt[] }, hash: frame.hash };
    case 'pin':
      return { record: { ...place, kind: 'pin', pin: content as PinContent }, hash: frame.hash };
    case 'unpin':
      return { record: { ...place, kind: 'unpin', name: content as string }, hash: frame.hash };
    case 'rewind':
      return { record: { ...place, kind: 'rewind', rewind: content as RewindContent }, hash: frame.hash };
    case 'seed':
      return { record: { ...place, kind: 'seed', seed: content as SeedContent }, hash: frame.hash };
    case 'batch': {
      const { batches, receipts, plan } = content as BatchContent;
      if (batches.length === 0) throw corrupt(name, 'it holds no batch');
      const stored = decodeBatches(name, batches, sections.get(tags.inline) ?? new Uint8Array(0));
      const record: LogRecord = { ...place, kind: 'batch', batches: stored, receipts, plan: plan ?? undefined };
      return { record, hash: frame.hash };
    }
    default:
      throw incompatible(name, `a ${header.kind} object stands where a record belongs`);
  }
}

/** The decoded value of a section that must be there. */
export function decodeSection(name: string, sections: ReadonlyMap<number, Uint8Array>, tag: number): unknown {
  const bytes = sections.get(tag);
  if (bytes === undefined) throw corrupt(name, `section ${tag} is missing`);
  try {
    return decodeValue(bytes);
  } catch (cause) {
    if (cause instanceof TidemarkError) throw corrupt(name, `section ${tag} can't be read: ${cause.message}`, cause);
    throw cause;
  }
}

export function section(tag: number, chunks: readonly Uint8Array[]): FrameSection {
  return { tag, critical: true, chunks };
}

function contentOf(record: LogRecord): unknown {
  switch (record.kind) {
    case 'fence':
      return record.fence;
    case 'plan':
      return record.plan;
    case 'drain':
      return record.receipts;
    case 'pin':
      return record.pin;
    case 'unpin':
      return record.name;
    case 'rewind':
      return record.rewind;
    case 'seed':
      return record.seed;
    case 'batch': {
      const batches = record.batches.map((batch): BatchEntry => {
        const deltas = batch.deltas.map(({ uid, fingerprint, ...stored }): DeltaEntry => {
          return { uid, fingerprint, ...entryOf(stored) };
        });
        const outputs = batch.outputs.map(({ uid, ...stored }): OutputEntry => ({ uid, ...entryOf(stored) }));
        return { ...batch, deltas, outputs };
      });
      const content: BatchContent = { batches, receipts: record.receipts, plan: record.plan ?? null };
      return content;
    }
  }
}

function decodeBatches(name: string, entries: readonly BatchEntry[], inline: Uint8Array): readonly StoredBatch[] {
  const contentOf = inlineReader(name, inline);
  const batches = entries.map((batch): StoredBatch => {
    const deltas = batch.deltas.map(({ uid, fingerprint, ...entry }): StoredDelta => {
      return { uid, fingerprint, lengthBytes: entry.lengthBytes, content: contentOf.next(entry) };
    });
    const outputs = batch.outputs.map(({ uid, ...entry }): StoredOutput => {
      return { uid, lengthBytes: entry.lengthBytes, content: contentOf.next(entry) };
    });
    return { ...batch, deltas, outputs };
  });
  contentOf.end();
  return batches;
}

function entryOf({ lengthBytes, content }: Pick<StoredDelta, 'lengthBytes' | 'content'>): ContentEntry {
  return { lengthBytes, parts: content.kind === 'parts' ? content.parts : null };
}

/** Cuts the inline section into contents, in order; `end` when all entries were asked for. */
function inlineReader(name: string, inline: Uint8Array): { next: (entry: ContentEntry) => Content; end: () => void } {
  let at = 0;
  return {
    next: ({ lengthBytes, parts }) => {
      if (parts !== null) return { kind: 'parts', parts };
      const bytes = inline.subarray(at, at + lengthBytes);
      at += lengthBytes;
      return { kind: 'inline', bytes };
    },
    end: () => {
      if (at !== inline.length) throw corrupt(name, `its contents need ${at} bytes and it holds ${inline.length}`);
    },
  };
}
