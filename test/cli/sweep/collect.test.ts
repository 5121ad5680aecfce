import { expect, it } from 'vitest';
import {
  type CollectedRun,
  collectedRuns,
  differences,
  groupsCsv,
  groupsOf,
  runsCsv,
  summariesOf,
} from '../../../src/cli/sweep/collect.js';
import { measurementsIn } from '../../../src/cli/sweep/measurements.js';
import type { TaskStatus } from '../../../src/cli/sweep/state.js';

const adapter = { vendor: 'v', architecture: 'a', device: 'd', description: 'GPU', type: 'hardware' };

function finished(index: number, flags: Record<string, string>, nc1: (number | null)[], more: object = {}): TaskStatus {
  const args = ['run', ...Object.entries(flags).flatMap(([flag, value]) => (value === '' ? [flag] : [flag, value]))];
  const layers = nc1.map((input, i) => ({ layer: i + 1, nc1: { input }, seconds: { total: 1 } }));
  const document = { schema: 'deep-rfm/metrics/1', version: '1.0', config: { n: 5 }, adapter, layers, ...more };
  return {
    task: { index, args, folder: `runs/${index}`, hash: String(index), operations: null },
    ...{ phase: 'finished', state: null, owner: null, result: { document, sha256: 'x' }, resumed: 0, why: null },
  };
}

const runs = collectedRuns([
  finished(0, { '--n': '60', '--seed': '0' }, [1, 4]),
  finished(1, { '--n': '60', '--seed': '1' }, [3, null]),
  finished(2, { '--n': '80', '--no-tune': '', '--seed': '0' }, [7, 8], { version: '1.1' }),
]);

it('groups runs that differ in the seed, with mean and deviation of what is defined', () => {
  const groups = groupsOf(runs);
  expect(groups.map(({ label, runs: members }) => [label, members.length])).toEqual([
    ['n 60', 2],
    ['n 80, no-tune', 1],
  ]);
  expect(summariesOf(groups[0])).toEqual([
    { layer: 1, name: 'nc1.input', count: 2, mean: 2, deviation: Math.SQRT2 },
    { layer: 2, name: 'nc1.input', count: 1, mean: 4, deviation: Number.NaN },
  ]);
  expect(groupsCsv(groups).split('\n').slice(0, 3)).toEqual([
    'group,n,no-tune,layer,quantity,seeds,mean,standard_deviation',
    `n 60,60,,1,nc1.input,2,2,${Math.SQRT2}`,
    'n 60,60,,2,nc1.input,1,4,',
  ]);
});

it('has a row for every run and layer, and names runs of other versions', () => {
  expect(runsCsv(runs).trim().split('\n')).toEqual([
    'task,folder,hash,version,adapter,resumed,command,n,seed,no-tune,network_seed,layer,nc1.input',
    '0,runs/0,0,1.0,"GPU, hardware",0,run,60,0,,,1,1',
    '0,runs/0,0,1.0,"GPU, hardware",0,run,60,0,,,2,4',
    '1,runs/1,1,1.0,"GPU, hardware",0,run,60,1,,,1,3',
    '1,runs/1,1,1.0,"GPU, hardware",0,run,60,1,,,2,',
    '2,runs/2,2,1.1,"GPU, hardware",0,run,80,0,yes,,1,7',
    '2,runs/2,2,1.1,"GPU, hardware",0,run,80,0,yes,,2,8',
  ]);
  const named = { one: 'task', several: 'tasks', name: ({ status }: CollectedRun) => status.task.index };
  expect(differences(runs, named)).toEqual(['runs of different versions of deep-rfm: 1.0 (tasks 0, 1); 1.1 (task 2)']);
  expect(differences(runs.slice(0, 2), named)).toEqual([]);
});

it('takes the last measurement of every seed of a training, and the numbers of a single result', () => {
  const measurement = (nfa: number) => ({
    epoch: 1,
    train: { loss: 2 },
    test: null,
    layers: [{ layer: 1, nfa, angles: [1] }],
  });
  const seeds = [{ seed: 4, measurements: [measurement(1), measurement(5)] }];
  expect(measurementsIn({ schema: 's', version: 'v', seeds })).toEqual([
    { layer: 1, seed: 4, values: { nfa: 5, 'train.loss': 2, test: Number.NaN } },
  ]);
  const rfm = { schema: 's', version: 'v', config: { n: 1 }, seconds: 1, solves: [{ jitter: 1 }, { jitter: 2 }] };
  expect(measurementsIn(rfm)).toEqual([{ layer: null, seed: null, values: { 'solves.jitter': 2 } }]);
});
