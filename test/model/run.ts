import { parseArgs } from 'node:util';
import { questions } from './configurations.ts';
import { explore } from './explorer.ts';
import { type Mutation, mutations } from './mutations.ts';
import { Protocol } from './protocol.ts';
import type { Configuration } from './world.ts';

/**
 * Asks the model a question of any size: `node test/model/run.ts --of cleaning --drivers 3 --slots 6`.
 *
 * `--of` names a configuration of configurations.ts (its beginning is enough) that the other options change;
 * `--mutation` leaves a rule out; without any option every configuration is explored as the tests do it.
 */
const { values } = parseArgs({
  options: {
    of: { type: 'string' },
    drivers: { type: 'string' },
    slots: { type: 'string' },
    deliveries: { type: 'string' },
    groups: { type: 'string' },
    manifests: { type: 'string' },
    retain: { type: 'string' },
    pins: { type: 'string' },
    rewinds: { type: 'string' },
    silence: { type: 'string' },
    time: { type: 'string' },
    segments: { type: 'boolean' },
    late: { type: 'boolean' },
    slow: { type: 'boolean' },
    single: { type: 'boolean' },
    mutation: { type: 'string' },
    states: { type: 'string', default: '50000000' },
  },
});

const mutation = mutations.find((one) => one === values.mutation);
if (values.mutation !== undefined && mutation === undefined) {
  console.error(`--mutation is one of:\n${mutations.join('\n')}`);
  process.exit(1);
}
for (const { configuration } of questions) {
  if (values.of === undefined || configuration.name.startsWith(values.of)) ask(changed(configuration), mutation);
}

function ask(configuration: Configuration, leftOut: Mutation | undefined): void {
  const startedUs = process.cpuUsage().user;
  const { states, transitions, depth, exhausted, violation } = explore(
    new Protocol(configuration, leftOut),
    Number(values.states),
  );
  const seconds = ((process.cpuUsage().user - startedUs) / 1e6).toFixed(1);
  const end = violation === undefined ? (exhausted ? 'exhausted, no violation' : 'NOT exhausted') : violation.what;
  console.log(
    `${configuration.name}: ${states} states, ${transitions} transitions, depth ${depth}, ${seconds} s: ${end}`,
  );
  for (const [index, step] of (violation?.steps ?? []).entries()) console.log(`  ${index + 1}. ${step}`);
  if (violation !== undefined || !exhausted) process.exitCode = 1;
}

function changed(configuration: Configuration): Configuration {
  const number = (text: string | undefined, otherwise: number): number =>
    text === undefined ? otherwise : Number(text);
  const numbers = (text: string | undefined, otherwise: readonly number[]): readonly number[] =>
    text === undefined ? otherwise : text.split(',').map(Number);
  const { silence = 0, end = 0 } = configuration.clock ?? {};
  return {
    ...configuration,
    drivers: number(values.drivers, configuration.drivers),
    slots: number(values.slots, configuration.slots),
    deliveries: numbers(values.deliveries, configuration.deliveries) as Configuration['deliveries'],
    groupMax: number(values.groups, configuration.groupMax),
    manifestsMax: numbers(values.manifests, configuration.manifestsMax),
    retainManifests: number(values.retain, configuration.retainManifests),
    pinsMax: number(values.pins, configuration.pinsMax),
    rewindsMax: number(values.rewinds, configuration.rewindsMax),
    segments: values.segments ?? configuration.segments,
    lateAdoption: values.late ?? configuration.lateAdoption,
    slowReaders: values.slow ?? configuration.slowReaders,
    singleDeletes: values.single ?? configuration.singleDeletes,
    clock:
      values.silence === undefined && values.time === undefined
        ? configuration.clock
        : { silence: number(values.silence, silence), end: number(values.time, end) },
  };
}
