import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { TidemarkError } from '../../base/errors.ts';
import { Refusal } from './conditions.ts';
import { type HubSettings, invalid } from './options.ts';
import { PartitionLog } from './partition-log.ts';
import { ProducerRegistry } from './producers.ts';
import { ReaderRegistry } from './readers.ts';
import { SegmentFiles } from './segment-files.ts';

/** One partition with those who use it. */
export interface Partition {
  readonly id: number;
  readonly log: PartitionLog;
  readonly producers: ProducerRegistry;
  /** By consumer group, lower case; filled on first use, bounded by the groups of the hub. */
  readonly readers: Map<string, ReaderRegistry>;
  frozen: boolean;
}

interface HubRecord {
  readonly name: string;
  readonly partitionCount: number;
  readonly createdAtMs: number;
}

const cacheBytesPerHub = 64 * 2 ** 20;
const segmentBytes = 64 * 2 ** 20;

/**
 * An event hub: its partitions and where they are stored. `recreate` replaces everything, as deleting and creating the
 * hub in the portal does.
 */
export class Hub {
  readonly settings: HubSettings;
  readonly #folder: string | undefined;
  readonly #clock: Clock;
  #partitions: Partition[] = [];
  #createdAtMs: number;
  #nextPartition = 0;

  /** @throws TidemarkError OPTION_INVALID, EMULATOR_DATA_CORRUPT */
  constructor(settings: HubSettings, dataFolder: string | undefined, clock: Clock) {
    this.settings = settings;
    this.#clock = clock;
    this.#folder = dataFolder === undefined ? undefined : join(dataFolder, settings.name.toLowerCase());
    const stored = this.#readRecord();
    if (stored !== undefined && stored.partitionCount > settings.partitionCount) {
      throw invalid(
        `partitionCount of hub ${settings.name}`,
        settings.partitionCount,
        `the data folder holds ${stored.partitionCount} partitions and partitions cannot be removed; use another data folder`,
      );
    }
    this.#createdAtMs = stored?.createdAtMs ?? clock.now();
    if (stored?.partitionCount !== settings.partitionCount) this.#writeRecord();
    this.#openPartitions();
  }

  get createdAtMs(): number {
    return this.#createdAtMs;
  }

  get partitions(): readonly Partition[] {
    return this.#partitions;
  }

  /** @throws Refusal */
  partition(id: string): Partition {
    const partition = /^\d{1,4}$/.test(id) ? this.#partitions[Number(id)] : undefined;
    if (partition === undefined || String(partition.id) !== id) {
      throw Refusal.partitionInvalid(this.settings.partitionCount, id);
    }
    return partition;
  }

  nextPartition(): Partition {
    this.#nextPartition = (this.#nextPartition + 1) % this.#partitions.length;
    return this.#partitions[this.#nextPartition]!;
  }

  readers(partition: Partition, consumerGroup: string): ReaderRegistry {
    const group = consumerGroup.toLowerCase();
    let readers = partition.readers.get(group);
    if (readers === undefined) partition.readers.set(group, (readers = new ReaderRegistry()));
    return readers;
  }

  recreate(): void {
    this.close();
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true });
    this.#createdAtMs = Math.max(this.#clock.now(), this.#createdAtMs + 1);
    this.#writeRecord();
    this.#openPartitions();
  }

  close(): void {
    for (const partition of this.#partitions) partition.log.close();
  }

  #openPartitions(): void {
    const { partitionCount, retentionBytes, retentionMs } = this.settings;
    const cacheBytesMax = Math.floor(cacheBytesPerHub / partitionCount);
    this.#nextPartition = partitionCount - 1;
    this.#partitions = [];
    for (let id = 0; id < partitionCount; id++) {
      const files =
        this.#folder === undefined ? undefined : new SegmentFiles(join(this.#folder, String(id)), segmentBytes);
      const log = new PartitionLog({ retentionBytesMax: retentionBytes, retentionMs, cacheBytesMax }, files);
      log.retain(this.#clock.now());
      this.#partitions.push({ id, log, producers: new ProducerRegistry(), readers: new Map(), frozen: false });
    }
  }

  #readRecord(): HubRecord | undefined {
    if (this.#folder === undefined) return undefined;
    const path = join(this.#folder, 'hub.json');
    if (!existsSync(path)) return undefined;
    try {
      const record = JSON.parse(readFileSync(path, 'utf8')) as HubRecord;
      if (Number.isSafeInteger(record.partitionCount) && Number.isSafeInteger(record.createdAtMs)) return record;
    } catch {
      // Reported below, like a file with other content.
    }
    throw new TidemarkError(
      'EMULATOR_DATA_CORRUPT',
      `The emulator's file ${path} does not describe a hub. Delete the data folder to start with empty hubs.`,
      { context: { path } },
    );
  }

  #writeRecord(): void {
    if (this.#folder === undefined) return;
    mkdirSync(this.#folder, { recursive: true });
    const { name, partitionCount } = this.settings;
    const record: HubRecord = { name, partitionCount, createdAtMs: this.#createdAtMs };
    const path = join(this.#folder, 'hub.json');
    writeFileSync(`${path}.new`, JSON.stringify(record));
    renameSync(`${path}.new`, path);
  }
}
