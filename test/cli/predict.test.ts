import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { installedSwiftshader } from '../../scripts/adapter-env.mjs';
import { shortest } from '../../src/cli/predict-files.js';
import { type PredictFlags, readPredictRequest } from '../../src/cli/predict-request.js';
import { readRunCheckpoint } from '../../src/cli/run-checkpoint.js';
import { aboutRun, checkRunModel } from '../../src/cli/run-model.js';
import { type RunFlags, readRunRequest } from '../../src/cli/run-request.js';
import { expectModel } from '../../src/cli/save-model.js';
import { expectEarlierModels, hasLastModel } from '../../src/cli/train-model.js';
import { readTrainRequest, type TrainFlags } from '../../src/cli/train-request.js';
import { loadPart } from '../../src/data/dataset.js';
import { readNpy } from '../../src/data/npy.js';
import { RfmError } from '../../src/errors.js';
import {
  buildProgram,
  clusters,
  deepRfm,
  deepRfmHere,
  NO_ADAPTER,
  numbers,
  workFolder,
  writeArrays,
} from './program.js';

const cwd = workFolder();
const path = (name: string): string => join(cwd, name);
const { x, labels, y } = clusters(60, 6, 3);
const names = Int32Array.from(labels, (label) => 10 * label + 5);
const test = clusters(40, 6, 3, 9);
writeArrays(cwd, {
  X: [[60, 6], x],
  names: [[60], names],
  T: [[40, 6], test.x],
  testNames: [[40], Int32Array.from(test.labels, (label) => 10 * label + 5)],
  Y: [[60, 3], y],
  testY: [[40, 3], test.y],
  T5: [[40, 5], numbers(200)],
  short: [[39], new Int32Array(39).fill(5)],
  unknown: [[40], new Int32Array(40).fill(7)],
});

const base =
  'run --dataset npy --x X.npy --y names.npy --test-x T.npy --test-y testNames.npy --depth 3 --width 24 --gram-layers none --save-predictions';
/** The flags of `base` as the program has them. */
const given: RunFlags = {
  ...{ dataset: 'npy', depth: 3, width: 24, gramLayers: [], savePredictions: true },
  ...{ x: path('X.npy'), y: path('names.npy'), testX: path('T.npy'), testY: path('testNames.npy') },
};
const command = (line: string, options: Parameters<typeof deepRfm>[1] = {}) =>
  deepRfm(line.split(' '), { cwd, ...options });

const commandHere = (line: string) => deepRfmHere(line.split(' '), { cwd });

/** The files of a folder as text: equal text is equal bytes. */
const contents = (dir: string) =>
  Object.fromEntries(
    readdirSync(path(dir))
      .sort()
      .map((name) => [name, readFileSync(join(path(dir), name)).toString('latin1')]),
  );

beforeAll(async () => {
  await buildProgram();
  const killed = command(`${base} --out killed --save-model models/killed`, {
    kill: { when: /^layer 1\//m, signal: 'SIGKILL' },
  });
  const runs = await Promise.all([
    command(`${base} --out whole --save-model models/whole`),
    killed,
    command('rfm --x X.npy --y Y.npy --test-x T.npy --iterations 1 --out rfm --save-model models/rfm --float64'),
  ]);
  expect(runs.map(({ code, stderr }) => [code, code === 0 ? '' : stderr.at(-1)])).toMatchObject([
    [0, ''],
    [137, expect.anything()],
    [0, ''],
  ]);
  expect(runs[0].stdout).toContain('model: models/whole');
});

describe('predict', () => {
  it('repeats the scores of the run, to the bit, and judges them', async () => {
    const npy = await command(
      'predict --model models/whole --x T.npy --y testNames.npy --out scores.npy --json --quiet',
    );
    const csv = await commandHere(
      'predict --model models/whole --x T.npy --y testNames.npy --layer all --out made/all.csv',
    );
    expect([npy.code, npy.stderr, csv.code]).toEqual([0, [], 0]);
    const { layers } = JSON.parse(readFileSync(path('whole/metrics.json'), 'utf8')) as {
      layers: { testAccuracy: number }[];
    };
    expect(JSON.parse(npy.stdout)).toMatchObject({
      schema: 'deep-rfm/predictions/1',
      model: { path: 'models/whole', kind: 'deep-rfm' },
      ...{
        rows: 40,
        classes: ['5', '15', '25'],
        layers: [{ layer: 3, accuracy: layers[2].testAccuracy }],
        out: 'scores.npy',
      },
    });
    const scores = readNpy(path('scores.npy'));
    expect(scores).toEqual(readNpy(path('whole/predictions.npy')));
    const lines = readFileSync(path('made/all.csv'), 'utf8').trimEnd().split('\n');
    expect(lines).toHaveLength(1 + 3 * 40);
    expect(lines[0]).toBe('row,layer,label,score 5,score 15,score 25,probability 5,probability 15,probability 25');
    const cells = lines.slice(1).map((line) => line.split(','));
    for (const [i, row] of cells.slice(80).entries()) {
      expect(row.slice(0, 2)).toEqual([String(i), '3']);
      expect(row.slice(3, 6).map((cell) => Math.fround(Number(cell)))).toEqual(
        [0, 1, 2].map((c) => scores.data[3 * i + c]),
      );
      const best = [5, 15, 25][
        [0, 1, 2].reduce((most, c) => (Number(row[3 + c]) > Number(row[3 + most]) ? c : most), 0)
      ];
      expect(row[2]).toBe(String(best));
      expect(row.slice(6).reduce((sum, cell) => sum + Number(cell), 0)).toBeCloseTo(1, 5);
    }
    layers.forEach(({ testAccuracy }, l) => {
      expect(csv.stdout).toContain(`layer ${l + 1}: accuracy ${(100 * testAccuracy).toFixed(1)} %`);
      const right = cells.slice(40 * l, 40 * l + 40).filter((row, i) => row[2] === String(10 * test.labels[i] + 5));
      expect(right.length / 40).toBe(testAccuracy);
    });
    expect(csv.stderr.join('\n')).toContain('model    Deep RFM of 3 layers, made by deep-rfm');
  });

  const noOther = installedSwiftshader() === null;
  it.skipIf(noOther)(
    `is within 1e-5 on another adapter${noOther ? ' (skipped: SwiftShader is not in the cache; DEEP_RFM_ADAPTER=swiftshader npm run setup)' : ''}`,
    async () => {
      const line = 'predict --model models/whole --x T.npy --layer all --out swift.json --quiet';
      const { code, stderr } = await command(line, {
        env: { DEEP_RFM_ADAPTER: 'swiftshader', VK_DRIVER_FILES: undefined, VK_ICD_FILENAMES: undefined },
      });
      expect([code, stderr]).toEqual([0, []]);
      const found = JSON.parse(readFileSync(path('swift.json'), 'utf8'));
      expect(found.adapter.description).toMatch(/SwiftShader/i);
      const { data } = readNpy(path('whole/predictions.npy'));
      const last: number[] = found.layers[2].scores.flat();
      const worst = last.reduce((most, score, e) => Math.max(most, Math.abs(score - Number(data[e]))), 0);
      expect(worst).toBeLessThan(1e-5);
      expect(found.layers[2].labels).toHaveLength(40);
      expect(found.layers[0].probabilities[0]).toHaveLength(3);
    },
  );

  it('judges numbers by their distance', async () => {
    const found = await commandHere(
      'predict --model models/rfm --x T.npy --y testY.npy --out numbers.npy --float64 --memory-limit 64MiB',
    );
    expect(found.code).toBe(0);
    const { data } = readNpy(path('numbers.npy'));
    expect(data).toEqual(readNpy(path('rfm/predictions.npy')).data);
    const wrong = Array.from(data as Float64Array, (value, e) => (value - test.y[e]) ** 2);
    const rmse = Math.sqrt(wrong.reduce((sum, one) => sum + one, 0) / 120);
    expect(found.stdout).toMatch(new RegExp(`^RMSE ${rmse.toExponential(2)}, R² 0\\.\\d{4}$`, 'm'));
  });
});

describe('a run that goes on', () => {
  it('has the model of one in one piece', async () => {
    expect(existsSync(path('models/killed'))).toBe(false);
    const flags = { ...given, out: path('killed') };
    expect(() => readRunCheckpoint(readRunRequest(flags), flags)).toThrow(
      /another configuration \(--save-model: .*killed in the checkpoint, now null\)/,
    );
    const { code, stderr } = await commandHere(`${base} --out killed --save-model models/killed --resume`);
    expect([code, stderr.join('\n')]).toEqual([0, expect.stringMatching(/resumed {2}after layer \d of 3/)]);
    expect(contents('models/killed')).toEqual(contents('models/whole'));
    expect(readdirSync(path('models')).filter((name) => name.startsWith('.'))).toEqual([]);
    expect(readdirSync(path('killed'))).not.toContain('checkpoint');
    const request = readRunRequest(flags);
    await expect(expectModel(path('models/killed'), aboutRun(request), request.out)).resolves.toBe(undefined);
    const remedy = 'does not hold its model; drop --save-model, or run again without --resume';
    await expect(expectModel(path('models/other'), aboutRun(request), request.out)).rejects.toThrow(remedy);
    await expect(expectModel(path('models/rfm'), aboutRun(request), request.out)).rejects.toThrow(remedy);
  });
});

describe('train', () => {
  it('saves a network for each seed, and one that is gone again from the checkpoint', async () => {
    const line =
      'train --dataset npy --x X.npy --y names.npy --test-x T.npy --test-y testNames.npy --depth 1 --width 8 --epochs 2 --batch 30 --seeds 3,4 --out nets --save-model models/nets';
    const { code, stdout } = await commandHere(`${line} --json --quiet`);
    expect(code).toBe(0);
    const { seeds, models } = JSON.parse(stdout);
    expect(models).toEqual(['models/nets/seed-3', 'models/nets/seed-4']);
    const whole = contents('models/nets/seed-4');
    rmSync(path('models/nets/seed-4'), { recursive: true });
    const again = await commandHere(`${line} --resume --quiet`);
    expect(again.code).toBe(0);
    expect(contents('models/nets/seed-4')).toEqual(whole);
    const flags: TrainFlags = {
      ...{ dataset: 'npy', depth: 1, width: 8, epochs: 2, batch: 30, seeds: [3, 4] },
      ...{ x: path('X.npy'), y: path('names.npy'), testX: path('T.npy'), testY: path('testNames.npy') },
      saveModel: path('models/nets'),
    };
    const request = readTrainRequest(flags);
    expect(hasLastModel(request, flags)).toBe(true);
    expect(() => expectEarlierModels(request, flags, 1)).not.toThrow();
    expect(() => expectEarlierModels(readTrainRequest({ ...flags, epochs: 3 }), flags, 1)).toThrow(
      /seed 3 was finished, .*seed-3 does not hold its model, and its weights are gone/,
    );
    const judged = await commandHere(
      'predict --model models/nets/seed-4 --x T.npy --y testNames.npy --array labels --out labels.npy --json --quiet',
    );
    expect(JSON.parse(judged.stdout).layers).toEqual([
      { layer: null, accuracy: seeds[1].measurements.at(-1).test.accuracy },
    ]);
    const { data, dtype } = readNpy(path('labels.npy'));
    expect([dtype, [...new Set(data as Int32Array)].every((value) => [5, 15, 25].includes(value))]).toEqual([
      '<i4',
      true,
    ]);
  });
});

/** The message of the input error that a request ends with, before a device is asked for. */
async function refused(flags: PredictFlags): Promise<string> {
  const error = await readPredictRequest(flags).catch((reason) => reason);
  expect(error).toBeInstanceOf(RfmError);
  expect(error).toMatchObject({ kind: 'input' });
  expect(error.message).not.toContain('\n');
  return error.message.replaceAll(`${cwd}/`, '');
}

describe('predict refuses', () => {
  const flags = (more: PredictFlags): PredictFlags => ({
    model: path('models/whole'),
    x: path('T.npy'),
    out: path('p.csv'),
    ...more,
  });
  it.each<[more: PredictFlags, message: string]>([
    [{ x: path('T5.npy') }, '--x T5.npy: has 5 columns, but the model expects 6; give the features'],
    [{ x: path('none.npy') }, '--x none.npy: no such file'],
    [{ model: path('none') }, '--model none: no such folder; check the path'],
    [{ model: path('X.npy') }, '--model X.npy: is a file, expected a folder'],
    [{ model: path('X.npy/m') }, '--model X.npy/m: no such folder'],
    [{ model: path('whole') }, '--model whole: has no model.json; give a folder that --save-model wrote'],
    [{ layer: [4] }, '--layer: layer 4: the model has layers 1 to 3; name one of them'],
    [{ layer: 'all', model: path('models/rfm') }, '--layer: a model of kind rfm has one predictor'],
    [{ model: path('models/rfm'), array: 'labels', out: path('p.npy') }, '--array labels: the model predicts numbers'],
    [
      { model: path('models/rfm'), y: path('testNames.npy') },
      '--y testNames.npy: has 1 columns, but the model has 3 outputs',
    ],
    [{ y: path('short.npy') }, '--y short.npy: has 39 rows, but --x T.npy has 40'],
    [
      { y: path('unknown.npy') },
      '--y unknown.npy: label 7 in row 0 (counted from 0) is no class of the model, expected 5, 15, 25',
    ],
    [{ out: path('p.txt') }, '--out p.txt: expected a name that ends in .npy, .csv, .json'],
    [{ out: path('T.npy') }, '--out T.npy: would overwrite --x T.npy'],
    [{ out: path('X.npy') }, '--out X.npy: is there already; choose another file, or add --overwrite'],
    [{ out: path('models/whole/p.csv') }, '--out models/whole/p.csv: is in the folder of the model'],
    [{ out: path('X.npy/p.csv') }, '--out X.npy/p.csv: X.npy is a file, expected a folder'],
    [{ array: 'scores' }, '--array scores: a .csv file holds all there is'],
    [{ float64: true }, '--float64: only .npy files have it'],
    [{ n: 41 }, '--n 41: T.npy holds only 40 rows'],
    [{ dataset: 'mnist-sample' }, '--x T.npy: found --dataset mnist-sample as well'],
    [{ part: 'train' }, '--part train: needs --dataset, found --x T.npy'],
  ])('%o', async (more, message) => {
    expect(await refused(flags(more))).toContain(message);
  });

  it('rows of a dataset of other features, and flags that are missing', async () => {
    const { x: _, ...rest } = flags({});
    expect(await refused({ ...rest, dataset: 'mnist-sample', n: 5 })).toContain(
      '--dataset mnist-sample: has 784 columns, but the model',
    );
    expect(await refused({ ...rest, dataset: 'mnist-sample', dataDir: cwd })).toContain(
      'mnist-sample comes with the program',
    );
    expect(await refused({ ...rest, dataset: 'mnist-sample', y: path('testNames.npy') })).toContain(
      'the labels of --dataset mnist-sample are known',
    );
    expect(await refused(rest)).toContain('--x is missing');
    expect(await refused({ x: path('T.npy'), out: path('p.csv') })).toContain('--model is missing');
    expect(await refused({ model: path('models/whole'), x: path('T.npy') })).toContain('--out is missing');
  });

  it('a model that is not whole, by the file', async () => {
    const files = contents('models/whole');
    const damaged = async (name: string, change: (bytes: string) => string | null): Promise<string> => {
      rmSync(path('damaged'), { recursive: true, force: true });
      mkdirSync(path('damaged'));
      for (const [file, bytes] of Object.entries(files)) {
        const written = file === name ? change(bytes) : bytes;
        if (written !== null) writeFileSync(path(`damaged/${file}`), written, 'latin1');
      }
      return refused(flags({ model: path('damaged') }));
    };
    for (const name of Object.keys(files)) {
      expect(await damaged(name, () => null)).toContain(name);
      expect(await damaged(name, () => '')).toContain(`--model damaged/${name}: `);
      expect(await damaged(name, (bytes) => bytes.slice(0, bytes.length / 2))).toMatch(/cut short/);
    }
    expect(await damaged('layer-02.safetensors', (bytes) => `${bytes.slice(0, -1)}\u0001`)).toContain(
      '--model damaged/layer-02.safetensors: was changed',
    );
    expect(await damaged('model.json', (text) => text.replace('model/1', 'model/9'))).toContain(
      'this version reads deep-rfm/model/1',
    );
    const { code, stderr } = await command('predict --model damaged --x T.npy --out p.csv', { env: NO_ADAPTER });
    expect([code, stderr]).toEqual([
      2,
      [expect.stringContaining('deep-rfm: --model damaged/model.json: has the schema "deep-rfm/model/9"')],
    ]);
    expect(existsSync(path('p.csv'))).toBe(false);
  });
});

describe('--save-model', () => {
  const run = (dir: string, out = path('whole')) => checkRunModel(path(dir), { config: { width: 8 } as never, out });
  it.each([
    ['whole', 'is --out', 'use for example --save-model'],
    ['.', 'holds --out', 'a model needs a folder of its own'],
    ['rfm', 'holds M.npy, which is not of a model'],
    ['X.npy', 'is a file, expected a folder'],
    ['X.npy/m', 'is a file, expected a folder'],
  ])('%s is refused', (dir, ...words) => {
    for (const word of words) expect(() => run(dir)).toThrow(word);
  });

  it('takes a model’s folder, or one that there is not', () => {
    expect(() => run('models/rfm')).not.toThrow();
    expect(() => run('whole/model')).not.toThrow();
    expect(() => run('nowhere/model')).not.toThrow();
  });

  it('of infinite width is refused with what to do', () => {
    expect(() => checkRunModel('m', { config: { width: 'inf' } as never, out: 'out' })).toThrow(
      'give --width as a number, or drop --save-model',
    );
  });
});

it('a part of a dataset is that of the whole', () => {
  const train = loadPart({ name: 'mnist-sample' }, 'train', 1);
  const testPart = loadPart({ name: 'mnist-sample' }, 'test', 3);
  expect([train.rows.rows, testPart.rows.rows, testPart.classValues.length]).toEqual([1, 3, 10]);
});

it('numbers have the fewest digits that are read back as the same', () => {
  const float32 = Float32Array.of(0.1, 1 / 3, -1e-40, 16777217, 3.4e38, 0);
  for (const value of float32) expect(Math.fround(Number(shortest(value, float32)))).toBe(value);
  expect(shortest(float32[0], float32)).toBe('0.1');
  expect(shortest(0.1 + 0.2, new Float64Array(1))).toBe('0.30000000000000004');
});
