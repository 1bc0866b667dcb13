import { conditions, Refusal } from './conditions.ts';
import type { Partition } from './hub.ts';
import { amqp, type RheaLink, type RheaTyped, symbols } from './rhea-internals.ts';

const idempotentCapability = 'com.microsoft:idempotent-producer';
const metricsCapability = 'com.microsoft:enable-receiver-runtime-metric';
const epochProperty = 'com.microsoft:epoch';

/** Puts the client's own termini into our attach: that is how it knows the link is accepted. */
export function echoTermini(link: RheaLink): void {
  const { source, target } = link;
  link.set_source({ address: source?.address ?? undefined, filter: source?.filter ?? undefined });
  link.set_target({ address: target?.address ?? undefined });
}

/** What a client asks for when it attaches a receiver. @throws Refusal when the epoch is not an AMQP long */
export function readConsumerAttach(link: RheaLink): {
  readonly selector: string | undefined;
  readonly name: string;
  readonly epoch: number | undefined;
  readonly runtimeMetrics: boolean;
} {
  return {
    selector: selectorOf(link),
    name: String(link.properties?.['com.microsoft:receiver-name'] ?? link.name),
    epoch: epochOf(link),
    runtimeMetrics: symbols(link.desired_capabilities).includes(metricsCapability),
  };
}

function selectorOf(link: RheaLink): string | undefined {
  const filter = link.source?.filter?.['apache.org:selector-filter:string'];
  if (filter === undefined || filter === null) return undefined;
  return typeof filter === 'object' ? String((filter as RheaTyped).value) : String(filter);
}

/** @throws Refusal when the epoch is not an AMQP long */
function epochOf(link: RheaLink): number | undefined {
  const properties = link.remote.attach?.value[13] as { value?: unknown } | undefined;
  const items = Array.isArray(properties?.value) ? (properties.value as RheaTyped[]) : [];
  for (let i = 0; i + 1 < items.length; i += 2) {
    if (items[i]!.value !== epochProperty) continue;
    const { type, value } = items[i + 1]!;
    if ((type?.name === 'Long' || type?.name === 'SmallLong') && typeof value === 'number') return value;
    throw new Refusal('amqp:invalid-field', `The property ${epochProperty} must be a long, not ${type?.name}.`);
  }
  return undefined;
}

/** Gives a producer with idempotent retries its identity, in our attach; others are left alone. @throws Refusal */
export function answerIdempotentProducer(link: RheaLink, partition: Partition | undefined): void {
  if (!symbols(link.desired_capabilities).includes(idempotentCapability)) return;
  if (partition === undefined) {
    throw new Refusal(conditions.notAllowed, 'A producer with idempotent retries must send to a partition.');
  }
  const asked = link.properties ?? {};
  const number = (name: string): number | undefined => {
    const value = asked[`com.microsoft:${name}`];
    return typeof value === 'number' ? value : undefined;
  };
  const id = number('producer-id');
  const epoch = number('producer-epoch');
  const lastSequence = number('producer-sequence-number');
  const state = partition.producers.attach({
    ...(id === undefined ? {} : { id }),
    ...(epoch === undefined ? {} : { epoch }),
    ...(lastSequence === undefined ? {} : { lastSequence }),
  });
  link.local.attach.offered_capabilities = [idempotentCapability];
  link.local.attach.properties = {
    'com.microsoft:producer-epoch': amqp.short(state.epoch),
    'com.microsoft:producer-id': amqp.long(state.id),
    'com.microsoft:producer-sequence-number': amqp.int(state.lastSequence),
  };
}
