import { crc32, mix32 } from '../../../src/base/checksum.ts';
import type { Clock } from '../../../src/base/clock.ts';
import type { CrashHook } from '../../../src/base/crash-points.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import type { CheckpointOptions } from '../../../src/checkpoint/checkpoint-options.ts';
import type { BatchCommit, FenceContent, OperatorDelta, StateExtent } from '../../../src/checkpoint/records.ts';
import type { StreamCheckpoint } from '../../../src/checkpoint/stream-checkpoint.ts';

/** Time that jumps to whatever is waited for: backoff costs nothing. */
export class JumpingClock implements Clock {
  #nowMs: number;

  constructor(startMs = 1_000_000) {
    this.#nowMs = startMs;
  }

  now(): number {
    return this.#nowMs;
  }

  advanceBy(ms: number): void {
    this.#nowMs += ms;
  }

  async waitUntil(timeMs: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.#nowMs = Math.max(this.#nowMs, timeMs);
  }
}

export function optionsWith(
  clock: Clock,
  seed: number,
  more: Partial<CheckpointOptions> & { readonly crashHook?: CrashHook } = {},
): CheckpointOptions {
  return { clock, random: new SeededRandom(seed), ...more };
}

export const fence: FenceContent = { zeroTimeMs: 500, graph: { outputs: ['a'] }, settings: { parallelism: 2 } };

export function batch(batchId: number, more: Partial<BatchCommit> = {}): BatchCommit {
  return {
    batchId,
    batchTimeMs: 500 + batchId * 1000,
    positions: { in: { next: batchId * 10 } },
    deltas: [],
    handles: [],
    receipts: [],
    ...more,
  };
}

const deltasMax = 4;

/** A keyed state as an engine would hold it: knows its deltas, and which keys a manifest still needs. */
export class CounterState {
  readonly uid: string;
  readonly values = new Map<string, number>();
  readonly #sinceManifest = new Set<string>();
  #deltas = 0;
  #sum = 0n;

  constructor(uid: string) {
    this.uid = uid;
  }

  set(changes: Readonly<Record<string, number>>): OperatorDelta {
    this.apply(encodeCounters(Object.entries(changes)), true);
    return this.delta(Object.keys(changes));
  }

  delta(keys: readonly string[]): OperatorDelta {
    return { uid: this.uid, bytes: this.#encode(keys), fingerprint: this.fingerprint() };
  }

  apply(bytes: Uint8Array, sinceManifest: boolean): void {
    for (const [key, value] of decodeCounters(bytes)) {
      const old = this.values.get(key);
      if (old !== undefined) this.#sum -= entryHash(key, old);
      this.#sum += entryHash(key, value);
      this.values.set(key, value);
      if (sinceManifest) this.#sinceManifest.add(key);
    }
  }

  /** At least what is asked for; a base now and then, so that the chain of deltas does not grow for ever. */
  extent(asked: 'base' | 'delta'): StateExtent {
    const kind = asked === 'base' || this.#deltas === deltasMax ? 'base' : 'delta';
    this.#deltas = kind === 'base' ? 0 : this.#deltas + 1;
    const keys = kind === 'base' ? [...this.values.keys()] : [...this.#sinceManifest];
    return { uid: this.uid, kind, bytes: this.#encode(keys) };
  }

  manifestWritten(): void {
    this.#sinceManifest.clear();
  }

  fingerprint(): string {
    return `${this.values.size} entries ${this.#sum}`;
  }

  #encode(keys: readonly string[]): Uint8Array {
    return encodeCounters(keys.map((key) => [key, this.values.get(key)!]));
  }
}

function entryHash(key: string, value: number): bigint {
  const entry = Buffer.from(`${key}=${value}`);
  return BigInt(crc32(entry)) * 4_294_967_296n + BigInt(fnv(entry));
}

/** A hash of its own: the fixtures of the format must not change with the engine's. */
function fnv(bytes: Uint8Array): number {
  const h = bytes.reduce((sum, byte) => Math.imul(sum ^ byte, 0x01000193), 0x811c9dc5);
  return mix32(h ^ bytes.length);
}

function encodeCounters(entries: readonly (readonly [string, number])[]): Uint8Array {
  return entries.length === 0 ? new Uint8Array(0) : Buffer.from(JSON.stringify(entries));
}

function decodeCounters(bytes: Uint8Array): readonly (readonly [string, number])[] {
  return JSON.parse(Buffer.from(bytes).toString());
}

/** What a stream's state is, by operator and key: the loaded pieces applied in order. */
export async function loadCounters(stream: StreamCheckpoint): Promise<Map<string, CounterState>> {
  const states = new Map<string, CounterState>();
  await stream.loadState((uid, bytes, sinceManifest) => {
    if (!states.has(uid)) states.set(uid, new CounterState(uid));
    states.get(uid)!.apply(bytes, sinceManifest);
  });
  return states;
}
