import { MessagingError } from '@azure/core-amqp';
import { describe, expect, it } from 'vitest';
import { toHubFailure } from '../../../src/sources/event-hubs/azure-amqp-errors.ts';
import { HubFailure, type HubFailureKind, toTidemarkError } from '../../../src/sources/event-hubs/hub-connection.ts';

const systemError = (code: string) =>
  Object.assign(new Error(`connect ${code}`), { code, syscall: 'connect', errno: -1 });
const messagingError = (code: string) => Object.assign(new MessagingError('said so'), { code });
const amqpError = (condition: string) => ({ condition, description: 'said so' });

describe('a failure of the wire', () => {
  it.each<[string, unknown, HubFailureKind]>([
    ['a stolen link', amqpError('amqp:link:stolen'), 'stolen'],
    ['a stolen link, translated', messagingError('ReceiverDisconnectedError'), 'stolen'],
    ['a missing entity', amqpError('amqp:not-found'), 'not_found'],
    ['a missing entity, translated', messagingError('MessagingEntityNotFoundError'), 'not_found'],
    ['a missing partition', amqpError('com.microsoft:argument-out-of-range'), 'not_found'],
    ['refused credentials', amqpError('amqp:unauthorized-access'), 'unauthorized'],
    ['refused credentials, translated', messagingError('UnauthorizedError'), 'unauthorized'],
    ['a position beyond the log', amqpError('com.microsoft:argument-error'), 'position_invalid'],
    ['a hub that is switched off', amqpError('com.microsoft:entity-disabled'), 'disabled'],
    ['a busy service', amqpError('com.microsoft:server-busy'), 'transient'],
    ['a forced detach', amqpError('amqp:link:detach-forced'), 'transient'],
    ['a condition nobody knows', amqpError('com.microsoft:new-idea'), 'transient'],
    ['a name without an address', systemError('ENOTFOUND'), 'disconnected'],
    ['a refused connection', systemError('ECONNREFUSED'), 'disconnected'],
    ['a name without an address, translated', new MessagingError('x', systemError('ENOTFOUND')), 'disconnected'],
    [
      'several addresses that refused',
      new AggregateError([systemError('ECONNREFUSED'), systemError('EHOSTUNREACH')]),
      'disconnected',
    ],
    ['no reason', undefined, 'transient'],
    ['a text', 'odd', 'transient'],
  ])('like %s is sorted', (_, thrown, kind) => {
    const failure = toHubFailure(thrown);
    expect([failure.kind, failure.message.length > 0]).toEqual([kind, true]);
    expect(toHubFailure(failure)).toBe(failure);
  });

  it('becomes an error that names the place and the way out', () => {
    const place = { host: 'ns', hub: 'h', consumerGroup: 'g', partitionId: '3' };
    const codes = (
      ['stolen', 'not_found', 'unauthorized', 'position_invalid', 'disabled', 'transient', 'closed'] as const
    ).map((kind) => {
      const error = toTidemarkError(new HubFailure(kind, 'why'), place);
      expect(error.message).toContain("event hub 'h', consumer group 'g', partition 3 at ns");
      return error.code;
    });
    expect(codes).toEqual([
      'SOURCE_FENCED',
      'SOURCE_NOT_FOUND',
      'CREDENTIALS_INVALID',
      'SOURCE_RECREATED',
      'SOURCE_UNAVAILABLE',
      'SOURCE_UNAVAILABLE',
      'CANCELLED',
    ]);
  });
});
