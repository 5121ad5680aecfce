import { describe, expect, it } from 'vitest';
import { CONVOLUTION, convolution } from '../../src/nn/convolution.js';
import { agopGram } from '../../src/ops/agop/agop.js';
import { philoxFill } from '../../src/ops/features/features.js';
import { keptTexels, type Texels, takesTexels } from '../../src/ops/gemm/gemm-packed.js';
import { gemv } from '../../src/ops/gemm/gemv.js';
import { kernelSums } from '../../src/ops/kernel-matrix/kernel-sums.js';
import { laplace } from '../../src/ops/kernels/laplace.js';
import { residual } from '../../src/ops/solve/residual.js';
import { pivotedCholesky } from '../../src/ops/sqrt-psd/sqrt-psd.js';
import { asTriangle, releasePanels } from '../../src/ops/tiles.js';
import type { DeepRfmData } from '../../src/rfm/deep-rfm.js';
import { deepRfm, planOf } from '../../src/rfm/deep-rfm.js';
import type { DeepRfmOptions } from '../../src/rfm/options.js';
import { DISPATCH_SECONDS } from '../../src/runtime/division.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { download, release } from '../../src/runtime/matrix.js';
import type { Pass } from '../../src/runtime/profile.js';
import { createProfile } from '../../src/runtime/timing.js';
import { normalImages, numbers, passThrough } from '../nn/support.js';
import { compute, poisonedColumns, put, putColumns, putRows, readColumns, useGpu, VARIANTS } from '../support/gpu.js';
import { collapsedRows, dense, normalMatrix, productNT, squaredDistance } from '../support/reference.js';

const opened = useGpu();

/** The same device, taken for one of so many operations a second. It keeps the times of its dispatches. */
function slowed(gpu: Gpu, flops: number): Gpu {
  const slow: Gpu = { ...gpu, rate: { flops } };
  slow.profile = createProfile(slow);
  return slow;
}

/** Runs `work` undivided, with a row of workgroups a dispatch, and with a few; all must give the same. */
async function expectSame<T>(gpu: Gpu, kernels: readonly string[], work: (gpu: Gpu) => Promise<T>): Promise<void> {
  const whole = await work(gpu);
  for (const flops of [1, 4e6]) {
    const slow = slowed(gpu, flops);
    expect(await work(slow)).toEqual(whole);
    const passes = (slow.profile?.passes ?? []).filter(({ kernel }) => kernels.includes(kernel));
    expect(new Set(passes.map(({ kernel }) => kernel))).toEqual(new Set(kernels));
    if (flops === 1) expect(passes.every(({ share }) => share?.rows === 1)).toBe(true);
  }
}

describe('the result does not depend on how a dispatch is divided', () => {
  it('residual', () =>
    expectSame(opened(), ['residual'], async (gpu) => {
      const [n, outputs] = [67, 11];
      const x = collapsedRows(n, 9, 3, 0.1, 1);
      const squared = dense(n, n, (i, j) => squaredDistance(x, i, x, j));
      const [high, low] = [put(gpu, squared), put(gpu, normalMatrix(n, n, 2))];
      const [alpha, rest, y] = [3, 4, 5].map((seed) => putColumns(gpu, normalMatrix(outputs, n, seed), n));
      const out = poisonedColumns(gpu, outputs, y);
      const kept = [[{ squared: high, low }]];
      const system = { x: alpha, kernel: laplace(2), kept };
      await residual(gpu, { system, ridge: 1e-3, y }, { high: alpha, low: rest }, out);
      const found = await readColumns(gpu, out);
      releasePanels(gpu, alpha, rest, y, out);
      release(gpu, high, low);
      return found;
    }));

  it.each(['gemv', 'gemv_packed'])('%s', (kernel) => {
    const asTexels = kernel === 'gemv_packed';
    if (asTexels && !takesTexels(opened())) return undefined;
    return expectSame(opened(), [kernel], async (gpu) => {
      const [n, inputs] = [100, [normalMatrix(100, 100, 1), normalMatrix(5, 100, 2)]];
      const kept: Texels[] = [];
      const found = await compute(gpu, inputs, [[5, n]], (batch, [a, x], [out]) => {
        const texels = asTexels ? keptTexels(batch, a) : null;
        if (texels) kept.push(texels);
        gemv(batch, { a, x, out, texels: texels && { ...texels, row: 0, col: 0 } });
      });
      for (const { texture } of kept) gpu.pool.giveTexture(texture);
      return found;
    });
  });

  it('kernel_sums_packed', () => {
    const inputs = [normalMatrix(100, 20, 1), normalMatrix(70, 20, 2), normalMatrix(3, 70, 3)];
    if (!takesTexels(opened())) return undefined;
    return expectSame(opened(), ['kernel_sums_packed'], (gpu) =>
      compute(
        gpu,
        inputs,
        [
          [100, 3],
          [100, 3],
        ],
        (batch, [rows, centers, alpha], [high, low]) =>
          kernelSums(batch, { rows, centers, alpha, out: { high, low }, accumulate: false }, laplace(3), 1e6),
      ),
    );
  });

  it('gram_weights', () => {
    const separate = { ...opened(), choices: new Map([...opened().choices, ['agop-gram', 'separate']]) };
    return expectSame(separate, ['gram_weights'], async (gpu) => {
      const [n, d, outputs] = [70, 9, 3];
      const rows = putRows(gpu, collapsedRows(n, d, 3, 0.1, 1), n);
      const alpha = putColumns(gpu, normalMatrix(outputs, n, 2), n);
      const half = normalMatrix(n, n, 3);
      const w = put(gpu, productNT(half, half));
      const out = put(gpu, normalMatrix(d, d, 4));
      await agopGram(gpu, { x: rows, alpha, triangle: asTriangle(w) }, out);
      const result = await download(gpu, out);
      releasePanels(gpu, rows, alpha);
      release(gpu, w, out);
      return result;
    });
  });

  it('philox_weights', () =>
    expectSame(opened(), ['philox_weights'], (gpu) =>
      compute(gpu, [], [[37, 131]], (batch, _, [out]) =>
        philoxFill(batch, out, { seed: 7, layer: 2, stream: 0 }, { signed: true, scale: 0.5 }),
      ),
    ));

  it.each(VARIANTS)('pivots, %s', (_, variant) =>
    expectSame(variant(opened()), ['pivot_candidates', 'pivot_columns'], async (gpu) => {
      const half = normalMatrix(70, 70, 1);
      const m = put(gpu, productNT(half, half));
      const { l, rank } = await pivotedCholesky(gpu, m, 1e-6);
      const found = await download(gpu, l);
      release(gpu, m, l);
      return { rank, found };
    }),
  );

  it.each(CONVOLUTION.variants.map((variant) => [variant.name, variant] as const))(
    'convolutions and their gradients, %s',
    (name, variant) => {
      const gpu = { ...opened(), choices: new Map([[CONVOLUTION.op, name]]) };
      if (!variant.usable(gpu)) return;
      const weights = gpu.lanes >= 8 && gpu.adapter.type === 'software';
      const implicit = ['convolution_subgroup', ...(weights ? ['convolution_weights'] : [])];
      const kernels = name === 'packed' ? ['convolution_packed'] : name === 'implicit' ? implicit : [];
      return expectSame(gpu, kernels, async (gpu) => {
        const layer = convolution(gpu, 'conv', { inputs: 4, outputs: 40, size: 3, pad: 1 });
        const x = normalImages(3, { channels: 4, height: 9, width: 7 }, 1);
        const dy = normalImages(3, layer.outputShape(x.shape), 2);
        const [{ value, gradient }] = layer.parameters;
        gpu.device.queue.writeBuffer(value.buffer, 0, new Float32Array(value.rows * value.stride).fill(0.25));
        const passed = await passThrough(gpu, layer, x, dy);
        const found = { ...passed, gradient: await numbers(gpu, gradient) };
        release(gpu, value, gradient);
        return found;
      });
    },
  );
});

/**
 * Kernels that state no work, with the reason in division.ts: passes that touch each number of their operands a few
 * times, and single workgroups of bounded work.
 */
const PASSES =
  /^(copy_scaled|subtract_row|symmetrize|relu|scaled_cos|divide_by|divide_by_root|add_diagonal|add_scaled|subtract_column|add_row|transpose|pack_rows|pack_columns|split_rows|normalize_rows|row_lengths|gather_rows|kernel_values|kernel_excess|kernel_weights|gradient_coefficients|argument_rounding|smallest_positive|largest_magnitude|group_means(?:_scaled)?|group_scatter|add_to_pair|symmetrize_pair|block_squares|diagonal|pivot_rows|max_row_sum|mirror_lower)$/;
const SINGLE = /^(potrf_block|pivot_factor|neural_collapse|diagonal_maximum)$/;

describe('every dispatch of a layer', () => {
  const TILE = 2 ** 12;
  const [n, d, classes] = [130, 16, 3];
  const x = Float32Array.from(collapsedRows(n, d, classes, 1, 5).data);
  const labels = Int32Array.from({ length: n }, (_, i) => Math.floor((i * classes) / n));
  const rows = { x, labels, rows: n, cols: d };
  const data: DeepRfmData = { train: rows, test: rows, classes };
  const base: DeepRfmOptions = {
    depth: 1,
    activation: 'relu',
    width: d,
    gamma: 0.1,
    seed: 3,
    agop: 'gram',
    agopSamples: 0,
    solver: 'cholesky',
    gramLayers: [],
  };
  const cases: [string, Partial<DeepRfmOptions>][] = [
    ['Cholesky, Gram form', {}],
    ['Cholesky in host memory, Jacobians', { solver: 'cholesky-host', agop: 'jacobian', agopSamples: 20 }],
    ['conjugate gradients after Nyström, cosines', { solver: 'conjugate-gradients', activation: 'cos' }],
  ];

  it.each(cases)('is within the limit or a single row, and none else grows with n: %s', async (_, change) => {
    const config = { ...base, ...change };
    const run = async (gpu: Gpu) => {
      gpu.tileBytes = TILE;
      const plan = planOf(gpu, data, config);
      const solve = plan.solve.method === 'conjugate-gradients' ? { ...plan.solve, landmarks: 24 } : plan.solve;
      const { layers } = await deepRfm(gpu, data, config, { plan: { ...plan, solve } });
      return layers.map(({ seconds: _, ...rest }) => rest);
    };
    const whole = await run({ ...opened() });
    const slow = slowed(opened(), 4e5);
    expect(await run(slow)).toEqual(whole);
    const passes = slow.profile?.passes ?? [];
    const stated = passes.filter((pass): pass is Pass & { share: { rows: number; seconds: number } } => !!pass.share);
    for (const { kernel, share } of stated) {
      expect(share.rows === 1 || share.seconds <= DISPATCH_SECONDS, `${kernel}, ${share.seconds} s`).toBe(true);
    }
    for (const { kernel, bytes, share } of passes) {
      if (share || SINGLE.test(kernel)) continue;
      expect(kernel).toMatch(PASSES);
      // Five matrices of a tile; n × n numbers are 16 times as many as one has.
      expect(bytes, kernel).toBeLessThanOrEqual(5 * TILE);
    }
  });
});
