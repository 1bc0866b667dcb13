/** The first violation of a simulation; what follows from it tells nothing. */
export class Verdict {
  #violation: Error | undefined;

  get violation(): Error | undefined {
    return this.#violation;
  }

  violate(message: string, cause?: unknown): void {
    this.#violation ??= new Error(message, { cause });
  }

  /** A violation after which its finder cannot go on. */
  fail(message: string): never {
    this.violate(message);
    throw new Error(message);
  }
}
