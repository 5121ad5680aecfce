import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { predict } from '../../src/api/models.js';
import type { TableColumns } from '../../src/api/tables.js';
import { readFitCheckpoint } from '../../src/cli/fit-checkpoint.js';
import { computeFit, type FitOutcome } from '../../src/cli/fit-compute.js';
import { type FitFlags, readFitRequest } from '../../src/cli/fit-request.js';
import { openCheckpoints } from '../../src/cli/run-checkpoint.js';
import { folderFiles } from '../../src/data/folder-files.js';
import { readTable } from '../../src/data/table.js';
import { openModel } from '../../src/model/files.js';
import type { FitDocument } from '../../src/report/fit-document.js';
import { useGpu } from '../support/gpu.js';
import { normals, uniforms } from '../support/reference.js';
import { buildProgram, deepRfm, deepRfmHere, workFolder } from './program.js';

const cwd = workFolder();
const gpu = useGpu();

/** A table whose target grows with a, and depends on b where a is above 0, on c elsewhere. */
function regions(n: number, seed: number): string {
  const [next, noise] = [uniforms(seed), normals(seed + 1)];
  const rows = Array.from({ length: n }, () => {
    const x = Array.from({ length: 5 }, () => 2 * next() - 1);
    const y = 4 * x[0] + 2 * Math.sin(3 * x[x[0] > 0 ? 1 : 2]) + 0.05 * noise();
    return [...x.map((value) => value.toFixed(5)), y.toFixed(4), x[0] > 0 ? 'above' : 'below'].join(',');
  });
  return `a,b,c,d,e,y,kind\n${rows.join('\n')}\n`;
}

const TREE: FitFlags = { target: 'y', drop: ['kind'], iterations: 2, leafRows: 60, quiet: true };

interface Run extends FitOutcome {
  notes: string[];
}

/** A fit in this process; it is stopped after `stopAfter` checkpoints. */
async function fitHere(out: string, flags: FitFlags, stopAfter = Number.POSITIVE_INFINITY): Promise<Run> {
  const own = { test: join(cwd, 'later.csv'), out: join(cwd, out), ...flags };
  const request = await readFitRequest(join(cwd, 'regions.csv'), own);
  await openCheckpoints(own.out);
  const notes: string[] = [];
  const terminal = {
    json: false,
    quiet: true,
    print() {},
    document() {},
    note: (line: string) => void notes.push(line),
  };
  const stop = new AbortController();
  const resume = flags.resume ? readFitCheckpoint(request, own) : null;
  let kept = 0;
  const outcome = await computeFit(gpu(), { request, flags: own, terminal, signal: stop.signal }, resume, () => {
    if (++kept === stopAfter) stop.abort();
  });
  return { ...outcome, notes };
}

const documentOf = (out: string): FitDocument => JSON.parse(readFileSync(join(cwd, out, 'metrics.json'), 'utf8'));
const r2Of = ({ scores }: FitDocument): number => (scores.test as { r2: number }).r2;

beforeAll(async () => {
  await buildProgram();
  writeFileSync(join(cwd, 'regions.csv'), regions(240, 1));
  writeFileSync(join(cwd, 'later.csv'), regions(300, 5));
});

describe('fit of more rows than a leaf has', () => {
  let whole: FitDocument;
  beforeAll(async () => {
    const args = 'fit regions.csv --target y --drop kind --iterations 2 --leaf-rows 60 --test later.csv';
    const { code, stdout, stderr } = await deepRfm([...args.split(' '), '--out', 'whole', '--save-model', 'model'], {
      cwd,
    });
    expect([code, stderr.filter((line) => /error/i.test(line))]).toEqual([0, []]);
    expect(stderr.join('\n')).toMatch(
      /^tree {5}4 leaves of 48 rows; 3 splits, each by a machine of at most 192 rows$/m,
    );
    expect(stderr.join('\n')).toMatch(/^split 1\/3 {2}192 rows by a \(/m);
    expect(stdout).toMatch(/^tree {8}4 leaves of 48 rows, 3 splits; /m);
    whole = documentOf('whole');
  });

  it('makes a tree whose leaves are better than one machine where regions differ', async () => {
    const { tree, importances, settings, best, iterations } = whole;
    expect([settings.bandwidth, best, iterations]).toEqual([null, null, []]);
    expect(tree).toMatchObject({ leafRows: 60, splitRows: 192 });
    expect(tree?.splits.map(({ rows }) => rows)).toEqual([192, 96, 96]);
    expect(tree?.leaves.map(({ rows, train, moved }) => [rows, train, moved])).toEqual(Array(4).fill([48, 39, 9]));
    expect(tree?.leaves.reduce((sum, { held }) => sum + held, 0)).toBe(48);
    // The temperature with the best score is kept.
    const scores = tree?.temperatures.map(({ score }) => score) ?? [];
    expect(scores).toHaveLength(21);
    expect(tree?.temperature).toBe(tree?.temperatures[scores.indexOf(Math.min(...scores))].temperature);
    const { rmse } = whole.scores.validation as { rmse: number };
    expect(rmse).toBeCloseTo(Math.min(...scores), 6);
    // Importances are the mean of the leaves, all of which have as many rows.
    for (const { feature, value } of importances) {
      const own = tree?.leaves.map(({ importances }) => importances.find((one) => one.feature === feature)?.value ?? 0);
      expect(value).toBeCloseTo(
        (own ?? []).reduce((sum, entry) => sum + entry / 4, 0),
        6,
      );
    }
    const one = await fitHere('one', { ...TREE, leafRows: 192 });
    expect(one.document.tree).toBeNull();
    expect(r2Of(whole)).toBeGreaterThan(r2Of(one.document));
    const page = readFileSync(join(cwd, 'whole', 'report.html'), 'utf8');
    for (const text of ['A tree of 4 leaves', 'Leaves: each has', 'mean of the leaves, weighted', 'interquartile'])
      expect(page).toContain(text);
  });

  it('keeps a model that predicts the same, in a program and by the command', async () => {
    const lines = readFileSync(join(cwd, 'whole', 'predictions.csv'), 'utf8')
      .trimEnd()
      .split('\n');
    const expected = lines.filter((line) => line.startsWith('test,')).map((line) => Number(line.split(',')[3]));
    const model = await openModel(folderFiles(join(cwd, 'model')));
    const table = await readTable(join(cwd, 'later.csv'), '');
    const columns: TableColumns = Object.fromEntries(table.columns.map(({ name, values }) => [name, values]));
    const { scores } = await predict(gpu(), model, columns);
    expect(expected).toHaveLength(300);
    expect([...scores].map((score) => score.toPrecision(7))).toEqual(expected.map((score) => score.toPrecision(7)));
    const command = 'predict --model model --x later.csv --out later-predictions.csv --no-tune'.split(' ');
    const { code, stdout } = await deepRfm(command, { cwd });
    expect([code, stdout]).toEqual([0, expect.stringContaining(`R² ${r2Of(whole).toFixed(4)}`)]);
    const cells = readFileSync(join(cwd, 'later-predictions.csv'), 'utf8').trimEnd().split('\n').slice(1);
    expect(cells.map((line) => Number(line.split(',')[1]).toPrecision(7))).toEqual(
      expected.map((score) => score.toPrecision(7)),
    );
    // A leaf that was cut short, and a tree that leads nowhere.
    truncateSync(join(cwd, 'model', 'leaf-3.safetensors'), 100);
    await expect(openModel(folderFiles(join(cwd, 'model')))).rejects.toThrow(
      /leaf-3\.safetensors: is cut short: 100 bytes, expected \d+; copy the folder again$/,
    );
    const path = join(cwd, 'model', 'model.json');
    const document = JSON.parse(readFileSync(path, 'utf8'));
    for (const [right, message] of [
      [{ leaf: 2 }, /tree\.splits\.2 leads to leaf 2, which is not there or was led to/],
      [{ leaf: 4 }, /leads to leaf 4, which is not there/],
      [{ split: 1 }, /tree\.splits\.2 leads back to split 1/],
    ] as const) {
      document.tree.splits[2].right = right;
      writeFileSync(path, JSON.stringify(document));
      await expect(openModel(folderFiles(join(cwd, 'model')))).rejects.toThrow(message);
    }
  });

  it('goes on after a stop to the same bits', async () => {
    const bare = (document: FitDocument) => {
      const { seconds: _, memory: __, made: ___, config: ____, ...rest } = document;
      return JSON.parse(JSON.stringify(rest, (key, value) => (key === 'seconds' ? 0 : value)));
    };
    // In the second leaf, after a fit of it: 3 splits, then of each leaf 3 fits and its end.
    await expect(fitHere('parts', TREE, 9)).rejects.toThrow(/abort/i);
    const { document, notes } = await fitHere('parts', { ...TREE, resume: true });
    expect(notes.filter((note) => /^(split \d|leaf 1\/4)/.test(note))).toEqual([]);
    expect(notes.filter((note) => note.startsWith('updates of M'))).toHaveLength(7);
    expect(bare(document)).toEqual(bare(whole));
    await expect(fitHere('parts', { ...TREE, splitTemperature: 0.5, resume: true })).rejects.toThrow(
      /--split-temperature: auto in the checkpoint, now 0.5/,
    );
  });

  it('fits classes, a leaf of one class among them, with hard routing where nothing is held out', async () => {
    const flags: FitFlags = { ...TREE, target: 'kind', drop: ['y'], validation: 0, iterations: 1 };
    const { document } = await fitHere('classes', flags);
    expect(document.tree).toMatchObject({ temperature: 0, temperatures: [] });
    expect(document.tree?.leaves.map(({ rows, moved }) => [rows, moved])).toEqual(Array(4).fill([60, 0]));
    expect((document.scores.test as { accuracy: number }).accuracy).toBeGreaterThan(0.9);
    // kind is the sign of a, along which the rows are split: a leaf learns no M where it has one class.
    expect(document.tree?.leaves.some(({ iterations }) => iterations.length === 1)).toBe(true);
  });

  it('searches with as many rows as a split is learned from', async () => {
    const flags: FitFlags = {
      ...TREE,
      kernel: 'laplace',
      exponent: 1,
      iterations: 1,
      tune: 2,
      ridgeForm: 'relative',
      splitTemperature: 0.2,
    };
    const { document, notes } = await fitHere('search', flags);
    expect(notes).toContain('search   by 192 of the rows, 48 to score by');
    expect(document.tree).toMatchObject({ temperature: 0.2, temperatures: [] });
    expect(document.trials).toHaveLength(2);
    const scores = document.trials?.map(({ score }) => score ?? Number.POSITIVE_INFINITY) ?? [];
    const best = document.trials?.[scores.indexOf(Math.min(...scores))];
    expect(document.settings).toMatchObject({ ridgeForm: 'relative', metricForm: best?.metricForm });
    for (const leaf of document.tree?.leaves ?? []) {
      expect(leaf.iterations.length).toBeLessThanOrEqual((best?.iteration ?? 0) + 1);
      expect(best?.ridges.map((ridge) => Number((ridge * 39).toPrecision(9)))).toContain(
        Number(leaf.ridge.toPrecision(9)),
      );
    }
  });

  it('plans the leaves, and fits nothing', async () => {
    const args = 'fit regions.csv --target y --drop kind --leaf-rows 60 --plan --json'.split(' ');
    const { code, stdout } = await deepRfm(args, { cwd });
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      n: 192,
      tree: {
        leafRows: 60,
        splitRows: 192,
        leaves: [48, 48, 48, 48],
        splits: [{ rows: 192 }, { rows: 96 }, { rows: 96 }],
      },
    });
  });

  it.each([
    ['--leaf-rows 10', /--leaf-rows 10: expected an integer of at least 20; use for example --leaf-rows 20000/],
    ['--split-temperature soft', /--split-temperature soft: expected 0 or a number from 1e-18 to 1e18/],
    [
      '--leaf-rows 60 --folds 3',
      /--folds 3: works with a single machine, but 240 rows are more than the 60 of a leaf and become a tree; drop --folds, or use --leaf-rows 240/,
    ],
  ])('refuses %s in one line', async (flags, message) => {
    const args = ['fit', 'regions.csv', '--target', 'y', ...flags.split(' '), '--out', 'none'];
    const { code, stdout, stderr } = await deepRfmHere(args, { cwd });
    expect({ code, stdout, lines: stderr.length }).toEqual({ code: 2, stdout: '', lines: 1 });
    expect(stderr[0]).toMatch(message);
    expect(existsSync(join(cwd, 'none'))).toBe(false);
  });
});
