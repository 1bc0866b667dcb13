import type { Random } from '../../src/base/random.ts';

/** Body of an event, as the thermostat application reads it. */
export interface Reading {
  readonly deviceId: string;
  /** Degrees Celsius, one decimal. */
  readonly temperature: number;
  /** When it was measured, milliseconds since the Unix epoch. */
  readonly at: number;
  /** Counts the readings of this device, from 1, without a gap. */
  readonly seq: number;
}

export interface TelemetryOptions {
  readonly devices: number;
  readonly random: Random;
  /** By device id: the last `seq` that was used before, when a run goes on from an earlier one. */
  readonly lastSeq?: ReadonlyMap<string, number> | undefined;
}

interface Device {
  readonly id: string;
  temperature: number;
  seq: number;
  /** Until then its heating is stuck: it drifts to `overheatedTo`. */
  overheatsUntilMs: number;
  /** Until then it sends nothing. */
  silentUntilMs: number;
}

const comfortable = 21;
/** Above the 30 degrees at which a room is too hot. */
const overheatedTo = 35;
const overheatChance = 0.0015;
const overheatMs = 15_000;
const silentChance = 0.0005;
const silentMs = 20_000;

/**
 * A building full of thermostats: a random walk around a comfortable temperature, now and then one that overheats for a
 * while, now and then one that falls silent. The same seed and the same calls give the same readings.
 */
export class Telemetry {
  readonly #devices: readonly Device[];
  readonly #random: Random;

  constructor(options: TelemetryOptions) {
    this.#random = options.random;
    const digits = Math.max(4, String(options.devices).length);
    this.#devices = Array.from({ length: options.devices }, (_, index) => {
      const id = `thermostat-${String(index + 1).padStart(digits, '0')}`;
      return {
        id,
        temperature: comfortable + (this.#random.next() - 0.5) * 4,
        seq: options.lastSeq?.get(id) ?? 0,
        overheatsUntilMs: 0,
        silentUntilMs: 0,
      };
    });
  }

  /** The next reading of some device, measured at `nowMs`. */
  next(nowMs: number): Reading {
    const device = this.#pick(nowMs);
    if (nowMs >= device.overheatsUntilMs && this.#random.next() < overheatChance) {
      device.overheatsUntilMs = nowMs + overheatMs * (0.5 + this.#random.next());
    }
    const aim = nowMs < device.overheatsUntilMs ? overheatedTo : comfortable;
    device.temperature += (aim - device.temperature) * 0.05 + (this.#random.next() - 0.5) * 0.6;
    device.seq += 1;
    if (this.#random.next() < silentChance) device.silentUntilMs = nowMs + silentMs * (0.5 + this.#random.next());
    return { deviceId: device.id, temperature: Math.round(device.temperature * 10) / 10, at: nowMs, seq: device.seq };
  }

  /** One that isn't silent; when chance finds only silent ones, a silent one speaks early. */
  #pick(nowMs: number): Device {
    let device = this.#any();
    for (let attempt = 0; nowMs < device.silentUntilMs && attempt < 10; attempt++) device = this.#any();
    return device;
  }

  #any(): Device {
    return this.#devices[Math.floor(this.#random.next() * this.#devices.length)]!;
  }
}
