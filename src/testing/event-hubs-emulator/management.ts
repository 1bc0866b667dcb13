import { conditions, Refusal } from './conditions.ts';
import type { Hub, Partition } from './hub.ts';
import type { Reply } from './requests.ts';
import { amqp, type RequestMessage } from './rhea-internals.ts';

/** Answers a request to `$management`: READ of a hub or of one of its partitions. */
export function answerManagementRequest(
  request: RequestMessage,
  findHub: (name: string) => Hub | undefined,
  nowMs: number,
): Reply {
  const properties = request.application_properties ?? {};
  const name = String(properties.name ?? '');
  const hub = findHub(name);
  if (properties.operation !== 'READ') {
    return refused(501, 'amqp:not-implemented', `The operation '${properties.operation}' is not supported.`);
  }
  if (hub === undefined) {
    const refusal = Refusal.entityNotFound(name);
    return refused(404, refusal.condition, refusal.description);
  }
  if (properties.type === 'com.microsoft:eventhub') return { status: 200, description: 'OK', body: describeHub(hub) };
  if (properties.type !== 'com.microsoft:partition') {
    return refused(400, conditions.argumentError, `The type '${properties.type}' is not supported.`);
  }
  try {
    const partition = hub.partition(String(properties.partition ?? ''));
    partition.log.retain(nowMs);
    return { status: 200, description: 'OK', body: describePartition(hub, partition) };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return refused(400, error.condition, error.description);
  }
}

function refused(status: number, condition: string, description: string): Reply {
  return { status, condition, description };
}

function describeHub(hub: Hub): object {
  return {
    name: hub.settings.name,
    type: 'com.microsoft:eventhub',
    created_at: amqp.timestamp(hub.createdAtMs),
    partition_count: amqp.int(hub.partitions.length),
    partition_ids: amqp.stringArray(hub.partitions.map((partition) => String(partition.id))),
    georeplication_factor: amqp.int(1),
  };
}

function describePartition(hub: Hub, { id, log }: Partition): object {
  return {
    name: hub.settings.name,
    type: 'com.microsoft:partition',
    partition: String(id),
    begin_sequence_number: amqp.long(log.next === 0 ? -1 : log.begin),
    last_enqueued_sequence_number: amqp.long(log.next - 1),
    last_enqueued_offset: String(log.lastOffset),
    last_enqueued_time_utc: amqp.timestamp(log.lastTimeMs),
    is_partition_empty: log.isEmpty,
  };
}
