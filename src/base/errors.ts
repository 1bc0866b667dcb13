import { type ErrorCode, type ErrorKind, errorCodes } from './error-codes.ts';

interface TidemarkErrorOptions {
  readonly cause?: unknown;
  /** Ids that belong to the failure (object name, slot, partition): for programs, the message is for people. */
  readonly context?: Readonly<Record<string, unknown>> | undefined;
}

/** The only error type Tidemark throws. `code` and `kind` are stable; the message is for people and may change. */
export class TidemarkError extends Error {
  override readonly name = 'TidemarkError';
  readonly code: ErrorCode;
  readonly kind: ErrorKind;
  readonly context: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: TidemarkErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.kind = errorCodes[code].kind;
    this.context = options.context ?? {};
  }
}

/** Stays on in production: a broken invariant stops us. For our own bugs only, user input gets an error of its own. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new TidemarkError('INTERNAL', message);
}

/** The failure as an Error, whatever was thrown. */
export function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown });
}
