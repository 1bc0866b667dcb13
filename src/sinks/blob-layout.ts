import { extensions, type LineFormat } from './line-format.ts';

/**
 * Names of a blob sink's objects, relative to its URL.
 *
 *   <uid>/<batch time, 15 digits>-<generation, 4 digits>.jsonl            output of one batch, there once it is committed
 *   <uid>/_rewind/<generation, 4 digits>-<batch time, 15 digits>          from this generation on, lower ones end at this time
 *   _staging/<stream id>/<uid>/<epoch, 20 digits>-<batch id>-<random>     bytes of a batch that may never be committed
 *
 * Output sorts by batch time. A uid is percent-encoded where it holds more than letters, digits, `-` and `_`, so it
 * never is `_staging` and never has a slash.
 */
const stagingFolder = '_staging';
const rewindForm = /^(\d{4,})-(\d{15,})$/;
const outputForm = /^(\d{15,})-(\d{4,})\.(jsonl|txt)$/;

export interface OutputName {
  readonly batchTimeMs: number;
  readonly generation: number;
  readonly format: LineFormat;
}

export function outputFolder(uid: string): string {
  const encoded = encodeURIComponent(uid).replace(/[.!'()*~]/g, percent);
  return encoded === stagingFolder ? encoded.replace('_', percent) : encoded;
}

/** What a rewind leaves for readers: output of lower generations counts up to its batch time only. */
export interface RewindMark {
  readonly generation: number;
  readonly batchTimeMs: number;
}

export function rewindPrefix(uid: string): string {
  return `${outputFolder(uid)}/_rewind/`;
}

export function rewindName(uid: string, { generation, batchTimeMs }: RewindMark): string {
  return `${rewindPrefix(uid)}${String(generation).padStart(4, '0')}-${String(batchTimeMs).padStart(15, '0')}`;
}

/** Undefined for an object that marks no rewind. */
export function parseRewindName(uid: string, name: string): RewindMark | undefined {
  const match = rewindForm.exec(name.slice(rewindPrefix(uid).length));
  return match === null ? undefined : { generation: Number(match[1]), batchTimeMs: Number(match[2]) };
}

export function outputName(uid: string, { batchTimeMs, generation, format }: OutputName): string {
  const time = String(batchTimeMs).padStart(15, '0');
  return `${outputFolder(uid)}/${time}-${String(generation).padStart(4, '0')}.${extensions[format]}`;
}

/** Undefined for an object that is no output of the sink. */
export function parseOutputName(uid: string, name: string): OutputName | undefined {
  const match = outputForm.exec(name.slice(outputFolder(uid).length + 1));
  if (match === null) return undefined;
  const [, time, generation, extension] = match;
  return {
    batchTimeMs: Number(time),
    generation: Number(generation),
    format: extension === extensions.text ? 'text' : 'jsonl',
  };
}

export function stagingPrefix(streamId: string, uid: string): string {
  return `${stagingFolder}/${outputFolder(streamId)}/${outputFolder(uid)}/`;
}

export function stagingName(streamId: string, uid: string, epoch: number, batchId: number, random: string): string {
  return `${stagingPrefix(streamId, uid)}${String(epoch).padStart(20, '0')}-${batchId}-${random}`;
}

/** Epoch of the driver that staged the object. */
export function stagingEpoch(streamId: string, uid: string, name: string): number {
  return Number(name.slice(stagingPrefix(streamId, uid).length).split('-', 1)[0]);
}

function percent(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
}
