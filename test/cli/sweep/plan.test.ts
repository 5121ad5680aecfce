import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { buildProgram } from '../../../src/cli/program.js';
import { chunksOf, ranges } from '../../../src/cli/sweep/engines/slurm-script.js';
import { readGrid } from '../../../src/cli/sweep/grid.js';
import { configurations, mergedTasks } from '../../../src/cli/sweep/plan.js';
import { readTasks, type Task, tasksPath, tasksText } from '../../../src/cli/sweep/tasks.js';
import { deepRfmHere, workFolder } from '../program.js';

const cwd = workFolder();
let files = 0;
function gridFile(grid: unknown): string {
  const path = join(cwd, `grid-${files++}.json`);
  writeFileSync(path, typeof grid === 'string' ? grid : JSON.stringify(grid));
  return path;
}
const program = buildProgram(new AbortController().signal);
const planned = (grid: unknown): Task[] =>
  configurations(readGrid(gridFile(grid)), program).map(({ task }) => ({ ...task, operations: null }));
const run = (flags: object, more: object = {}) => ({ command: 'run', flags, ...more });

describe('a grid', () => {
  it('is the product of its lists, less what is excluded, and what is added', () => {
    const tasks = planned(
      run(
        {
          '--depth': 3,
          '--n': [60, 80],
          '--activation': ['relu', 'cos'],
          '--no-tune': true,
          '--save-predictions': false,
        },
        { exclude: [{ '--n': 80, '--activation': ['cos'] }], add: [{ '--n': 500, '--seed': [4, 5] }] },
      ),
    );
    expect(tasks.map(({ folder }) => folder)).toEqual([
      'runs/n60-activation-relu',
      'runs/n60-activation-cos',
      'runs/n80-activation-relu',
      'runs/n500-seed4',
      'runs/n500-seed5',
    ]);
    expect(tasks[0].args).toEqual(['run', '--activation', 'relu', '--depth', '3', '--n', '60', '--no-tune']);
    expect(tasks[4].args).toEqual(['run', '--depth', '3', '--n', '500', '--no-tune', '--seed', '5']);
    expect(tasks.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4]);
    expect(new Set(tasks.map(({ hash }) => hash)).size).toBe(5);
  });

  it.each([
    ['figure3.json', 9],
    ['small.json', 9],
  ])('of examples/sweep/%s has %i runs', (name, count) => {
    const grid = readGrid(fileURLToPath(new URL(`../../../examples/sweep/${name}`, import.meta.url)));
    expect(configurations(grid, program)).toHaveLength(count);
  });

  it('gives a run the same hash however its flags are ordered and its numbers written', () => {
    const [one] = planned(run({ '--ridge': 0.001, '--n': 60 }));
    const [other] = planned(run({ '--n': '60', '--ridge': '1e-3' }, { folder: 'other' }));
    expect(other.hash).toBe(one.hash);
    expect(planned(run({ '--n': 61, '--ridge': 0.001 }))[0].hash).not.toBe(one.hash);
  });

  it.each([
    ['an unknown flag', run({ '--nn': [1, 2] }), 'combination 1 (--nn 1): --nn is not a flag of `deep-rfm run`'],
    ['a flag without dashes', run({ n: 5 }), 'write --n'],
    ['a list without values', run({ '--n': [] }), 'field flags.--n: found []: the list is empty'],
    [
      'the same run twice',
      run({ '--ridge': [0.1, '1e-1'] }),
      'combination 2 (--ridge 1e-1): is the same run as combination 1',
    ],
    [
      'folders that collide',
      run({ '--seed': [0, 1], '--n': 60 }, { folder: 'n{n}' }),
      'runs/n60 is that of combination 1',
    ],
    [
      'folders that collide but for capitals',
      run({ '--gamma': ['1e1', '1E2'], '--seed': [0] }, { folder: 'x' }),
      'runs/x is',
    ],
    ['an output folder', run({ '--out': 'x' }), '--out is not a flag for a grid: every run gets a folder of its own'],
    [
      'a command of no sweep',
      { command: 'bench', flags: {} },
      'command "bench": expected one of run, train, layer, rfm',
    ],
    ['an exclusion of nothing', run({ '--n': 5 }, { exclude: [{ '--n': 6 }] }), 'exclude 1 ({"--n":6}) matches no'],
    ['nothing left', run({ '--n': 5 }, { exclude: [{ '--n': 5 }] }), 'every combination is excluded'],
    ['a value of a flag without', run({ '--no-tune': 5 }), '--no-tune 5: the flag takes no value'],
    ['a flag without its value', run({ '--n': true }), '--n: found true, expected a value'],
    ['an unknown field', run({}, { excludes: [] }), 'Unrecognized key: "excludes"'],
    ['no command', { flags: {} }, 'field command: found (missing)'],
    ['no JSON', '{', 'expected JSON'],
    [
      'a file that is not there',
      { command: 'layer', flags: { '--x': 'X.npy', '--y': 'Y.npy' } },
      'X.npy: does not exist',
    ],
    [
      'a flag that is needed',
      { command: 'rfm', flags: { '--iterations': [1, 2] } },
      'combination 1 (--iterations 1): --x is missing',
    ],
    ['too many', run({ '--n': Array(400).fill(60), '--seed': Array(400).fill(1) }), 'has 160000 combinations'],
  ])('is refused for %s', (_, grid, words) => {
    expect(() => planned(grid)).toThrow(words);
  });

  it('names the 37th combination, whose flag has a wrong value, and writes nothing', async () => {
    const seeds = [...Array.from({ length: 36 }, (_, i) => i), -1, 37];
    const path = gridFile(run({ '--n': 60, '--seed': seeds }));
    const { code, stderr, stdout } = await deepRfmHere(['sweep', 'plan', path, '--out', 'bad'], { cwd });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toEqual([
      expect.stringContaining('combination 37 (--n 60 --seed -1): --seed -1: expected an integer'),
    ]);
    expect(readdirSync(cwd)).not.toContain('bad');
  });

  it('names the combination whose flags contradict each other', async () => {
    const path = gridFile(run({ '--exponent': 1, '--kernel': ['laplace', 'gaussian'] }));
    const { code, stderr } = await deepRfmHere(['sweep', 'plan', path, '--out', 'bad'], { cwd });
    expect(code).toBe(2);
    expect(stderr).toEqual([
      expect.stringContaining('combination 2 (--exponent 1 --kernel gaussian): --exponent 1: only'),
    ]);
  });
});

describe('planning again', () => {
  it('changes nothing, not even the time of the file', async () => {
    const path = gridFile(run({ '--n': [60, 70], '--seed': [0, 1] }));
    const plan = () => deepRfmHere(['sweep', 'plan', path, '--out', 'twice', '--json'], { cwd });
    const first = JSON.parse((await plan()).stdout);
    expect(first).toMatchObject({ changed: true, finished: 0 });
    expect(first.tasks[0].estimate.bytes).toBeGreaterThan(1e5);
    const file = join(cwd, 'twice', 'tasks.jsonl');
    const [text, time] = [readFileSync(file, 'utf8'), statSync(file).mtimeMs];
    expect(JSON.parse((await plan()).stdout)).toMatchObject({ changed: false });
    expect(readFileSync(file, 'utf8')).toBe(text);
    expect(statSync(file).mtimeMs).toBe(time);
    expect(readdirSync(join(cwd, 'twice'))).toEqual(['tasks.jsonl']);
  });

  it('keeps tasks and their numbers where the grid grows, and refuses where it shrinks', () => {
    const dir = join(cwd, 'grown');
    mkdirSync(dir);
    const before = planned(run({ '--n': 60, '--seed': [1, 2] }));
    writeFileSync(tasksPath(dir), tasksText(before));
    const grown = planned(run({ '--n': [50, 60], '--seed': [0, 1, 2] }));
    const { tasks } = mergedTasks(dir, grown);
    expect(tasks.slice(0, 2)).toEqual(before);
    expect(tasks.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(() => mergedTasks(dir, planned(run({ '--n': 60, '--seed': [2] })))).toThrow(
      'has 1 of 2 tasks that the grid',
    );
  });

  it('tells a damaged list', () => {
    const dir = join(cwd, 'damaged');
    mkdirSync(dir);
    const [task] = planned(run({ '--n': 60 }));
    for (const [text, words] of [
      ['{"index":0}\n', 'line 1: field args: found (missing)'],
      [tasksText([{ ...task, index: 1 }]), 'line 1: found index 1, expected 0'],
      [tasksText([{ ...task, folder: '../elsewhere' }]), 'expected a folder of runs/'],
      ['', 'is empty'],
    ]) {
      writeFileSync(tasksPath(dir), text);
      expect(() => readTasks(dir)).toThrow(words);
    }
    expect(() => readTasks(join(cwd, 'nowhere'))).toThrow('there is no such file; make it with `deep-rfm sweep plan');
  });
});

describe('arrays of Slurm', () => {
  it('keep every index below the bound', () => {
    expect(chunksOf([0, 1, 999, 1000, 1001, 2500], 1001)).toEqual([
      { offset: 0, indices: [0, 1, 999, 1000] },
      { offset: 1001, indices: [0] },
      { offset: 2002, indices: [498] },
    ]);
  });
  it('list ranges', () => expect(ranges([0, 1, 2, 5, 7, 8])).toBe('0-2,5,7-8'));
});
