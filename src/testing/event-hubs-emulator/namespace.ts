import type { Clock } from '../../base/clock.ts';
import { conditions, Refusal } from './conditions.ts';
import { FaultState } from './faults.ts';
import type { Hub, Partition } from './hub.ts';
import type { SasKey } from './sas-token.ts';
import { entityPath } from './sas-token.ts';

/** What a link address means. */
export type Address =
  | { readonly kind: 'cbs' }
  | { readonly kind: 'management' }
  | { readonly kind: 'producer'; readonly hub: Hub; readonly partition: Partition | undefined }
  | { readonly kind: 'consumer'; readonly hub: Hub; readonly partition: Partition; readonly consumerGroup: string };

/** All that the connections share: hubs, key, faults, limits. */
export class Namespace {
  readonly faults = new FaultState();
  readonly key: SasKey;
  readonly clock: Clock;
  /** The real time, which the clients stamp tokens with. */
  readonly tokenClock: Clock;
  readonly maxMessageBytes: number;
  readonly #hubs: ReadonlyMap<string, Hub>;

  constructor(options: {
    readonly hubs: readonly Hub[];
    readonly key: SasKey;
    readonly clock: Clock;
    readonly tokenClock: Clock;
    readonly maxMessageBytes: number;
  }) {
    this.#hubs = new Map(options.hubs.map((hub) => [hub.settings.name.toLowerCase(), hub]));
    this.key = options.key;
    this.clock = options.clock;
    this.tokenClock = options.tokenClock;
    this.maxMessageBytes = options.maxMessageBytes;
  }

  hub(name: string): Hub | undefined {
    return this.#hubs.get(name.toLowerCase());
  }

  get hubs(): Hub[] {
    return [...this.#hubs.values()];
  }

  /** @throws Refusal when the address is of no known form, or names something that is not there */
  resolve(address: string, role: 'producer' | 'consumer'): Address {
    const path = entityPath(address);
    if (path === '$cbs') return { kind: 'cbs' };
    if (path === '$management' || path.endsWith('/$management')) return { kind: 'management' };
    const parts = path.split('/');
    const hub = this.hub(parts[0]!);
    if (hub === undefined) throw Refusal.entityNotFound(address);
    if (role === 'producer') {
      if (parts.length === 1) return { kind: 'producer', hub, partition: undefined };
      if (parts.length === 3 && parts[1] === 'partitions') {
        return { kind: 'producer', hub, partition: hub.partition(parts[2]!) };
      }
    } else if (parts.length === 5 && parts[1] === 'consumergroups' && parts[3] === 'partitions') {
      const consumerGroup = parts[2]!;
      if (!hub.settings.consumerGroups.has(consumerGroup)) throw Refusal.entityNotFound(address);
      return { kind: 'consumer', hub, partition: hub.partition(parts[4]!), consumerGroup };
    }
    throw new Refusal(conditions.argumentError, `Invalid EventHub address '${address}'.`);
  }
}
