import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { predict } from '../../src/api/models.js';
import type { TableColumns } from '../../src/api/tables.js';
import { messageOf } from '../../src/cli/messages.js';
import { buildProgram as programOf } from '../../src/cli/program.js';
import { folderFiles } from '../../src/data/folder-files.js';
import { writeNpy } from '../../src/data/npy.js';
import { readTable } from '../../src/data/table.js';
import { RfmError } from '../../src/errors.js';
import { openModel } from '../../src/model/files.js';
import type { FitDocument } from '../../src/report/fit-document.js';
import { rewriteReport } from '../../src/report/rewrite.js';
import { useGpu } from '../support/gpu.js';
import { normals, uniforms } from '../support/reference.js';
import { buildProgram, deepRfm, deepRfmHere, workFolder } from './program.js';

const cwd = workFolder();
const gpu = useGpu();
const runFit = (...args: string[]) => deepRfmHere(['fit', ...args], { cwd });
const documentOf = (out: string): FitDocument => JSON.parse(readFileSync(join(cwd, out, 'metrics.json'), 'utf8'));
const lines = (path: string): string[] => readFileSync(join(cwd, path), 'utf8').trimEnd().split('\n');

/** What the program, in this process, says to arguments that it refuses. */
async function refusalOf(args: readonly string[]): Promise<string> {
  const paths = args.map((arg) => (/\.(csv|npy)$/.test(arg) || ['none', 'parts'].includes(arg) ? join(cwd, arg) : arg));
  const failure = await programOf(new AbortController().signal)
    .parseAsync(['fit', ...paths, '--quiet'], { from: 'user' })
    .then(
      () => null,
      (error: unknown) => error,
    );
  if (!(failure instanceof RfmError)) throw failure ?? new Error('expected an input error, but nothing was thrown');
  expect(failure.kind).toBe('input');
  const message = messageOf(failure);
  expect(message).not.toContain('\n');
  return message.replaceAll(`${cwd}/`, '');
}

/** Draws the page of a folder again, and finds it as it was; what is not drawn is left alone. */
async function expectRedrawn(out: string): Promise<void> {
  const [page, curve] = ['report.html', 'curve.svg'].map((name) => join(cwd, out, name));
  const [before, metrics] = [readFileSync(page, 'utf8'), readFileSync(join(cwd, out, 'metrics.json'), 'utf8')];
  for (const path of [page, curve]) rmSync(path);
  const figures = ['curve', 'importances', 'predictions'].flatMap((name) => [`${name}.svg`, `${name}.png`]);
  expect(await rewriteReport(join(cwd, out))).toEqual([...figures, 'report.html']);
  expect(readFileSync(page, 'utf8')).toBe(before);
  expect(existsSync(curve)).toBe(true);
  expect(readFileSync(join(cwd, out, 'metrics.json'), 'utf8')).toBe(metrics);
}

/** A table whose price depends on three of its columns, with a category, an identifier and a constant beside. */
function houses(n: number, seed: number): string {
  const [next, noise] = [uniforms(seed), normals(seed + 1)];
  const rows = Array.from({ length: n }, (_, i) => {
    const [a, b, c, d] = [next(), next(), next(), next()];
    const city = ['Bonn', 'Köln', '"Ulm, Donau"'][i % 3];
    const price = 100 + 40 * a * b + 20 * Math.abs(c - 0.5) + (i % 3 === 0 ? 15 : 0) + 0.5 * noise();
    return [a, b, c, d]
      .map((v) => v.toFixed(5))
      .concat([city, `h${i}`, '7', price.toFixed(3), price > 115 ? 'dear' : 'cheap'])
      .join(',');
  });
  return `a,b,c,d,city,id,const,price,kind\n${rows.join('\n')}\n`;
}

beforeAll(async () => {
  await buildProgram();
  writeFileSync(join(cwd, 'houses.csv'), houses(150, 1));
  writeFileSync(join(cwd, 'later.csv'), houses(40, 5));
  const dear = houses(40, 5)
    .split('\n')
    .filter((line, i) => i === 0 || line.endsWith('dear'));
  writeFileSync(join(cwd, 'dear.csv'), `${dear.join('\n')}\n`);
  writeFileSync(join(cwd, 'rare.csv'), houses(12, 1).replace(/dear/, 'rare').replace(/dear/, 'rare'));
  const next = normals(3);
  writeNpy(
    join(cwd, 'X.npy'),
    [30, 2],
    Float64Array.from({ length: 60 }, () => next()),
  );
  writeNpy(
    join(cwd, 'Y.npy'),
    [30],
    Float64Array.from({ length: 30 }, () => next()),
  );
});

const columnsOf = async (file: string): Promise<TableColumns> =>
  Object.fromEntries((await readTable(join(cwd, file), '')).columns.map(({ name, values }) => [name, values]));

describe('fit', () => {
  it('fits a regression, says what it did with the columns, and keeps a model that predicts the same elsewhere', async () => {
    const flags =
      'houses.csv --target price --drop kind --kernel product-laplace --metric-form diagonal --iterations 2';
    const args = `fit ${flags} --test later.csv --out price --save-model model`;
    const { code, stdout, stderr } = await deepRfm(args.split(' '), { cwd });
    expect([code, stderr.filter((line) => /^error/i.test(line))]).toEqual([0, []]);
    const found = documentOf('price');
    expect(found.task).toBe('regression');
    expect(found.rows).toEqual({ train: 120, validation: 30, test: 40 });
    expect(found.features).toEqual(['a', 'b', 'c', 'd', 'city=Bonn', 'city=Köln', 'city=Ulm, Donau']);
    expect(found.changes).toEqual([
      '"kind" was dropped, as asked for',
      '"city" became 3 features, one for each level',
      '"id" was dropped: its 120 texts in 120 rows are no categories',
      '"const" was dropped: it is 7 in every training row',
    ]);
    const { test } = found.scores as { test: { r2: number; rmse: number } };
    expect(test.r2).toBeGreaterThan(0.8);
    expect(found.importances.map(({ feature }) => feature).indexOf('d')).toBeGreaterThan(2);
    expect(found.iterations).toHaveLength(3);
    // Each of the importances is an entry of M, and the eigenvectors of a diagonal M are its axes.
    expect(found.eigenvectors[0].entries[0]).toEqual({ feature: found.importances[0].feature, weight: 1 });
    expect(stdout).toContain('columns that were dropped or changed:');
    expect(lines('price/summary.txt')).toEqual(stdout.split('\n').slice(0, lines('price/summary.txt').length));
    const page = readFileSync(join(cwd, 'price', 'report.html'), 'utf8');
    for (const text of ['city=Ulm, Donau', 'Columns that were dropped or changed', 'RMSE', '40 rows'])
      expect(page).toContain(text);
    expect(page).not.toMatch(/https?:\/\/(?!www\.w3\.org)/);
    expect(page).toContain("default-src 'none'; script-src 'sha256-");
    expect(page).toMatch(/class="verdict">price on 40 test rows: RMSE /);
    // The model alone, in another folder, for rows of a table.
    cpSync(join(cwd, 'model'), join(cwd, 'moved'), { recursive: true });
    const model = await openModel(folderFiles(join(cwd, 'moved')));
    const { scores } = await predict(gpu(), model, await columnsOf('later.csv'));
    const written = lines('price/predictions.csv').filter((line) => line.startsWith('test,'));
    const expected = written.map((line) => Number(line.split(',')[3]));
    expect(expected).toHaveLength(40);
    expect(written.map((line) => Number(line.split(',')[1]))).toEqual(expected.map((_, i) => i));
    expect([...scores].map((score) => score.toPrecision(7))).toEqual(expected.map((score) => score.toPrecision(7)));
    // A fit that is finished has made its model, or makes none.
    const again = [...flags.split(' '), '--test', 'later.csv', '--out', 'price', '--resume', '--save-model'];
    expect((await runFit(...again, 'model')).code).toBe(0);
    const late = await runFit(...again, 'late');
    expect([late.code, late.stderr.at(-1)]).toEqual([
      2,
      'deep-rfm: --resume price: is finished, and late does not hold its model; drop --save-model, or run again without --resume',
    ]);
    // Of a table with a delimiter of its own, which the header does not tell.
    writeFileSync(join(cwd, 'tildes.csv'), readFileSync(join(cwd, 'later.csv'), 'utf8').replaceAll(/,(?! )/g, '~'));
    const odd = 'predict --model moved --x tildes.csv --delimiter ~ --out tilde-predictions.csv --no-tune'.split(' ');
    const tildes = await deepRfmHere(odd, { cwd });
    expect(tildes.code, tildes.stderr.join('\n')).toBe(0);
    // By the command, which finds the truth in the table.
    const command = 'predict --model moved --x later.csv --out later-predictions.csv --no-tune'.split(' ');
    const predicted = await deepRfmHere(command, { cwd });
    expect(predicted.code, predicted.stderr.join('\n')).toBe(0);
    const [header, ...cells] = lines('later-predictions.csv').filter((line) => line !== '');
    expect(header).toBe('row,prediction');
    expect(lines('tilde-predictions.csv')).toEqual(lines('later-predictions.csv'));
    expect(cells.map((line) => Number(line.split(',')[1]).toPrecision(7))).toEqual(
      expected.map((score) => score.toPrecision(7)),
    );
    expect(predicted.stdout).toContain(`RMSE ${test.rmse.toExponential(2)}`);
    const refused = await deepRfmHere('predict --model moved --dataset mnist-sample --out p.csv'.split(' '), { cwd });
    expect(refused).toMatchObject({ code: 2, stdout: '' });
    expect(refused.stderr).toEqual([
      expect.stringMatching(/^deep-rfm: --dataset mnist-sample: the model predicts rows of a table/),
    ]);
    await expect(predict(gpu(), model, [[1, 2]])).rejects.toThrow('the columns of a table by name');
    const truth = written.map((line) => Number(line.split(',')[2]));
    const rmse = Math.sqrt(expected.reduce((sum, value, i) => sum + (value - truth[i]) ** 2, 0) / 40);
    expect(test.rmse).toBeCloseTo(rmse, 9);
    await expectRedrawn('price');
    writeFileSync(join(cwd, 'price', 'predictions.csv'), lines('price/predictions.csv').slice(0, -1).join('\n'));
    await expect(rewriteReport(join(cwd, 'price'))).rejects.toThrow(
      'predictions.csv: has 39 test rows, expected 40 as in metrics.json',
    );
  });

  it('fits classes by folds, and goes on after a kill to the same bits', async () => {
    const flags =
      'houses.csv --target kind --drop price,id --iterations 2 --codes prevalence --folds 3 --score accuracy'.split(
        ' ',
      );
    const whole = await runFit(...flags, '--out', 'whole', '--save-model', 'classes');
    expect(whole.code).toBe(0);
    const killed = await deepRfm(['fit', ...flags, '--out', 'parts'], {
      cwd,
      kill: { when: /^fold 3\/3/m, signal: 'SIGKILL' },
    });
    expect(killed.signal).toBe('SIGKILL');
    const other = refusalOf([...flags, '--ridge', '0.1', '--out', 'parts', '--resume']);
    expect(await other).toMatch(/was made with another configuration \(.*--ridge: 0.001 in the checkpoint, now 0.1\)/);
    const resumed = await runFit(...flags, '--out', 'parts', '--resume');
    expect(resumed.code).toBe(0);
    expect(resumed.stderr.join('\n')).not.toMatch(/^fold 1\/3/m);
    const text = (out: string) =>
      JSON.stringify({ ...documentOf(out), memory: 0 }, (key, value) => (key === 'seconds' ? 0 : value));
    expect(text('parts')).toBe(text('whole'));
    const page = readFileSync(join(cwd, 'whole', 'report.html'), 'utf8');
    expect(page).toMatch(/class="verdict">kind on rows that 3 folds held out, in the mean: accuracy /);
    expect(page).toMatch(/<th scope="row">mean<\/th>/);
    const { folds, confusion, classes } = documentOf('whole');
    expect(classes?.names).toEqual(['cheap', 'dear']);
    // Every row was held out once.
    expect(confusion?.flat().reduce((sum, n) => sum + n, 0)).toBe(150);
    expect(folds).toHaveLength(3);
    const right = (confusion?.[0][0] ?? 0) + (confusion?.[1][1] ?? 0);
    expect(right / 150).toBeGreaterThan(0.8);
    await expectRedrawn('whole');
    const model = await openModel(folderFiles(join(cwd, 'classes')));
    const { labels, probabilities } = await predict(gpu(), model, await columnsOf('later.csv'));
    const kinds = lines('later.csv')
      .slice(1)
      .map((line) => (line.endsWith('dear') ? 1 : 0));
    const correct = kinds.filter((kind, i) => labels?.[i] === kind).length;
    expect(correct / 40).toBeGreaterThan(0.8);
    expect((probabilities?.[0] ?? 0) + (probabilities?.[1] ?? 0)).toBeCloseTo(1, 6);
  });

  it('searches, and finds the same when it goes on', async () => {
    const flags =
      'houses.csv --target price --drop kind,id --kernel laplace --iterations 1 --exponent 1 --tune 4 --seed 3'.split(
        ' ',
      );
    const killed = await deepRfm(['fit', ...flags, '--out', 'search'], {
      cwd,
      kill: { when: /^trial 2\/4/m, signal: 'SIGKILL' },
    });
    expect(killed.signal).toBe('SIGKILL');
    const resumed = await runFit(...flags, '--out', 'search', '--resume');
    expect(resumed.code).toBe(0);
    expect(resumed.stderr.join('\n')).not.toMatch(/^trial 1\/4/m);
    const whole = await deepRfm(['profile', 'fit', ...flags, '--out', 'again'], { cwd });
    expect(whole.code).toBe(0);
    expect(whole.stdout).toMatch(/^device busy .* between its first and last pass/m);
    expect(existsSync(join(cwd, 'again', 'trace.json'))).toBe(true);
    const [a, b] = [documentOf('search'), documentOf('again')];
    const bare = ({ trials }: FitDocument) => trials?.map((trial) => ({ ...trial, seconds: 0 }));
    expect(bare(a)).toEqual(bare(b));
    expect(a.trials).toHaveLength(4);
    expect(new Set(a.trials?.map(({ multiple }) => multiple)).size).toBe(4);
    expect(lines('search/trials.csv')).toHaveLength(5);
    // The fit with refined solutions has the score of the trial, which has none.
    const scores = a.trials?.map(({ score }) => score ?? Number.POSITIVE_INFINITY) ?? [];
    const { rmse } = a.scores.validation as { rmse: number };
    expect(Math.abs(rmse / Math.min(...scores) - 1)).toBeLessThan(1e-3);
  });

  it('one column is enough to learn from, and to predict with, by a long α too', async () => {
    const x = Array.from({ length: 120 }, (_, i) => (i * 37) % 121);
    writeFileSync(join(cwd, 'one.csv'), ['x,y', ...x.map((v) => `${v},${Math.sin(v / 9) + v / 50}`)].join('\n'));
    writeFileSync(join(cwd, 'alone.csv'), ['x', ...x.map((v) => v + 0.5)].join('\n'));
    const fitted = await runFit(
      ...'one.csv --target y --kernel gaussian --bandwidth 1 --iterations 0 --ridge 1e-3 --out one --save-model one-model'.split(
        ' ',
      ),
    );
    expect(fitted.code).toBe(0);
    expect(fitted.stderr).not.toContain('are known to about');
    const line = 'predict --model one-model --x alone.csv --out alone-predictions.csv'.split(' ');
    expect(await deepRfmHere(line, { cwd })).toMatchObject({ code: 0 });
    const found = lines('alone-predictions.csv')
      .slice(1)
      .map((row) => Number(row.split(',')[1]));
    expect(found).toHaveLength(120);
    found.forEach((value, i) => {
      const v = x[i] + 0.5;
      expect(Math.abs(value - (Math.sin(v / 9) + v / 50))).toBeLessThan(0.2);
    });
    writeFileSync(join(cwd, 'target.csv'), ['y', ...x].join('\n'));
    expect(await refusalOf(['target.csv', '--target', 'y', '--out', 'none'])).toMatch(
      /target\.csv: has no column to learn from; give columns whose values differ$/,
    );
  });

  it('keeps ends of lines, and what else a terminal obeys, out of its lines', async () => {
    const next = uniforms(4);
    const levels = ['"x\ny"', '\u001b[31mred', 'z'];
    const rows = Array.from({ length: 30 }, (_, i) => `${next()},${levels[i % 3]},${i % 3}.5`);
    writeFileSync(join(cwd, 'levels.csv'), ['a,"k\tl","t\nu"', ...rows].join('\n'));
    const { code, stdout } = await runFit('levels.csv', '--target', 't\nu', '--task', 'regression', '--out', 'levels');
    expect(code).toBe(0);
    const summary = lines('levels/summary.txt');
    expect(stdout).toContain(summary[0]);
    expect(summary[0]).toBe('regression: t u from 4 features of 24 rows');
    expect(summary.filter((line) => /^ {2}k l=(x y|z| \[31mred) +\d/.test(line))).toHaveLength(3);
    for (const kept of ['\u001b', '\t']) expect(stdout).not.toContain(kept);
    expect(documentOf('levels').features).toContain('k\tl=x\ny');
  });

  it('says where later updates of M are not sure', async () => {
    const unsure = /a full M, and differences to the power of 0\.7: from its second update on/;
    const noted = async (kernel: string, ...more: string[]): Promise<boolean> => {
      const out = `sure-${kernel.split(' ')[0]}${more.join('')}`;
      const flags = `houses.csv --target price --drop kind,id --validation 0 --kernel ${kernel}`.split(' ');
      expect((await runFit(...flags, ...more, '--out', out)).code).toBe(0);
      return documentOf(out).notes.some((note) => unsure.test(note));
    };
    expect(await noted('product-laplace --exponent 0.7', '--iterations', '2')).toBe(true);
    expect(await noted('product-laplace --exponent 0.7', '--iterations', '1')).toBe(false);
    expect(await noted('product-laplace --exponent 0.7', '--iterations', '2', '--metric-form', 'diagonal')).toBe(false);
    expect(await noted('sum-power-laplace --exponent 0.7', '--iterations', '2')).toBe(true);
    expect(await noted('laplace --exponent 0.7', '--iterations', '2')).toBe(false);
  });

  it('plans, and fits nothing', async () => {
    const { code, stdout } = await runFit(
      'houses.csv',
      '--target',
      'price',
      '--plan',
      '--json',
      '--memory-limit',
      '64MiB',
    );
    expect(code).toBe(0);
    const plan = JSON.parse(stdout);
    expect(plan).toMatchObject({ schema: 'deep-rfm/fit-plan/1', n: 120, outputs: 1 });
    expect(plan.memory.predictedBytes).toBeLessThanOrEqual(64 * 2 ** 20);
    const { update, last, total } = plan.seconds;
    expect(Math.min(update, last)).toBeGreaterThan(0);
    expect(total).toBeCloseTo(5 * update + last, 9);
    expect(existsSync(join(cwd, 'results'))).toBe(false);
  });
});

describe('what fit refuses, in one line', () => {
  const refused: [args: string, message: RegExp][] = [
    ['houses.csv', /--target is missing; name the column to predict, for example --target kind/],
    ['houses.csv --target cost', /--target cost: houses.csv has no such column, found "a", "b"/],
    ['none.csv --target a', /none.csv: no such file/],
    ['houses.csv --target price --categories price', /--categories price: is the target, .*use --task multiclass/],
    ['houses.csv --target price --categories a --drop a', /--categories a: --drop leaves it out; name it once/],
    [
      'houses.csv --target price --bandwidth x',
      /--bandwidth x: expected auto, a number .*use for example --bandwidth 2x/,
    ],
    ['houses.csv --target price --bandwidth 0x', /--bandwidth 0x: expected auto/],
    [
      'houses.csv --target price --kernel sum-power-laplace --constant-mix 1',
      /has --exponent 1, --power 2 and --constant-mix 1, expected 0 < exponent ≤ 2, .*use for example --exponent 1/,
    ],
    ['houses.csv --target price --drop cost', /--drop cost: houses.csv has no such column/],
    ['houses.csv --target id', /has 150 different values in 150 rows, too many for classes/],
    ['houses.csv --target kind --task regression', /the target "kind" is "\w+" on line 2, expected numbers/],
    ['houses.csv --target const', /the target "const" is "7" in every row/],
    ['houses.csv --target price --norm 1.5', /norm 1.5: the laplace kernel takes none; drop it, or use lpq-laplace/],
    ['houses.csv --target price --kernel lpq-laplace --norm 1 --exponent 1.5', /expected 0 < exponent ≤ norm ≤ 2/],
    ['houses.csv --target price --score auc', /--score auc: is no score of a regression task/],
    [
      'houses.csv --target kind --drop price --validation dear.csv --score auc',
      /--score auc: none of the rows to score by is of class "cheap", so that it is not defined; use another --score/,
    ],
    ['rare.csv --target kind --folds 3 --score auc', /--score auc: none of the rows to score by is of class "rare"/],
    ['houses.csv --target price --y Y.npy', /--y Y.npy: found --target price as well; use one of the two/],
    ['X.npy --y Y.npy --test X.npy', /--test X.npy: has no column "y", and --y has targets of the training rows alone/],
    [
      'houses.csv --target price --agop gram --kernel product-laplace',
      /--agop gram: the product laplace kernel has no Gram/,
    ],
    ['houses.csv --target price --codes sign', /--codes sign: a regression has no classes/],
    ['houses.csv --target price --folds 3 --validation 0.5', /--folds 3: holds rows out by itself/],
    ['houses.csv --target price --validation 1.5', /--validation 1.5: expected a share from 0 to below 1/],
    ['houses.csv --target price --bandwidth wide', /--bandwidth wide: expected auto, a number from 1e-18/],
  ];
  it.each(refused)('%s', async (args, message) => {
    expect(await refusalOf([...args.split(' '), '--out', 'none'])).toMatch(message);
  });

  it('with exit code 2, and nothing on stdout', async () => {
    const { code, stdout, stderr } = await runFit('houses.csv', '--target', 'const', '--out', 'none');
    expect({ code, stdout, lines: stderr.length }).toEqual({ code: 2, stdout: '', lines: 1 });
    expect(existsSync(join(cwd, 'none'))).toBe(false);
  });
});
