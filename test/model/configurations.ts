import type { Mutation } from './mutations.ts';
import type { Configuration } from './world.ts';

const smallest: Configuration = {
  name: 'smallest',
  drivers: 2,
  slots: 4,
  deliveries: [1, 1],
  groupMax: 1,
  segments: false,
  manifestsMax: [0, 0],
  retainManifests: 1,
  lateAdoption: false,
  pinsMax: 0,
  rewindsMax: 0,
  slowReaders: false,
  singleDeletes: false,
  clock: undefined,
};

export interface Question {
  readonly configuration: Configuration;
  /** Fewer states than this: the model has lost some of what it is asked about. */
  readonly statesMin: number;
  /** What must be found when one rule is left out. */
  readonly mutations: readonly Mutation[];
}

/**
 * What every run of the tests explores to the end. Each looks at one part of the protocol, with all its interleavings: together they are small
 * enough for every commit. `run.ts` asks the larger questions.
 */
export const questions: readonly Question[] = [
  {
    configuration: { ...smallest, name: 'two drivers, duplicates, groups', deliveries: [2, 2], groupMax: 2 },
    statesMin: 190_000,
    mutations: [
      'lost taken as not mine',
      'goes on behind the record of another',
      'a second content for a slot after a timeout',
      'effects before the commit',
      'only the first batch of a group counted as committed',
      'fence sent to the next slot without reading what was lost to',
    ],
  },
  {
    configuration: {
      ...smallest,
      name: 'cleaning',
      slots: 5,
      deliveries: [2, 1],
      manifestsMax: [1, 2],
      singleDeletes: true,
    },
    statesMin: 75_000,
    mutations: [
      'no look at the floor after a commit',
      'no look at the floor after a fence',
      'deletes before the floor is raised',
      'floor raised before the record that announces it',
      'records deleted up to the new manifest instead of the floor',
      'manifest at the floor deleted with those below it',
    ],
  },
  {
    configuration: {
      ...smallest,
      name: 'the clock of the floor rule',
      slots: 5,
      deliveries: [2, 1],
      manifestsMax: [0, 2],
      clock: { silence: 0, end: 1 },
    },
    statesMin: 150_000,
    mutations: [
      'silence counted from the last acknowledgement',
      'silence ended with the refusal',
      'deletes without an age',
    ],
  },
  {
    configuration: {
      ...smallest,
      name: 'segments and snapshots',
      slots: 6,
      segments: true,
      manifestsMax: [2, 1],
      retainManifests: 2,
      singleDeletes: true,
    },
    statesMin: 70_000,
    mutations: [
      'record before its segments',
      'segments of other epochs deleted at once',
      'sweep without a look at the epoch',
    ],
  },
  {
    configuration: {
      ...smallest,
      name: 'retired snapshots',
      drivers: 1,
      slots: 8,
      manifestsMax: [5],
      retainManifests: 3,
      singleDeletes: true,
    },
    statesMin: 7_500,
    mutations: ['retired snapshots deleted at once'],
  },
  {
    configuration: {
      ...smallest,
      name: 'late manifests and slow readers',
      slots: 5,
      groupMax: 2,
      manifestsMax: [2, 2],
      lateAdoption: true,
      slowReaders: true,
    },
    statesMin: 130_000,
    mutations: ['manifest of a batch that is not committed'],
  },
  {
    configuration: { ...smallest, name: 'savepoints', slots: 6, manifestsMax: [1, 2], pinsMax: 1, singleDeletes: true },
    statesMin: 175_000,
    mutations: ['deletes that ignore pins'],
  },
  {
    configuration: {
      ...smallest,
      name: 'rewinds and savepoints',
      slots: 6,
      manifestsMax: [2, 1],
      rewindsMax: 1,
      pinsMax: 1,
    },
    statesMin: 190_000,
    mutations: ['rewind uses batch ids again', 'rewind without a manifest of its target'],
  },
  {
    configuration: {
      ...smallest,
      name: 'rewinds beside uploads',
      slots: 6,
      manifestsMax: [2, 1],
      rewindsMax: 1,
      lateAdoption: true,
    },
    statesMin: 70_000,
    mutations: ['manifest begun before a rewind adopted after it'],
  },
  {
    configuration: {
      ...smallest,
      name: 'rewinds to retired snapshots',
      drivers: 1,
      slots: 8,
      manifestsMax: [4],
      rewindsMax: 1,
      lateAdoption: true,
    },
    statesMin: 40_000,
    mutations: ['objects stay retired that a rewind lists again'],
  },
];
