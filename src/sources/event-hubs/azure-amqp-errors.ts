import { HubFailure, type HubFailureKind } from './hub-connection.ts';

/**
 * What AMQP, rhea, core-amqp and Node report in five shapes, as one: sorted by what can be done about it.
 * By AMQP condition (raw errors) or by the code core-amqp translates it to.
 */
const kinds: Readonly<Record<string, HubFailureKind>> = {
  'amqp:link:stolen': 'stolen',
  ReceiverDisconnectedError: 'stolen',
  'amqp:not-found': 'not_found',
  ServiceCommunicationError: 'not_found',
  MessagingEntityNotFoundError: 'not_found',
  'com.microsoft:argument-out-of-range': 'not_found',
  ArgumentOutOfRangeError: 'not_found',
  'amqp:unauthorized-access': 'unauthorized',
  'com.microsoft:auth-failed': 'unauthorized',
  UnauthorizedError: 'unauthorized',
  'com.microsoft:argument-error': 'position_invalid',
  ArgumentError: 'position_invalid',
  'com.microsoft:entity-disabled': 'disabled',
  MessagingEntityDisabledError: 'disabled',
};

interface ErrorShape {
  readonly condition?: unknown;
  readonly description?: unknown;
  readonly code?: unknown;
  readonly message?: unknown;
  readonly syscall?: unknown;
  readonly errors?: unknown;
}

export function toHubFailure(thrown: unknown): HubFailure {
  if (thrown instanceof HubFailure) return thrown;
  if (typeof thrown !== 'object' || thrown === null)
    return new HubFailure('transient', String(thrown ?? 'no reason given'), thrown);
  const { condition, description, code, message, syscall, errors } = thrown as ErrorShape;
  // Several addresses of one host were tried: the first reason speaks for all.
  if (Array.isArray(errors) && errors.length > 0) return toHubFailure(errors[0]);
  // ENOTFOUND and its like: a network failure, though core-amqp files it under not-found.
  if (typeof syscall === 'string')
    return new HubFailure('disconnected', `${code ?? 'network failure'}: ${message}`, thrown);
  const name = typeof condition === 'string' ? condition : typeof code === 'string' ? code : undefined;
  const text = [name, description ?? message].filter((part) => part !== undefined && part !== '').join(': ');
  return new HubFailure((name && kinds[name]) || 'transient', text || 'no reason given', thrown);
}
