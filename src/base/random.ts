import { randomUUID } from 'node:crypto';

/** The only source of randomness in the engine (decision A8). */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** A fresh identifier of 128 random bits, as 32 hexadecimal digits. */
  id(): string;
}

export class SystemRandom implements Random {
  next(): number {
    return Math.random();
  }

  id(): string {
    // Node keeps random bytes in store for these: a twentieth of the time that asking for 16 takes.
    return randomUUID().replaceAll('-', '');
  }
}

/** Repeatable numbers from a seed (mulberry32): for tests and simulations, never for secrets. */
export class SeededRandom implements Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  id(): string {
    let digits = '';
    for (let i = 0; i < 4; i++) {
      digits += Math.floor(this.next() * 2 ** 32)
        .toString(16)
        .padStart(8, '0');
    }
    return digits;
  }
}
