import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BenchCase, PeerArray, Prepared } from '../../bench/case.js';
import { predictCases } from '../../bench/cases/predict.js';
import { tabularCases } from '../../bench/cases/tabular.js';
import { openPeer, type Peer, type PeerName } from '../../bench/peers.js';
import { largestError } from '../../bench/reference.js';
import { bundledTables, friedmanTable, parityTable } from '../../bench/tables.js';
import { writeNpy } from '../../src/data/npy.js';
import { useGpu } from '../support/gpu.js';

const folder = mkdtempSync(join(tmpdir(), 'deep-rfm-tabular-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const gpu = useGpu();
const { signal } = new AbortController();
// Threads of a peer would wait for each other in loops while other test files compute.
process.env.OMP_NUM_THREADS = '1';

describe('tables', () => {
  it('by formula are the same each time, and what their formulas say', () => {
    const { x, y } = friedmanTable(400).read();
    expect(friedmanTable(400).read().y).toEqual(y);
    let [noise, square] = [0, 0];
    for (let i = 0; i < 400; i++) {
      const [a, b, c, d, e] = [0, 1, 2, 3, 4].map((j) => x[i * 105 + j]);
      const rest = y[i] - 10 * Math.sin(Math.PI * a * b) - 20 * (c - 0.5) ** 2 - 10 * d - 5 * e;
      noise += rest / 400;
      square += rest ** 2 / 400;
    }
    // Standard normal, within four deviations of both.
    expect(Math.abs(noise)).toBeLessThan(0.2);
    expect(Math.abs(square - 1)).toBeLessThan(0.29);

    const parity = parityTable(200);
    const { x: signs, y: classes } = parity.read();
    expect([...new Set(Array.from(signs))].sort()).toEqual([-1, 1]);
    for (let i = 0; i < 200; i++) {
      const product = [0, 1, 2].reduce((all, j) => all * signs[i * parity.cols + j], 1);
      expect(classes[i]).toBe(product === 1 ? 1 : 0);
    }
  });

  it('of scikit-learn are read where a Python has it, and else a text says why not', async () => {
    expect(await bundledTables('/nonexistent/python')).toBe(
      '--python /nonexistent/python cannot import sklearn; install scikit-learn, or name one with --python',
    );
    const shapes = {
      diabetes: [442, 10],
      breast_cancer: [569, 30],
      digits: [1797, 64],
      wine: [178, 13],
      iris: [150, 4],
    };
    const script = (columns: number) => `#!${process.execPath}
const { writeFileSync } = require('node:fs');
const shapes = ${JSON.stringify(shapes)};
const [first, folder, ...names] = process.argv.slice(2);
const save = (file, shape) => {
  const text = "{'descr': '<f8', 'fortran_order': False, 'shape': (" + shape.join(', ') + ",), }";
  const header = text.padEnd(117) + '\\n';
  const length = shape.reduce((a, b) => a * b, 1);
  const start = Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0, header.length, 0]);
  const data = Float64Array.from({ length }, (_, i) => i % 3);
  writeFileSync(folder + '/' + file, Buffer.concat([start, Buffer.from(header), Buffer.from(data.buffer)]));
};
if (first !== '-c') for (const name of names) {
  save(name + '-x.npy', [shapes[name][0], shapes[name][1] + ${columns}]);
  save(name + '-y.npy', [shapes[name][0]]);
}`;
    const [good, odd] = [0, 1].map((more) => {
      const file = join(folder, `python-${more}`);
      writeFileSync(file, script(more));
      chmodSync(file, 0o755);
      return file;
    });
    const found = await bundledTables(good);
    if (typeof found === 'string') throw new Error(found);
    expect(found.map(({ name, rows, cols }) => [name.replace('-', '_'), [rows, cols]])).toEqual(Object.entries(shapes));
    expect(Array.from(found[4].read().x).slice(0, 5)).toEqual([0, 1, 2, 0, 1]);
    expect(found[4].read().y).toHaveLength(150);
    expect(await bundledTables(odd)).toContain('diabetes has 442 × 11 numbers, expected 442 × 10');
  });
});

/** A case that ran once, and its arrays as peers get them. */
interface Ran {
  benchCase: BenchCase;
  prepared: Prepared;
  arrays: Record<string, string>;
  own: Record<string, PeerArray>;
}

async function runOnce(benchCase: BenchCase): Promise<Ran> {
  const prepared = await benchCase.prepare(gpu());
  await prepared.run(gpu());
  const own = (await prepared.arrays?.()) ?? {};
  const name = benchCase.shape.split(' ')[0];
  const arrays = Object.fromEntries(
    Object.entries(own).map(([part, { shape, data }]) => {
      const path = join(folder, `${name}-${part}.npy`);
      writeNpy(path, shape, data);
      return [part, path];
    }),
  );
  return { benchCase, prepared, arrays, own };
}

const ask = async (peer: Peer, { benchCase: { op, dimensions }, arrays }: Omit<Ran, 'prepared' | 'own'>) => {
  const runs = await peer.ask({ op, dimensions, arrays, repeats: 1, seconds: 1 }, signal);
  if (typeof runs === 'string') throw new Error(`${op}: ${runs}`);
  return runs;
};

/** A peer. Without its library on this machine there is nothing to run, and the test is skipped. */
async function open(name: PeerName, skip: (why: string) => void): Promise<Peer> {
  const peer = await openPeer(name, { python: undefined, jaxJs: undefined });
  if (typeof peer === 'string') skip(peer);
  return peer as Peer;
}

describe('fits of tables', () => {
  const remarks: string[] = [];
  let ran: Ran[];
  beforeAll(async () => {
    const cases = await tabularCases({ sizes: [90], quick: true, dataDir: undefined, search: 1 }, (line) =>
      remarks.push(line),
    );
    ran = [];
    for (const benchCase of cases) ran.push(await runOnce(benchCase));
  });

  it('hold out rows of their own, and judge predictions of them', async () => {
    expect(remarks).toEqual([]);
    expect(ran.map(({ benchCase }) => benchCase.shape)).toEqual([
      'friedman-1 n=90 d=105',
      'friedman-1 n=90 d=105 search=1',
      'parity-3 n=90 d=50',
      'parity-3 n=90 d=50 search=1',
    ]);
    for (const { benchCase, prepared, own } of ran) {
      const rows = ['x', 'held', 'test'].map((part) => own[part].shape[0]);
      expect(rows).toEqual([58, 14, 18]);
      const scores = prepared.scores!(await prepared.values!());
      const regression = benchCase.shape.startsWith('friedman');
      expect(Object.keys(scores)).toEqual(regression ? ['r2', 'rmse'] : ['accuracy']);
      for (const value of Object.values(scores)) expect(Number.isFinite(value)).toBe(true);
    }
    // What is predicted by nobody: one value for all rows, and the wrong class of each.
    const [friedman, , parity] = ran;
    expect(friedman.prepared.scores!([new Float32Array(18)]).r2).toBeLessThanOrEqual(0);
    const [found] = await parity.prepared.values!();
    const { accuracy } = parity.prepared.scores!([found]);
    expect(parity.prepared.scores!([found.map((value) => 1 - value)]).accuracy).toBeCloseTo(1 - accuracy, 12);
  });

  it('are what NumPy finds in float64', async ({ skip }) => {
    const peer = await open('numpy', skip);
    for (const one of [ran[0], ran[2]!]) {
      const runs = await ask(peer, one);
      expect(runs.map(({ method, reference }) => [method, reference])).toEqual([
        ['float64', false],
        ['float64', true],
      ]);
      const found = await one.prepared.values!();
      expect(largestError(found, runs[1].values!), one.benchCase.shape).toBeLessThan(2e-4);
    }
    // A search is compared with defaults: no reference of its result.
    expect((await ask(peer, ran[1])).map(({ reference }) => reference)).toEqual([false]);
    const [prediction] = predictCases({ sizes: [60], quick: true, dataDir: undefined });
    expect(await ask(peer, { benchCase: prediction, arrays: {} })).toHaveLength(1);
    peer.close();
  });

  it('are what PyTorch finds in float32', async ({ skip }) => {
    const peer = await open('torch', skip);
    for (const one of [ran[0], ran[2]!]) {
      const [run] = await ask(peer, one);
      expect(largestError(await one.prepared.values!(), run.values!), one.benchCase.shape).toBeLessThan(5e-3);
    }
    const [prediction] = predictCases({ sizes: [60], quick: true, dataDir: undefined });
    expect(await ask(peer, { benchCase: prediction, arrays: {} })).toHaveLength(2);
    peer.close();
  });

  it('are asked of xRFM with the same settings, or its own', async ({ skip }) => {
    // In place of the library. It needs PyTorch as that does.
    const modules = join(folder, 'modules');
    for (const name of ['xrfm', 'xrfm-9.dist-info']) mkdirSync(join(modules, name), { recursive: true });
    writeFileSync(join(modules, 'xrfm-9.dist-info', 'METADATA'), 'Metadata-Version: 2.1\nName: xrfm\nVersion: 9\n');
    writeFileSync(
      join(modules, 'xrfm', '__init__.py'),
      `
import json
import torch


class xRFM:
    def __init__(self, rfm_params=None, device=None, tuning_metric=None):
        self.rfm_params, self.tuning_metric = rfm_params, tuning_metric

    def fit(self, X, y, X_val, y_val):
        print("progress")
        if self.rfm_params is None:
            raise KeyError(json.dumps([self.tuning_metric, list(y.shape), str(y.dtype)]))
        assert len(X) == len(y) and len(X_val) == len(y_val)
        self.y = y

    def predict(self, X):
        most = self.y.mean() if self.y.is_floating_point() else self.y.mode().values
        return most.expand(len(X)).numpy() if self.y.dim() == 1 else most.expand(len(X), 1).numpy()
`,
    );
    const before = process.env.PYTHONPATH;
    process.env.PYTHONPATH = modules;
    try {
      const xrfm = await open('xrfm', skip);
      expect(xrfm.library.version).toMatch(/^9 \(torch /);
      for (const one of [ran[0], ran[2]!]) {
        const [run] = await ask(xrfm, one);
        expect(run.method).toBe('xRFM, settings as ours');
        const scores = one.prepared.scores!(run.values!);
        // The mean of the training rows, and their most frequent class.
        if ('r2' in scores) expect(scores.r2).toBeLessThanOrEqual(0);
        else expect(scores.accuracy).toBeLessThan(0.9);
      }
      await expect(ask(xrfm, ran[1])).rejects.toThrow('["mse", [58, 1], "torch.float32"]');
      await expect(ask(xrfm, ran[3])).rejects.toThrow('["logloss", [58], "torch.int64"]');
      xrfm.close();
    } finally {
      if (before === undefined) delete process.env.PYTHONPATH;
      else process.env.PYTHONPATH = before;
    }
  });
});
