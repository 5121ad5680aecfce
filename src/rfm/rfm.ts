import { RfmError } from '../errors.js';
import type { Numbers } from '../numbers.js';
import { copyScaled, divideByRoot } from '../ops/elementwise/elementwise.js';
import { gemm, gemmNN, syrkTN } from '../ops/gemm/gemm.js';
import { transposeHost } from '../ops/host-rows.js';
import { type RadialKernel, refuseCoordinates } from '../ops/kernels/kernel.js';
import { diagonalMaximum, factorRows, zeroAgop } from '../ops/sqrt-psd/sqrt-psd.js';
import { rowLengths } from '../ops/statistics/statistics.js';
import { allocateRows, type Columns, cut, type RowGrid, type Rows, uploadColumns, uploadRows } from '../ops/tiles.js';
import { sendBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, download, type Matrix, release, upload } from '../runtime/matrix.js';
import { owning } from '../runtime/owning.js';
import { enter } from '../runtime/timing.js';
import type { Agop, AgopRequest } from './agop.js';
import { createClock, type LayerContext } from './context.js';
import type { FittedKernel } from './fit.js';
import { type KeepRfm, keptAlpha } from './kept.js';
import { type Body, layerBody } from './layer-body.js';
import type { MetricFactor } from './metric.js';
import { type RfmOptions, rfmOptions } from './options.js';
import { adopt, limitsOf, planRun } from './plan.js';
import { predict } from './predictions.js';
import { centred, refuseLostDifferences, scaledTargets } from './rows.js';
import type { KernelReport, LayerMetrics, RfmResult } from './types.js';

/** Numbers in host memory, row-major; rows are used as they are, neither normalised nor standardised. */
export interface RfmInput {
  /** n × d. */
  x: Numbers;
  n: number;
  d: number;
  /** n × outputs. */
  y: Numbers;
  outputs: number;
  /** testRows × d. */
  testX: Numbers | null;
  testRows: number;
  /** The M of the first fit, d × d, as `factorMetric` gives it. Default: null, which stands for I. */
  metric?: MetricFactor | null;
}

/**
 * Classic Recursive Feature Machine (Radhakrishnan et al., arXiv 2212.13881): starting from M = I,
 * or from a given metric, each iteration fits kernel ridge regression with distances ‖x − z‖_M and sets M to the AGOP of
 * the fit over its largest entry; a last fit with the final M gives α and the predictions. Without iterations that is kernel ridge
 * regression with the first M.
 *
 * With M = FᵀF, ‖x − z‖_M is the plain distance of the rows Fx, and the gradient through M is Fᵀ times the gradient in
 * those rows: M ← Fᵀ · AGOP(XFᵀ) · F, so every operation of a Deep RFM layer serves here. With AGOP = GᵀG the next F
 * is G F. No root of M is needed: F has a row for each eigenvalue that counts, and the digits that a root in float32 lacks
 * (rows 50 bandwidths apart: M off by 1.5e-4 with a root, by 8e-6 without).
 *
 * Nothing but differences of rows enters, in bandwidths, and α is linear in the targets: so origin and unit of both are
 * taken out in float64 before.
 */
export async function rfm(
  gpu: Gpu,
  input: RfmInput,
  given: RfmOptions = {},
  onIteration: (iteration: number) => void = () => {},
  keep: KeepRfm | null = null,
): Promise<RfmResult> {
  const options = rfmOptions(given);
  refuseCoordinates(options.kernel, 'rfm');
  const { n, d, outputs } = input;
  const size = { n, testN: input.testRows, d, outputs, width: 0, agopSamples: null } as const;
  const plan = planRun({ ...size, agop: 'auto', solver: 'auto', holds: 'metric' }, limitsOf(gpu, null));
  const restore = adopt(gpu, plan, null);
  let iteration = 1;
  const clock = createClock(gpu, (phase) => enter(gpu, iteration, phase));
  try {
    return await owning(gpu, async (scope) => {
      const context = { gpu: scope, plan, clock };
      const problem = uploaded(scope, plan.grid, input, options);
      const solves: LayerMetrics['solve'][] = [];
      const kernels: KernelReport[] = [];
      const iterations: RfmResult['iterations'] = [];
      // M = I at first, the rows themselves, unless a metric is given.
      const given = input.metric ?? null;
      let factor: Matrix | null = given && upload(scope, given.rank, d, given.factor);
      let start: Start = given ? withMetricUnit(problem, given.unit) : { ...problem, metricUnit: 1 };
      for (; iteration <= options.iterations; iteration++) {
        const { body, found }: Learned<AgopRequest> = await learn(context, start, factor, {
          agop: start.agop,
          report: iteration > 1,
        });
        solves.push(body.solve);
        kernels.push(body.kernel);
        if (found) iterations.push(found);
        const next: Matrix = await nextFactor(scope, body.agop, factor);
        if (factor) release(scope, factor);
        factor = next;
        start = { ...problem, metricUnit: 1 };
        onIteration(iteration);
      }
      const { body, found } = await learn(context, start, factor, { agop: null, report: true, keep });
      if (!found) throw new RfmError('internal', 'rfm: the last fit gave no metric');
      const alpha = problem.inUnits(transposeHost(body.coefficients, outputs, n));
      return {
        ...found,
        alpha,
        solves: [...solves, body.solve],
        kernels: [...kernels, body.kernel],
        iterations: options.iterations > 0 ? [...iterations, found] : [],
      };
    });
  } finally {
    restore();
  }
}

/** What the iterations start from, on the device. */
interface Problem {
  x: Rows;
  y: Columns;
  test: Rows | null;
  kernel: RadialKernel;
  ridge: number;
  agop: AgopRequest;
  targetUnit: number;
  /** What the rows were relative to, and their unit. */
  mean: Float64Array;
  unit: number;
  /** Takes numbers in the unit of the targets. */
  inUnits(values: Numbers): Float64Array;
}

function uploaded(
  gpu: Gpu,
  grid: RowGrid,
  { x, n, d, y, outputs, testX, testRows }: RfmInput,
  { kernel, ridge }: Required<RfmOptions>,
): Problem {
  const rows = { x, rows: n, cols: d };
  const { train, test, mean, unit } = centred(rows, testX && { x: testX, rows: testRows, cols: d });
  refuseLostDifferences(rows, train, kernel);
  const targets = scaledTargets(y, ridge);
  return {
    x: uploadRows(gpu, grid, d, train),
    y: uploadColumns(gpu, grid, outputs, transposeHost(targets.y, n, outputs)),
    test: test && uploadRows(gpu, cut(testRows, grid.starts[1]), d, test),
    kernel: kernel.withBandwidth(Math.max(kernel.bandwidth / unit, SMALLEST_BANDWIDTH)),
    ridge,
    agop: { starts: [0, n], agop: 'auto', unit },
    targetUnit: targets.unit,
    ...{ mean, unit },
    inUnits: (values) => Float64Array.from(values, (value) => value * targets.unit),
  };
}

/** What a fit starts from: the metric is metricUnit · FᵀF, and the kernel's bandwidth over √metricUnit. */
interface Start extends Problem {
  metricUnit: number;
}

/** Distances with FᵀF are those with unit · FᵀF over √unit. */
function withMetricUnit(problem: Problem, unit: number): Start {
  const root = Math.sqrt(unit);
  return {
    ...problem,
    metricUnit: unit,
    kernel: problem.kernel.withBandwidth(Math.max(problem.kernel.bandwidth / root, SMALLEST_BANDWIDTH)),
    agop: { ...problem.agop, unit: (problem.agop.unit ?? 1) * root },
  };
}

interface Learned<A extends AgopRequest | null> {
  body: Body<Float64Array | null, A>;
  /** M, and the predictions with it; null where no report was asked for. */
  found: RfmResult['iterations'][number] | null;
}

/** A fit with the metric FᵀF, I where the factor is null. */
const learn = <A extends AgopRequest | null>(
  { gpu: outer, ...how }: LayerContext,
  start: Start,
  factor: Matrix | null,
  { agop, report, keep: keepFit = null }: { agop: A; report: boolean; keep?: KeepRfm | null },
): Promise<Learned<A>> =>
  owning(outer, async (gpu, keep) => {
    const { x: given, y, test, kernel, ridge, targetUnit, inUnits, metricUnit } = start;
    const x = factor ? await timesFactor(gpu, given, factor) : given;
    const reach = 2 * (await longestRow(gpu, x));
    const body = await layerBody(
      { gpu, ...how },
      {
        ...{ x, y, kernel, ridge, targetUnit },
        agop: agop && { ...agop, reach },
        async use(fitted) {
          if (keepFit) await keepFit(gpu, { ...start, ...(await keptAlpha(gpu, fitted)), centers: x, factor });
          return report && test ? inUnits(await predictTest(gpu, test, factor, fitted)) : null;
        },
      },
    );
    keep(body.agop?.matrix);
    const metric = async (): Promise<Float32Array> =>
      factor ? await metricOf(gpu, factor, metricUnit) : identity(given.tiles[0].cols);
    const found = report ? { M: await metric(), predictions: body.used } : null;
    return { body: body as Body<Float64Array | null, A>, found };
  });

function identity(d: number): Float32Array {
  const out = new Float32Array(d * d);
  for (let i = 0; i < d; i++) out[i * d + i] = 1;
  return out;
}

/** Beside rows of size 1 kernel values vanish long before, and its square is within float32. */
const SMALLEST_BANDWIDTH = 1e-15;

/** The largest length of a row. */
export const longestRow = (outer: Gpu, rows: Rows): Promise<number> =>
  owning(outer, async (gpu) => {
    let longest = 0;
    for (const tile of rows.tiles) {
      const lengths = allocate(gpu, 1, tile.rows);
      await sendBatch(gpu, (batch) => rowLengths(batch, tile, lengths));
      longest = (await download(gpu, lengths)).reduce((max, length) => Math.max(max, length), longest);
      release(gpu, lengths);
    }
    return longest;
  });

/** X Fᵀ. Release it. */
export const timesFactor = (outer: Gpu, x: Rows, factor: Matrix): Promise<Rows> =>
  owning(outer, async (gpu, keep) => {
    const out = keep(allocateRows(gpu, x.grid, factor.rows));
    await sendBatch(gpu, (batch) =>
      x.tiles.forEach((tile, i) => void gemm(batch, { a: tile, b: factor, out: out.tiles[i] })),
    );
    return out;
  });

/** G F over the root of the largest entry of (G F)ᵀ G F, for the AGOP GᵀG, whose matrix is released; F = I if null. */
export const nextFactor = (outer: Gpu, { matrix }: Agop, factor: Matrix | null): Promise<Matrix> =>
  owning(outer, async (gpu, keep) => {
    const own = await factorRows(gpu, matrix, FACTOR_TOLERANCE);
    release(gpu, matrix.high, matrix.low);
    if (!own) throw zeroAgop();
    const cols = factor?.cols ?? own.cols;
    const [product, next] = [allocate(gpu, own.rows, cols), allocate(gpu, own.rows, cols)];
    await sendBatch(gpu, (batch) => {
      if (factor) gemmNN(batch, { a: own, b: factor, out: product });
      else copyScaled(batch, own, product);
      const metric = batch.temporary(cols, cols);
      syrkTN(batch, { a: product, out: metric });
      const maximum = batch.temporary(1, 1);
      diagonalMaximum(batch, metric, maximum);
      divideByRoot(batch, product, maximum, next);
    });
    return keep(next);
  });

/** Directions of the AGOP below this share of the largest are dropped: 3e-6 of a distance. */
const FACTOR_TOLERANCE = 1e-11;

/** M = unit · FᵀF, d × d. */
const metricOf = (outer: Gpu, factor: Matrix, unit: number): Promise<Float32Array> =>
  owning(outer, async (gpu) => {
    const m = allocate(gpu, factor.cols, factor.cols);
    await sendBatch(gpu, (batch) => syrkTN(batch, { a: factor, out: m }));
    const values = await download(gpu, m);
    return unit === 1 ? values : values.map((value) => value * unit);
  });

/** Predictions, test rows × outputs, of a fit at the rows X Fᵀ. */
const predictTest = (outer: Gpu, test: Rows, factor: Matrix | null, fitted: FittedKernel): Promise<Float32Array> =>
  owning(outer, async (gpu) => {
    const rows = factor ? await timesFactor(gpu, test, factor) : test;
    const reach = (await longestRow(gpu, rows)) + (await longestRow(gpu, fitted.system.x));
    return predict(gpu, rows, fitted, reach);
  });
