import { type ErrorCode, errorCodes } from '../base/error-codes.ts';
import { TidemarkError, toError } from '../base/errors.ts';

/** An error as plain data: what crosses from thread to thread. */
export interface ErrorRecord {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  /** Of a TidemarkError. */
  readonly code: string | undefined;
  readonly context: Readonly<Record<string, unknown>>;
  readonly cause: ErrorRecord | undefined;
}

// A chain of causes that is longer tells nothing more.
const causesMax = 8;

/** `more` is added to the context: where it happened. */
export function toErrorRecord(thrown: unknown, more: Readonly<Record<string, unknown>> = {}): ErrorRecord {
  return recordOf(thrown, more, causesMax);
}

function recordOf(thrown: unknown, more: Readonly<Record<string, unknown>>, causesLeft: number): ErrorRecord {
  const error = toError(thrown);
  const isOurs = error instanceof TidemarkError;
  const hasCause = causesLeft > 0 && error.cause !== undefined && error.cause !== thrown;
  return {
    name: error.name,
    message: error.message,
    stack: error.stack,
    code: isOurs ? error.code : undefined,
    context: isOurs ? plain({ ...error.context, ...more }) : {},
    cause: hasCause ? recordOf(error.cause, {}, causesLeft - 1) : undefined,
  };
}

/** The same error again: code, message, stack and causes. */
export function fromErrorRecord(record: ErrorRecord): Error {
  const { name, message, stack, code, context } = record;
  const cause = record.cause === undefined ? {} : { cause: fromErrorRecord(record.cause) };
  const error =
    code !== undefined && Object.hasOwn(errorCodes, code)
      ? new TidemarkError(code as ErrorCode, message, { ...cause, context })
      : Object.assign(new Error(message, cause), { name });
  if (stack !== undefined) error.stack = stack;
  return error;
}

/** Ids are what a context is for; what is no plain data stays behind. */
function plain(context: Readonly<Record<string, unknown>>): Record<string, unknown> {
  try {
    return structuredClone(context);
  } catch {
    return Object.fromEntries(Object.entries(context).map(([name, value]) => [name, String(value)]));
  }
}
