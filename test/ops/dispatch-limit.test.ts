import { readdirSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readWgsl } from '../../scripts/wgsl.mjs';
import { CONVOLUTION, convolution } from '../../src/nn/convolution.js';
import { type Layer, releaseLayer } from '../../src/nn/layer.js';
import { bias, flatten, linear, relu } from '../../src/nn/linear.js';
import { batchNorm } from '../../src/nn/norm.js';
import { createOptimizer, type OptimizerName } from '../../src/nn/optimizer.js';
import { adaptivePool, maxPool } from '../../src/nn/pool.js';
import { flatShape } from '../../src/nn/tensor.js';
import { agopGram, agopJacobian } from '../../src/ops/agop/agop.js';
import { agopDiagonal } from '../../src/ops/agop/agop-jacobian.js';
import { philoxFill } from '../../src/ops/features/features.js';
import { GEMM, GEMM_SMALL, gemm, gemmNN, gemmTN, syrk } from '../../src/ops/gemm/gemm.js';
import { exactDistances, pairDistances } from '../../src/ops/kernel-matrix/pair-distances.js';
import { lpLaplace } from '../../src/ops/kernels/coordinate-kernels.js';
import { laplace } from '../../src/ops/kernels/laplace.js';
import { nearestDistance } from '../../src/ops/solve/kernel-system.js';
import { pivotedCholesky, rootOfFactor } from '../../src/ops/sqrt-psd/sqrt-psd.js';
import { releaseSvd, svd } from '../../src/ops/svd/svd.js';
import { asTriangle, releasePanels } from '../../src/ops/tiles.js';
import { type DeepRfmData, deepRfm, planOf } from '../../src/rfm/deep-rfm.js';
import { medianDistance } from '../../src/rfm/median-distance.js';
import type { DeepRfmOptions } from '../../src/rfm/options.js';
import { runBatch } from '../../src/runtime/batch.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { download, downloadAll, downloadBytes, release } from '../../src/runtime/matrix.js';
import { usableVariants } from '../../src/runtime/variants.js';
import { normalImages, passThrough, write } from '../nn/support.js';
import { compute, put, putColumns, putRows, useGpu, VARIANTS } from '../support/gpu.js';
import { collapsedRows, normalMatrix, normals, productNT } from '../support/reference.js';

const opened = useGpu();

/** Every dispatch of more than so many workgroups along a dimension is beyond the limit. */
const LIMIT = 2;

/** The same device, said to dispatch no more workgroups at once. */
const limited = (gpu: Gpu): Gpu => ({
  ...gpu,
  limits: new Proxy(gpu.limits, {
    get: (limits, name) => (name === 'maxComputeWorkgroupsPerDimension' ? LIMIT : Reflect.get(limits, name, limits)),
  }),
});

/** Bit by bit: toEqual takes −0 for 0 in typed arrays, and a NaN for any other. */
const bitsOf = (values: ArrayLike<number>): Uint32Array => new Uint32Array(Float32Array.from(values).buffer);

async function expectSame(gpu: Gpu, work: (gpu: Gpu) => Promise<ArrayLike<number>[]>): Promise<void> {
  const whole = await work(gpu);
  const parts = await work(limited(gpu));
  expect(whole.length).toBeGreaterThan(0);
  expect(parts.map(bitsOf)).toEqual(whole.map(bitsOf));
}

/** Everything that a layer with random weights gives and leaves behind. */
async function forwardAndBack(gpu: Gpu, make: (gpu: Gpu) => Layer, channels: number): Promise<ArrayLike<number>[]> {
  const layer = make(gpu);
  const next = normals(7);
  for (const { value } of layer.parameters) {
    write(
      gpu,
      value,
      Float64Array.from({ length: value.rows * value.cols }, () => next()),
    );
  }
  const input = normalImages(3, { channels, height: 11, width: 9 }, 1);
  const dy = normalImages(3, layer.outputShape(input.shape), 2);
  const { y, dx } = await passThrough(gpu, layer, input, dy);
  const gradients = await Promise.all(layer.parameters.map(({ gradient }) => download(gpu, gradient)));
  const buffers = await Promise.all(layer.buffers.map(({ value }) => download(gpu, value)));
  releaseLayer(gpu, layer);
  return [y.data, dx?.data ?? [], ...gradients, ...buffers];
}

describe('beyond the limit of workgroups a dimension everything is the same, to the bit', () => {
  it.each(
    GEMM.variants
      .filter(({ name, optIn }) => !optIn && name !== 'blocked-large')
      .map((variant) => [variant.name, variant] as const),
  )('products: %s', async (name, variant) => {
    const choices = new Map([GEMM, GEMM_SMALL].map(({ op }) => [op, name]));
    const gpu = { ...opened(), choices };
    if (!variant.usable(gpu)) return;
    const [m, n, k] = [331, 317, 37];
    const [a, b] = [normalMatrix(m, k, 1), normalMatrix(n, k, 2)];
    await expectSame(gpu, async (gpu) => {
      const found = await compute(
        gpu,
        [a, b, normalMatrix(k, m, 3), normalMatrix(k, n, 4)],
        [
          [m, n],
          [m, n],
          [m, n],
          [m, m],
        ],
        (batch, [a, b, aT, bT], [nt, nn, tn, symmetric]) => {
          gemm(batch, { a, b, out: nt, scale: 0.5 });
          gemmNN(batch, { a, b: bT, out: nn });
          gemmTN(batch, { a: aT, b: bT, out: tn });
          syrk(batch, { a, b: a, out: symmetric });
        },
      );
      return found.map(({ data }) => data);
    });
  });

  const [n, d, classes] = [150, 41, 3];
  const x = Float32Array.from(collapsedRows(n, d, classes, 1, 5).data);
  const labels = Int32Array.from({ length: n }, (_, i) => Math.floor((i * classes) / n));
  const rows = { x, labels, rows: n, cols: d };
  const data: DeepRfmData = { train: rows, test: rows, classes };
  const base: DeepRfmOptions = {
    depth: 1,
    activation: 'relu',
    width: 70,
    gamma: 0.1,
    seed: 3,
    agop: 'gram',
    agopSamples: 0,
    solver: 'cholesky',
    gramLayers: [1],
  };
  const runs: [string, Partial<DeepRfmOptions>, number][] = [
    ['Cholesky, Gram form', {}, 2 ** 26],
    [
      'tiles, Cholesky in host memory, Jacobians',
      { solver: 'cholesky-host', agop: 'jacobian', agopSamples: 50 },
      2 ** 14,
    ],
    ['infinite width', { width: 'inf' }, 2 ** 26],
    ['tiles, conjugate gradients, cosines', { solver: 'conjugate-gradients', activation: 'cos' }, 2 ** 14],
  ];
  it.each(runs)('a layer: %s', async (_, change, tileBytes) => {
    const config = { ...base, ...change };
    await expectSame({ ...opened(), tileBytes }, async (gpu) => {
      const plan = planOf(gpu, data, config);
      const solve = plan.solve.method === 'conjugate-gradients' ? { ...plan.solve, landmarks: 24 } : plan.solve;
      const { layers, grams, predictions } = await deepRfm(gpu, data, config, { plan: { ...plan, solve } });
      const [{ nc1, nc2, agop, solve: solved }] = layers;
      const numbers = [...Object.values(nc1), ...Object.values(nc2), agop.cancellation, agop.samplingError];
      return [[...numbers, ...agop.topEigenvalues, solved.relativeResidual], grams[0].values, predictions ?? []];
    });
  });

  // With products and solves that a software adapter compiles soon: those for GPUs are unrolled, and have tests of their own.
  const soon = new Map([
    ['cholesky', 'recursive'],
    ['trsm', 'recursive'],
    ['gemm', 'workgroup'],
    ['gemm-small', 'workgroup'],
  ]);

  it.each(VARIANTS)('pivots and roots, %s', (_, of) =>
    expectSame({ ...of(opened()), choices: soon }, async (gpu) => {
      const half = normalMatrix(140, 150, 1);
      const m = put(gpu, productNT(half, half));
      const factor = await pivotedCholesky(gpu, m, 1e-6);
      const l = await download(gpu, factor.l);
      const root = await rootOfFactor(gpu, factor);
      const values = [l, await download(gpu, root), [factor.rank]];
      release(gpu, m, root, factor.l);
      return values;
    }),
  );

  it('random weights', () =>
    expectSame(opened(), async (gpu) => {
      const [found] = await compute(gpu, [], [[37, 131]], (batch, _, [out]) =>
        philoxFill(batch, out, { seed: 7, layer: 2, stream: 0 }, { signed: true, scale: 0.5 }),
      );
      return [found.data];
    }));

  it.each([
    ['separate', [0, 170, 340, 530]],
    ['fused-subgroup', null],
  ] as const)('weights of the Gram form: %s', async (name, classes) => {
    const gpu = { ...opened(), choices: new Map([['agop-gram', name]]) };
    await expectSame(gpu, async (gpu) => {
      const n = 530;
      const rows = putRows(gpu, collapsedRows(n, 9, 3, 0.1, 1), n);
      const alpha = putColumns(gpu, normalMatrix(3, n, 2), n);
      const half = normalMatrix(n, 20, 3);
      const w = put(gpu, productNT(half, half));
      const out = put(gpu, normalMatrix(9, 9, 4));
      await agopGram(gpu, { x: rows, alpha, triangle: asTriangle(w), accurate: 'all', classes }, out);
      const values = await download(gpu, out);
      releasePanels(gpu, rows, alpha);
      release(gpu, w, out);
      return [values];
    });
  });

  it('gradients of many outputs', () =>
    expectSame(opened(), async (gpu) => {
      const [n, outputs] = [40, 30];
      const rows = putRows(gpu, normalMatrix(n, 9, 1), n);
      const alpha = putColumns(gpu, normalMatrix(outputs, n, 2), n);
      const out = put(gpu, normalMatrix(9, 9, 4));
      const weights = { kind: 'computed' as const, kernel: laplace(2), nearest: 0 };
      const samples = Array.from({ length: 10 }, (_, i) => 4 * i);
      const { samplingError } = await agopJacobian(gpu, { x: rows, alpha, weights, starts: [0, n] }, out, samples);
      const values = await download(gpu, out);
      releasePanels(gpu, rows, alpha);
      release(gpu, out);
      return [values, [samplingError]];
    }));

  it('distances and gradients by coordinates, exact distances, sums of squares of columns', () =>
    expectSame(opened(), async (gpu) => {
      const [n, d, outputs] = [530, 37, 5];
      const rows = putRows(gpu, normalMatrix(n, d, 1), n);
      const alpha = putColumns(gpu, normalMatrix(outputs, n, 2), n);
      const kernel = lpLaplace(30, 1, 1);
      const [squared, low, exact, rest] = [1, 2, 3, 4].map(() => put(gpu, normalMatrix(n, n, 3)));
      await runBatch(gpu, (batch) => {
        const [x] = rows.tiles;
        pairDistances(batch, kernel, x, x, squared);
        pairDistances(batch, kernel, x, x, { high: squared, low });
        exactDistances(batch, laplace(1), x, x, { high: exact, low: rest });
      });
      const weights = { kind: 'computed' as const, kernel, nearest: 0 };
      const coordinates = kernel.coordinates && { distance: kernel.coordinates, bandwidth: 30 };
      const samples = Array.from({ length: 40 }, (_, i) => 13 * i);
      const diagonal = await agopDiagonal(gpu, { x: rows, alpha, weights, coordinates, starts: [0, n] }, samples);
      const values = [...(await downloadAll(gpu, [squared, low, exact, rest])), diagonal];
      releasePanels(gpu, rows, alpha);
      release(gpu, squared, low, exact, rest);
      return values;
    }));

  it('the smallest distance', () =>
    expectSame(opened(), async (gpu) => {
      const x = putRows(gpu, normalMatrix(40, 5, 6), 32);
      const found = await nearestDistance(gpu, { x, kernel: laplace(1), kept: null });
      releasePanels(gpu, x);
      return [[found]];
    }));

  it('the median distance', () =>
    expectSame(opened(), async (gpu) => {
      const x = putRows(gpu, normalMatrix(40, 5, 6), 32);
      const found = await medianDistance(gpu, x, { norm: 2, mean: false });
      releasePanels(gpu, x);
      return [[found]];
    }));

  it.each(VARIANTS)('singular values, %s', (_, of) =>
    expectSame(of(opened()), async (gpu) => {
      const a = put(gpu, normalMatrix(9, 170, 3));
      const found = await svd(gpu, a);
      if (!found) throw new Error('no singular values');
      const values = [[...found.s], await download(gpu, found.v)];
      releaseSvd(gpu, found);
      release(gpu, a);
      return values;
    }),
  );

  it.each(CONVOLUTION.variants.map((variant) => [variant.name, variant] as const))(
    'convolutions: %s',
    (name, variant) => {
      const gpu = { ...opened(), choices: new Map([[CONVOLUTION.op, name]]) };
      // So many outputs that subgroups of 32 lanes, too, take more than two workgroups for them.
      const make = (of: Gpu): Layer => convolution(of, 'c', { inputs: 36, outputs: 132, size: 3, pad: 1 });
      return variant.usable(gpu) ? expectSame(gpu, (of) => forwardAndBack(of, make, 36)) : undefined;
    },
  );

  const layers: [string, (gpu: Gpu) => Layer, number][] = [
    ['batch normalisation', (gpu) => batchNorm(gpu, 'n', 130), 130],
    ['bias', (gpu) => bias(gpu, 'b', 130), 130],
    ['ReLU', () => relu(), 8],
    ['maximum', () => maxPool({ size: 2 }), 40],
    ['mean', () => adaptivePool(4, 4), 40],
    ['flatten', () => flatten(), 5],
  ];
  it.each(layers)('%s, forward and back', (_, make, channels) =>
    expectSame(opened(), (gpu) => forwardAndBack(gpu, make, channels)),
  );

  it.each(['sgd', 'adam'] as OptimizerName[])('steps of %s', (optimizer) =>
    expectSame(opened(), async (gpu) => {
      const layer = linear(gpu, 'l', 60, 20);
      const options = { optimizer, learningRate: 0.1, momentum: 0.9, weightDecay: 0.01 };
      const moves = createOptimizer(gpu, layer.parameters, options);
      const next = normals(3);
      const [{ value, gradient }] = layer.parameters;
      for (const matrix of [value, gradient])
        write(
          gpu,
          matrix,
          Float64Array.from({ length: 1200 }, () => next()),
        );
      expect(layer.outputShape(flatShape(60)).channels).toBe(20);
      await runBatch(gpu, (batch) => moves.step(batch));
      const bytes = await downloadBytes(gpu, value.buffer, 0, value.rows * value.stride * 4);
      moves.release();
      release(gpu, value, gradient);
      return [new Float32Array(bytes)];
    }),
  );

  /** Kernels of the benchmarks, and of adapters with matrix units. */
  const ABSENT = /^(bench_\w+|gemm_nt_subgroup_matrix)\.wgsl$/;
  /** What a row of workgroups takes is stated for them, and rows are all there is: a parameter says where a part begins. */
  const ROWS_ALONE =
    /^(residual|gemv|gemv_packed|kernel_sums_packed|coordinate_gradients|pivot_candidates|pivot_columns|trsm_panel_\w+)\.wgsl$/;

  afterAll(() => {
    const placed = [...opened().pipelines.keys()].filter((code) => code.includes('placeInGrid'));
    const { lanes, adapter } = opened();
    const paths = readdirSync('shaders', { recursive: true, encoding: 'utf8' }).filter((path) =>
      path.endsWith('.wgsl'),
    );
    const untried = paths.filter((path) => {
      const { text } = readWgsl(resolve('shaders', path));
      const at = text.indexOf('fn main(');
      const counts = at >= 0 && /@builtin\((workgroup_id|global_invocation_id)/.test(text);
      if (!counts || ABSENT.test(basename(path)) || ROWS_ALONE.test(basename(path))) return false;
      const body = text.slice(text.indexOf(') {', at) + 3);
      return !placed.some((code) => code.includes(body));
    });
    const missing = untried.map((path) => basename(path));
    // The kernel for gradients by weights runs where subgroups have eight lanes and more, on a CPU.
    const fewLanes = lanes < 8 || adapter.type === 'hardware' ? ['convolution_weights.wgsl'] : [];
    const packs = usableVariants(opened(), GEMM).some(({ name }) => name === 'packed');
    const unused = [
      ...fewLanes,
      ...(packs ? [] : ['convolution_packed.wgsl', 'gemm_nt_packed.wgsl', 'pack_columns.wgsl', 'pack_rows.wgsl']),
    ];
    expect(missing.filter((file) => !unused.includes(file))).toEqual([]);
  });
});
