import {
  diffState,
  getState,
  listOperators,
  listState,
  type StateDiff,
  type StoredEntry,
} from '../inspect/state-queries.ts';
import { parseKey } from '../inspect/value-json.ts';
import { withBar } from './progress-bar.ts';
import { formatSections, print, printJson, timeText, valueText } from './report.ts';
import type { TableRow } from './table.ts';
import {
  batchIdOf,
  jsonOption,
  type OptionForm,
  parseVerb,
  storageOf,
  storageOptions,
  type VerbForm,
} from './verb-arguments.ts';

const limitDefault = 100;
const batchOption: OptionForm = {
  name: 'batch',
  value: 'number',
  what: 'the state right after this batch (default: the last)',
};
const limitOption: OptionForm = {
  name: 'limit',
  value: 'number',
  what: `so many rows at most (default ${limitDefault})`,
};

const listForm: VerbForm = {
  name: 'checkpoint state ls',
  what: 'operators with state, or the keys of one',
  positionals: ['url', '[uid]'],
  options: [batchOption, limitOption, jsonOption, ...storageOptions],
};

export async function runStateList(args: readonly string[]): Promise<void> {
  const given = parseVerb(listForm, args);
  if (given === undefined) return;
  const [url, uid] = given.positionals;
  const options = { storage: storageOf(given), batchId: given.count('batch', 1) };
  const limit = given.count('limit', 1) ?? limitDefault;
  if (uid === undefined) {
    const found = await withBar('read', (onProgress) => listOperators(url!, { ...options, onProgress }));
    if (given.has('json')) return printJson(found);
    const rows = found.operators.map(({ meta, ...row }) => ({
      ...row,
      meta: meta === undefined ? '' : valueText(meta, 40),
    }));
    return print(formatSections([{ title: placeText('State', found), rows }]));
  }
  const found = await withBar('read', (onProgress) => listState(url!, uid, { ...options, limit, onProgress }));
  if (given.has('json')) return printJson(found);
  const shown = found.entries.length < found.count ? `; the first ${found.entries.length}, --limit shows more` : '';
  print(
    formatSections([
      {
        title: `${placeText(`${found.count} keys of '${uid}'`, found)}${shown}`,
        rows: found.entries.map((entry) => entryRow(entry)),
      },
    ]),
  );
}

const getForm: VerbForm = {
  name: 'checkpoint state get',
  what: 'the value of a key',
  positionals: ['url', 'uid', 'key as JSON'],
  options: [batchOption, jsonOption, ...storageOptions],
  notes: `The key is JSON: '"sensor-1"' for a text, 5 for a number, '["a",1]' for an array. What JSON has no form for:
{"$bigint":"5"}, {"$number":"NaN"}. Exit code 1: there is no such key.`,
};

/** 1: there is no such key. */
export async function runStateGet(args: readonly string[]): Promise<0 | 1> {
  const given = parseVerb(getForm, args);
  if (given === undefined) return 0;
  const [url, uid, text] = given.positionals;
  const key = parseKey(text!);
  const options = { storage: storageOf(given), batchId: given.count('batch', 1) };
  const entries = await withBar('read', (onProgress) => getState(url!, uid!, key, { ...options, onProgress }));
  if (given.has('json')) printJson(entries);
  else if (entries.length === 0) process.stderr.write(`'${uid}' holds nothing under ${valueText(key)}.\n`);
  else
    print(
      formatSections([
        { title: `'${uid}' under ${valueText(key)}`, rows: entries.map((entry) => entryRow(entry, 2000)) },
      ]),
    );
  return entries.length === 0 ? 1 : 0;
}

const diffForm: VerbForm = {
  name: 'checkpoint state diff',
  what: 'what changed between the states after two batches',
  positionals: ['url', 'batch a', 'batch b'],
  options: [limitOption, jsonOption, ...storageOptions],
};

export async function runStateDiff(args: readonly string[]): Promise<void> {
  const given = parseVerb(diffForm, args);
  if (given === undefined) return;
  const [url, a, b] = given.positionals;
  const limit = given.count('limit', 1) ?? limitDefault;
  const [from, to, storage] = [batchIdOf('batch a', a!), batchIdOf('batch b', b!), storageOf(given)];
  const diff = await withBar('read', (onProgress) => diffState(url!, from, to, { storage, onProgress }));
  if (given.has('json')) printJson(diff);
  else print(formatDiff(diff, limit));
}

function formatDiff({ from, to, differences }: StateDiff, limit: number): string {
  const rows = differences.slice(0, limit).map(({ uid, pane, key, before, after }) => ({
    uid,
    pane,
    key: valueText(key, 40),
    before: before === undefined ? '(none)' : valueText(before.value),
    after: after === undefined ? '(none)' : valueText(after.value),
  }));
  const shown = rows.length < differences.length ? `; the first ${rows.length}, --limit shows more` : '';
  const title = `${differences.length} differences between batch ${from.batchId} (${timeText(from.batchTimeMs)}) and batch ${to.batchId} (${timeText(to.batchTimeMs)})${shown}`;
  return formatSections([{ title, rows }]);
}

function placeText(
  what: string,
  { batchId, batchTimeMs }: { readonly batchId: number; readonly batchTimeMs: number },
): string {
  return `${what} after batch ${batchId} of ${timeText(batchTimeMs)}`;
}

function entryRow({ pane, key, value, timeMs }: StoredEntry, widthMax = 80): TableRow {
  return {
    pane,
    key: valueText(key, 60),
    value: valueText(value, widthMax),
    'last row': timeMs === 0 ? '' : timeText(timeMs),
  };
}
