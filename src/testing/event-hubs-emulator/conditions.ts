import type { AmqpError } from './rhea-internals.ts';

/** Error conditions of the service, as its clients translate them. */
export const conditions = {
  argumentError: 'com.microsoft:argument-error',
  argumentOutOfRange: 'com.microsoft:argument-out-of-range',
  decodeError: 'amqp:decode-error',
  detachForced: 'amqp:link:detach-forced',
  internalError: 'amqp:internal-error',
  linkStolen: 'amqp:link:stolen',
  messageSizeExceeded: 'amqp:link:message-size-exceeded',
  notAllowed: 'amqp:not-allowed',
  notFound: 'amqp:not-found',
  outOfOrderSequence: 'com.microsoft:out-of-order-sequence',
  producerEpochStolen: 'com.microsoft:producer-epoch-stolen',
  resourceLimitExceeded: 'amqp:resource-limit-exceeded',
  serverBusy: 'com.microsoft:server-busy',
  unauthorizedAccess: 'amqp:unauthorized-access',
} as const;

/** Why a link, a send or a request is refused: becomes the AMQP error the client sees. */
export class Refusal extends Error implements AmqpError {
  readonly condition: string;
  readonly description: string;

  constructor(condition: string, description: string) {
    super(description);
    this.condition = condition;
    this.description = description;
  }

  static entityNotFound(address: string): Refusal {
    return new Refusal(
      conditions.notFound,
      `The messaging entity '${address}' could not be found. To know more visit https://aka.ms/sbResourceMgrExceptions.`,
    );
  }

  static partitionInvalid(partitionCount: number, partition: string): Refusal {
    return new Refusal(
      conditions.argumentOutOfRange,
      `The specified partition is invalid for an EventHub partition sender or receiver. It should be between 0 and ${partitionCount - 1}. Parameter name: PartitionId. Actual value was ${partition}.`,
    );
  }
}

/** The plain pair that goes onto the wire. */
export function toAmqpError(thrown: unknown): AmqpError {
  if (thrown instanceof Refusal) return { condition: thrown.condition, description: thrown.description };
  return {
    condition: conditions.internalError,
    description: thrown instanceof Error ? thrown.message : String(thrown),
  };
}
