import { sha256Hex } from '../src/base/checksum.ts';
import type { StoredOperator } from '../src/state/stored-operator.ts';
import type { BenchTable } from './bench.ts';
import { median } from './median.ts';
import { compared, type ResultRow } from './result.ts';
import { cpuMs, type Device, device, fill, keyOf, newTable } from './state-data.ts';

const rounds = 3;
// One text can't hold more than half a gigabyte.
const keysPerText = 1_000_000;

interface Stored {
  readonly stored: StoredOperator;
  readonly fingerprint: string;
  readonly texts: readonly string[];
  readonly bytes: number;
}

/** A manifest of `keys` keys, and the same entries as JSON. */
function storedState(keys: number): Stored {
  const state = newTable();
  const fingerprint = fill(state, keys);
  const extents = state.extents(0.5);
  const texts: string[] = [];
  for (let from = 0; from < keys; from += keysPerText) {
    const length = Math.min(keysPerText, keys - from);
    texts.push(JSON.stringify(Array.from({ length }, (_, i) => [keyOf(from + i), device(from + i, 0)])));
  }
  const stored = extents.map(({ kind, buckets, summary, bytes }) => ({
    isBase: kind === 'base',
    buckets,
    summary,
    lengthBytes: bytes.length,
    read: async () => {
      sha256Hex(bytes);
      return bytes;
    },
  }));
  const bytes = extents.reduce((sum, extent) => sum + extent.bytes.length, 0);
  return { stored: { extents: stored, deltas: [] }, fingerprint, texts, bytes };
}

function parsed(texts: readonly string[]): Map<string, Device> {
  const map = new Map<string, Device>();
  for (const text of texts) for (const [key, value] of JSON.parse(text) as [string, Device][]) map.set(key, value);
  return map;
}

/** The restore of `keys` keys from memory against `JSON.parse` of the same, in turn. */
export async function restores(keys: number): Promise<{ table: BenchTable; results: ResultRow[] }> {
  const { stored, fingerprint, texts, bytes } = storedState(keys);
  const parse: number[] = [];
  const first: number[] = [];
  const all: number[] = [];
  for (let round = 0; round < rounds; round++) {
    parse.push(await cpuMs(() => parsed(texts).size));
    const state = newTable();
    const begun = await cpuMs(async () => {
      await state.restoreFrom(stored, fingerprint);
      await state.ensureLoaded([keyOf(1), keyOf(2)]);
    });
    first.push(begun);
    all.push(begun + (await cpuMs(() => state.ensureLoaded())));
  }
  const jsonChars = texts.reduce((sum, { length }) => sum + length, 0);
  const row = (what: string, ms: readonly number[]) => ({
    what,
    'CPU ms': Math.round(median(ms)),
    'against JSON': (median(ms) / median(parse)).toFixed(2),
  });
  const result = (what: string, ours: readonly number[], atLeast: number): ResultRow =>
    compared({
      what: `restore of ${keys.toLocaleString('en')} keys, ${what}`,
      against: 'JSON.parse of the same and a Map',
      unit: 'CPU ms',
      ours,
      peer: parse,
      better: 'less',
      atLeast,
    });
  const table = {
    title: `restore of ${keys.toLocaleString('en')} keys, ${Math.round(bytes / 1e6)} MB (as JSON ${Math.round(jsonChars / 1e6)} MB), median of ${rounds}`,
    rows: [
      row('JSON.parse and a Map', parse),
      row('until a batch of two keys can run', first),
      row('all of it, hashes and fingerprints checked', all),
    ],
  };
  return { table, results: [result('until a batch of two keys can run', first, 10), result('all of it', all, 2)] };
}
