import { addRow, divideByRoot } from '../ops/elementwise/elementwise.js';
import {
  applyFeatures,
  type FeatureMap,
  type FeatureWeights,
  featureMap,
  meanRounding,
} from '../ops/features/features.js';
import { gemm } from '../ops/gemm/gemm.js';
import { topEigenvalues } from '../ops/sqrt-psd/eigenvalues.js';
import { diagonalMaximum, pivotedCholesky, RANK_TOLERANCE, rootOfFactor } from '../ops/sqrt-psd/sqrt-psd.js';
import { allocateCollapse, type Collapse, collapseTraces, readCollapse } from '../ops/statistics/collapse.js';
import { allocateRows, type Rows, releasePanels } from '../ops/tiles.js';
import { sendBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, download, type Matrix, release } from '../runtime/matrix.js';
import { owning } from '../runtime/owning.js';
import type { Agop, AgopRequest } from './agop.js';
import type { LayerContext } from './context.js';
import { accuracy } from './fit.js';
import type { Body } from './layer-body.js';
import type { LayerMetrics } from './types.js';

const TOP_EIGENVALUES = 16;

/** The square root of an AGOP. Release it. */
export interface AgopRoot {
  /** R = (M / max M)^{1/2}, d × d. */
  root: Matrix;
  rank: number;
  /** Largest eigenvalues of M / max M, descending. */
  topEigenvalues: number[];
}

/** The root of the AGOP, whose matrix is released. */
export const agopRoot = ({ gpu: outer, clock }: LayerContext, { matrix }: Agop): Promise<AgopRoot> =>
  owning(outer, async (gpu, keep) => {
    const { root, rank } = await clock.phase('sqrt', async () => {
      const maximum = allocate(gpu, 1, 1);
      await sendBatch(gpu, (batch) => diagonalMaximum(batch, matrix.high, maximum));
      const factor = await pivotedCholesky(gpu, matrix, RANK_TOLERANCE);
      release(gpu, matrix.high, matrix.low);
      const unscaled = await rootOfFactor(gpu, factor);
      const scaled = allocate(gpu, unscaled.rows, unscaled.cols);
      await sendBatch(gpu, (batch) => divideByRoot(batch, unscaled, maximum, scaled));
      release(gpu, unscaled, maximum, factor.l);
      return { root: keep(scaled), rank: factor.rank };
    });
    const values = await clock.phase('metrics', () => topEigenvalues(gpu, root, TOP_EIGENVALUES));
    return { root, rank, topEigenvalues: values };
  });

/** What rows go through after the AGOP. */
export interface OutputRequest {
  root: Matrix;
  weights: FeatureWeights;
  /** φ = √(2/width) cos(· + phase), else ReLU. */
  cosine: boolean;
  /** First row of each class, then n. */
  starts: readonly number[];
  /** 1 × d: added to every row of X M^{1/2}, with no effect on the metrics, which are those of X M^{1/2}. */
  shift: Matrix | null;
}

/** Rows after M^{1/2}, and after the random features. Release them. */
export interface Projected {
  /** n × d, X M^{1/2} (+ shift). */
  mx: Rows;
  /** n × width, φ(mx Wᵀ). */
  features: Rows;
}

export interface LayerOutput extends Projected {
  map: FeatureMap;
  /** Features of the further rows; null without. */
  others: Rows | null;
  metrics: Pick<LayerMetrics, 'nc1' | 'nc2' | 'argumentRounding'>;
}

/**
 * The random features of a layer: φ(W M^{1/2} X) for the rows x, and for `others`, such as test rows; NC1 and NC2 at the
 * three stages.
 * @throws input error where rounding leaves cosines no digits.
 */
export const layerOutput = (
  { gpu: outer, clock }: LayerContext,
  x: Rows,
  others: Rows | null,
  request: OutputRequest,
): Promise<LayerOutput> =>
  owning(outer, async (gpu, keep) => {
    const { root, weights, cosine, starts, shift } = request;
    const project = (rows: Rows, map: FeatureMap) =>
      clock.phase('features', () => projectRows(gpu, rows, { root, map, shift }));
    const map = await clock.phase('features', () => featureMap(gpu, root.rows, weights, cosine));
    const { mx, turned, features, rounding } = await project(x, map);
    const other = others && (await project(others, map));
    if (other) releasePanels(gpu, other.mx);
    const stages = await clock.phase('metrics', () => stageMetrics(gpu, { input: x, agop: turned, features }, starts));
    keep([map.w, map.phase, mx, features, other?.features]);
    return {
      map,
      mx,
      features,
      others: other?.features ?? null,
      metrics: { ...stages, ...(map.phase && { argumentRounding: rounding }) },
    };
  });

/** What rows become: `turned`: X M^{1/2}; `rounding`: how much rounding changes cosines on average, 0 for ReLU. */
export const projectRows = (
  outer: Gpu,
  x: Rows,
  { root, map, shift }: { root: Matrix; map: FeatureMap; shift: Matrix | null },
): Promise<Projected & { turned: Rows; rounding: number }> =>
  owning(outer, async (gpu, keep) => {
    const found = map.phase ? x.tiles.map((tile) => allocate(gpu, 1, tile.rows)) : [];
    const turned = keep(allocateRows(gpu, x.grid, root.cols));
    const mx = shift ? keep(allocateRows(gpu, x.grid, root.cols)) : turned;
    const features = keep(allocateRows(gpu, x.grid, map.w.rows));
    for (const [i, tile] of x.tiles.entries()) {
      await sendBatch(gpu, (batch) => {
        gemm(batch, { a: tile, b: root, out: turned.tiles[i] });
        if (shift) addRow(batch, turned.tiles[i], shift, mx.tiles[i]);
        applyFeatures(batch, mx.tiles[i], map, features.tiles[i], found[i]);
      });
    }
    const roundings: number[] = [];
    for (const matrix of found) roundings.push(...(await download(gpu, matrix)));
    return { mx, turned, features, rounding: map.phase ? meanRounding(roundings, map.w.rows) : 0 };
  });

/** NC1 and NC2 of rows in class order, NaN where not defined; starts: first row of each (non-empty) class, then the number of rows. */
export const neuralCollapse = async (gpu: Gpu, x: Rows, starts: readonly number[]): Promise<Collapse> =>
  (await collapseOf(gpu, [x], starts))[0];

/** Of several sets of rows: all are sent before any is read back, one after the other, as they have one scope. */
const collapseOf = (outer: Gpu, all: readonly Rows[], starts: readonly number[]): Promise<Collapse[]> =>
  owning(outer, async (gpu) => {
    const sent = all.map((rows) => ({ rows, results: allocateCollapse(gpu) }));
    for (const { rows, results } of sent) {
      await sendBatch(gpu, (batch) => collapseTraces(batch, rows, starts, results));
    }
    const found: Collapse[] = [];
    for (const { results } of sent) found.push(await readCollapse(gpu, results));
    return found;
  });

/** NC1 and NC2 at the three stages of a layer. */
async function stageMetrics(
  gpu: Gpu,
  stages: { input: Rows; agop: Rows; features: Rows },
  starts: readonly number[],
): Promise<Pick<LayerMetrics, 'nc1' | 'nc2'>> {
  const [input, agop, features] = await collapseOf(gpu, [stages.input, stages.agop, stages.features], starts);
  return {
    nc1: { input: input.nc1, agop: agop.nc1, features: features.nc1 },
    nc2: { input: input.nc2, agop: agop.nc2, features: features.nc2 },
  };
}

/** What of a layer's metrics is measured elsewhere. */
export interface Measured {
  layer: number;
  /** In class order. */
  labels: Int32Array;
  testAccuracy: number | null;
  deadRows: LayerMetrics['deadRows'];
}

export const metricsOf = (
  { layer, labels, testAccuracy, deadRows }: Measured,
  body: Pick<Body<unknown, AgopRequest>, 'trainScores' | 'solve' | 'kernel' | 'agop'>,
  { rank, topEigenvalues }: AgopRoot,
  { metrics: { nc1, nc2, ...rounding } }: LayerOutput,
  seconds: LayerMetrics['seconds'],
): LayerMetrics => ({
  layer,
  nc1,
  nc2,
  trainAccuracy: accuracy(body.trainScores, labels),
  testAccuracy,
  deadRows,
  solve: body.solve,
  kernel: body.kernel,
  agop: { ...body.agop.report, rank, topEigenvalues },
  ...rounding,
  seconds,
});
