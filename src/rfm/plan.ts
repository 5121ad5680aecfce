/**
 * What a layer will hold on the device, and how it will be computed, before anything is allocated. Sizes are those of
 * the pool (`pooledSize`); a phase's matrices are counted as if all lived at once where they may.
 */

import { type Phrase, RfmError, say, the } from '../errors.js';
import { type AgopPath, type AgopPlan, agopBytes, gramIsCheaper } from '../ops/agop/agop.js';
import { copyBytes, type FactorCopies, texelBytes, transposedCopies } from '../ops/gemm/factor-copies.js';
import { copiesFactors, copiesSmallFactors } from '../ops/gemm/gemm-variants.js';
import { EXACT_COLUMNS } from '../ops/kernel-matrix/pair-distances.js';
import { kernelEntriesBytes } from '../ops/solve/kernel-entries.js';
import { SOLVE_COLUMNS, type SolvePlan, solveBytes } from '../ops/solve/solve.js';
import { rootBytes } from '../ops/sqrt-psd/sqrt-psd.js';
import { collapseBytes } from '../ops/statistics/collapse.js';
import { largestTile, type NamedBytes, type TiledSize } from '../ops/tiled-size.js';
import { columnBytes, cut, type RowGrid, rowBytes, tileCount, tileRows, triangleBytes } from '../ops/tiles.js';
import type { Gpu } from '../runtime/gpu.js';
import { matrixBytes, strideOf } from '../runtime/matrix.js';
import type { Solver } from './types.js';

/** What a plan must know of a device. */
export interface DeviceLimits extends FactorCopies {
  /** Largest binding of a storage buffer, and largest buffer, in bytes. */
  bindingBytes: number;
  bufferBytes: number;
  /** Most bytes of a tile. */
  tileBytes: number;
  /** Bytes that may be used; null where nothing is known. */
  memoryBytes: number | null;
}

/** Of the memory of the machine that a software adapter may fill. */
const HOST_SHARE = 0.8;

/**
 * An open device. WebGPU does not tell a device's memory: where the user sets no limit, a software adapter has the
 * machine's, and of hardware nothing is known.
 */
export function limitsOf(gpu: Gpu, memoryLimit: number | null): DeviceLimits {
  const memory = gpu.adapter.type === 'software' ? gpu.platform.memoryBytes() : null;
  const machine = memory === null ? null : Math.floor(HOST_SHARE * memory);
  return {
    bindingBytes: gpu.limits.maxStorageBufferBindingSize,
    bufferBytes: gpu.limits.maxBufferSize,
    tileBytes: gpu.tileBytes,
    memoryBytes: memoryLimit ?? machine,
    textureSide: copiesFactors(gpu) ? gpu.limits.maxTextureDimension2D : null,
    copiesSmall: copiesSmallFactors(gpu),
  };
}

/** Cuts matrices and bounds memory on the device as the plan says; returns the function that undoes it. */
export function adopt(gpu: Gpu, plan: RunPlan, memoryLimit: number | null): () => void {
  const { tileBytes } = gpu;
  gpu.tileBytes = plan.tileBytes;
  gpu.pool.limit({ soft: plan.peakBytes, hard: memoryLimit ?? Number.POSITIVE_INFINITY });
  return () => {
    gpu.tileBytes = tileBytes;
    gpu.pool.limit({ soft: Number.POSITIVE_INFINITY, hard: Number.POSITIVE_INFINITY });
  };
}

/** Sizes of a run. */
export interface ProblemSize {
  n: number;
  testN: number;
  d: number;
  outputs: number;
  /** Of the random features; 0: as many as the layer's input. */
  width: number;
  /** Whether the features are cosines, whose weights the host draws. Default false. */
  cosine?: boolean;
  agop: AgopPath | 'auto';
  /** Rows whose Jacobians are summed; null: all. */
  agopSamples: number | null;
  solver: Solver;
  /** What the classic RFM holds beside, or a single layer on arrays. Default: nothing. */
  holds?: 'metric' | 'layer';
  /** Of the AGOP only the diagonal is computed, and M is diagonal. Default: false. */
  diagonal?: boolean;
  /** With one factor. Default: few. */
  solves?: 'few' | 'many';
  /** Distances are by coordinates: tiles of rows are transposed for them. Default: false. */
  coordinates?: boolean;
}

export type PlanPhase = 'rows' | 'solve' | 'predict' | 'agop' | 'sqrt' | 'features';

/** A large object: its bytes, and the phases in which it lives. */
export interface PlanItem extends NamedBytes {
  phases: readonly PlanPhase[];
}

export interface LayerPlan {
  grid: RowGrid;
  tileBytes: number;
  solve: SolvePlan;
  /** Whether squared distances stay on the device between their uses. */
  keepDistances: boolean;
  /** Whether the AGOP may be computed in Gram space, as far as memory goes. */
  gram: boolean;
  /** Whether the rows wait in host memory while the square root is computed. */
  parkRows: boolean;
}

export interface RunPlan extends LayerPlan {
  items: PlanItem[];
  /** Bytes of each phase, and the largest of them. */
  phases: Record<PlanPhase, number>;
  peakBytes: number;
}

export const PLAN_PHASES: readonly PlanPhase[] = ['rows', 'solve', 'predict', 'agop', 'sqrt', 'features'];

/** Rows of a Gram picture at most: it is drawn at a few hundred pixels, and its matrix is one tile. */
export const PICTURE_ROWS = 2048;

/** Landmarks of the preconditioner, best first. */
const LANDMARKS = [2048, 1024, 512, 256];

const ALL_BUT_SQRT: readonly PlanPhase[] = ['rows', 'solve', 'predict', 'agop', 'features'];

/** The large objects of a layer computed in this way. */
function itemsOf(size: ProblemSize, device: DeviceLimits, plan: LayerPlan): PlanItem[] {
  const tiled = { grid: plan.grid, d: Math.max(size.d, size.width), outputs: size.outputs, copies: device };
  const { solve, keepDistances } = plan;
  const inSolve = solveBytes(tiled, solve, keepDistances, size.solves).map((item) => ({
    ...item,
    phases: ['solve'] as const,
  }));
  const items: PlanItem[] = [
    ...rowItems(size, plan, tiled),
    ...columnItems(tiled),
    ...distanceItems(plan, tiled),
    ...predictItems(size, plan, tiled),
    ...inSolve,
    ...agopItems(size, plan, tiled),
    ...featureItems(size, tiled),
    ...coordinateItems(size, tiled),
    ...exactItems(size, tiled),
  ];
  return items.filter(({ bytes, phases }) => bytes > 0 && phases.length > 0);
}

/** Bytes of the test rows; they are cut as the training rows are. */
const testBytes = (testN: number, { grid, d }: TiledSize): number =>
  testN > 0 ? rowBytes(cut(testN, largestTile(grid)), d) : 0;

/** Tiles of rows, transposed, and the rows whose gradients are computed. */
function coordinateItems({ coordinates = false }: ProblemSize, { grid, d }: TiledSize): PlanItem[] {
  if (!coordinates) return [];
  const tile = largestTile(grid);
  const bytes = matrixBytes(d, tile) + matrixBytes(tile, d);
  return [{ name: 'rows by coordinates', bytes, phases: ['rows', 'solve', 'predict', 'agop'] }];
}

/** Rows transposed, and α in two floats, where distances with all digits turn out to be needed. */
function exactItems({ coordinates = false }: ProblemSize, { grid, d, outputs }: TiledSize): PlanItem[] {
  const tile = largestTile(grid);
  // Later rows may have fewer columns.
  const rows = coordinates ? 0 : matrixBytes(Math.min(d, EXACT_COLUMNS), tile);
  const bytes = rows + 2 * matrixBytes(outputs, tile);
  return [{ name: 'rows transposed, coefficients in two parts', bytes, phases: ['solve', 'predict'] }];
}

/** Bytes of a d × d matrix; none where M is diagonal. */
const metricBytes = ({ diagonal = false }: ProblemSize, d: number): number =>
  diagonal ? matrixBytes(1, d) : matrixBytes(d, d);

function rowItems(size: ProblemSize, { parkRows }: LayerPlan, tiled: TiledSize): PlanItem[] {
  const { testN, holds } = size;
  const x = rowBytes(tiled.grid, tiled.d);
  const test = testBytes(testN, tiled);
  const phases = parkRows ? ALL_BUT_SQRT : PLAN_PHASES;
  const items: PlanItem[] = [
    { name: 'training rows', bytes: x, phases },
    { name: 'test rows', bytes: test, phases },
    { name: 'rows before their lengths are divided out', bytes: Math.max(x, test), phases: ['rows'] },
  ];
  if (holds !== 'metric') return items;
  return [
    ...items,
    { name: 'rows after the root of the metric', bytes: x, phases: PLAN_PHASES },
    { name: 'metric, its root', bytes: 2 * metricBytes(size, tiled.d), phases: PLAN_PHASES },
    { name: 'test rows after the root of the metric', bytes: test, phases: ['predict'] },
  ];
}

function columnItems({ grid, outputs }: TiledSize): PlanItem[] {
  const y = columnBytes(grid, outputs);
  return [
    { name: 'targets, coefficients, residuals', bytes: SOLVE_COLUMNS * y, phases: ['solve'] },
    { name: 'targets', bytes: y, phases: ['rows', 'sqrt', 'features'] },
    { name: 'targets and coefficients', bytes: 2 * y, phases: ['predict', 'agop'] },
  ];
}

function distanceItems({ keepDistances }: LayerPlan, { grid }: TiledSize): PlanItem[] {
  if (!keepDistances) return [];
  const bytes = triangleBytes(grid);
  return [
    {
      name: 'squared distances',
      bytes,
      phases: ['solve', 'predict', ...(tileCount(grid) > 1 ? (['agop'] as const) : [])],
    },
    { name: 'their low parts', bytes, phases: ['solve'] },
  ];
}

function predictItems({ testN }: ProblemSize, { keepDistances }: LayerPlan, tiled: TiledSize): PlanItem[] {
  const { grid, d, outputs, copies } = tiled;
  const entries: PlanItem = {
    name: 'kernel values of a tile, their sums over classes',
    bytes: kernelEntriesBytes(tiled, keepDistances),
    phases: ['predict'],
  };
  if (testN === 0) return [entries];
  const tile = largestTile(grid);
  const testTile = Math.min(testN, tile);
  const products = Math.max(copyBytes(copies, testTile, tile, d), copyBytes(copies, outputs, testTile, tile));
  return [
    entries,
    { name: 'predictions', bytes: 2 * columnBytes(cut(testN, tile), outputs), phases: ['predict'] },
    {
      name: 'kernel values, copies of factors',
      bytes: 2 * matrixBytes(testTile, tile) + products,
      phases: ['predict'],
    },
  ];
}

function agopItems(size: ProblemSize, plan: LayerPlan, tiled: TiledSize): PlanItem[] {
  const { d, copies } = tiled;
  const metric = metricBytes(size, d);
  const how = { tileBytes: plan.tileBytes, stored: plan.keepDistances && tileCount(plan.grid) === 1 };
  const items: PlanItem[] = [
    { name: 'AGOP and its low part', bytes: 2 * metric, phases: ['agop'] },
    { ...agopBytes(tiled, agopPlanOf(size, plan), how), phases: ['agop'] },
  ];
  if (size.diagonal) return items;
  return [
    ...items,
    {
      name: 'factor of the AGOP and polar iterates',
      bytes: rootBytes(d) + transposedCopies(copies) * metric + copyBytes(copies, d, d, d),
      phases: ['sqrt'],
    },
  ];
}

/** What of a plan says how the AGOP is computed. */
export const agopPlanOf = ({ agop, agopSamples }: ProblemSize, { gram }: LayerPlan): AgopPlan => ({
  agop,
  gram,
  samples: agopSamples,
});

function featureItems(size: ProblemSize, tiled: TiledSize): PlanItem[] {
  const { n, testN, d: inputs, width, holds } = size;
  // An estimator has no features.
  if (size.diagonal !== undefined) return [];
  const { grid, d, outputs, copies } = tiled;
  const wide = width || inputs;
  const tile = largestTile(grid);
  const projected = rowBytes(grid, d) + rowBytes(grid, wide) + testBytes(testN, tiled);
  const means = 3 * (collapseBytes(outputs, d, tileCount(grid)) + copyBytes(copies, outputs, outputs, d));
  const values = 2 * matrixBytes(tile, tile) + copyBytes(copies, tile, tile, d);
  const pictured = Math.min(n, PICTURE_ROWS);
  const shown = texelBytes(copies.textureSide, pictured, d);
  const picture = 2 * matrixBytes(pictured, d) + matrixBytes(pictured, pictured) + shown.texture + shown.staging;
  const atWork = Math.max(matrixBytes(tile, wide) + copyBytes(copies, tile, d, d), picture);
  const phases = ['features'] as const;
  return [
    { name: 'square root, weights of the features', bytes: 2 * matrixBytes(d, d), phases },
    { name: 'rows after the square root, features', bytes: projected, phases },
    { name: 'class means of three stages', bytes: means, phases },
    { name: 'kernel values', bytes: holds === 'layer' ? values : 0, phases },
    { name: 'tiles at work, Gram picture', bytes: atWork, phases },
  ];
}

/** Sums of the items. */
function summed(items: PlanItem[]): Pick<RunPlan, 'items' | 'phases' | 'peakBytes'> {
  const phases = Object.fromEntries(
    PLAN_PHASES.map((phase) => [
      phase,
      items.reduce((sum, item) => sum + (item.phases.includes(phase) ? item.bytes : 0), 0),
    ]),
  ) as Record<PlanPhase, number>;
  return { items, phases, peakBytes: Math.max(...Object.values(phases)) };
}

/** Every way to compute a layer, fastest first. */
function* ways(size: ProblemSize, device: DeviceLimits): Generator<LayerPlan> {
  const widest = Math.max(size.d, size.width);
  const wantsGram = size.agop !== 'jacobian' && size.agopSamples === null;
  const cheaper =
    gramIsCheaper(size.n, size.d, size.outputs) || gramIsCheaper(size.n, size.width || size.d, size.outputs);
  const solvers: { solve: SolvePlan; keepDistances: boolean }[] = [
    { solve: { method: 'cholesky' }, keepDistances: true },
    { solve: { method: 'cholesky' }, keepDistances: false },
    { solve: { method: 'cholesky-host' }, keepDistances: false },
    ...LANDMARKS.map((landmarks) => ({
      solve: { method: 'conjugate-gradients' as const, landmarks: Math.min(landmarks, size.n) },
      keepDistances: false,
    })),
  ];
  const chosen = solvers.filter(({ solve }) => size.solver === 'auto' || solve.method === size.solver);
  const automatic = wantsGram && cheaper ? [true, false] : [false];
  const forms = size.agop === 'gram' ? [true] : automatic;
  for (const solver of chosen) {
    // Small tiles cost more than what else there is to save.
    for (const share of [1, 1 / 4, 1 / 16]) {
      const tileBytes = device.tileBytes * share;
      const rows = tileRows(tileBytes, Math.min(device.bindingBytes, device.bufferBytes), widest);
      if (rows === 0) continue;
      const panel = size.outputs * strideOf(Math.min(rows, size.n)) * 4;
      for (const gram of forms) {
        // Coefficients, and for the Gram form three rows for each output, are panels of all outputs.
        if ((gram ? 3 : 1) * panel > Math.min(device.bindingBytes, device.bufferBytes)) continue;
        for (const parkRows of [false, true]) {
          yield { ...solver, gram, parkRows, tileBytes, grid: cut(size.n, rows) };
        }
      }
    }
  }
}

/**
 * How to compute layers of this size within the device's memory: the fastest way that fits.
 * @throws doesNotFit if none does.
 */
export function planRun(size: ProblemSize, device: DeviceLimits): RunPlan {
  let least: RunPlan | null = null;
  refuseMetric(size, device);
  for (const way of ways(size, device)) {
    const plan = { ...way, ...summed(itemsOf(size, device, way)) };
    if (device.memoryBytes === null || plan.peakBytes <= device.memoryBytes) return plan;
    if (least === null || plan.peakBytes < least.peakBytes) least = plan;
  }
  if (!least) {
    throw new RfmError(
      'doesNotFit',
      `${size.outputs} outputs of 32 rows are more than this adapter binds, ${Math.min(device.bindingBytes, device.bufferBytes)} bytes; use fewer outputs`,
    );
  }
  const limit = device.memoryBytes ?? 0;
  const needed = least.peakBytes;
  throw new RfmError(
    'doesNotFit',
    `n = ${size.n} with ${Math.max(size.d, size.width)} features needs at least ${needed} bytes of device memory, the limit is ${limit}`,
    whatFits(size, device),
  );
}

/** The d × d matrices and the gradients at a row, outputs × d, are not cut into tiles. */
function refuseMetric(size: ProblemSize, device: DeviceLimits): void {
  const d = Math.max(size.d, size.width);
  const needed = d * strideOf(d) * 4;
  const most = Math.min(device.bindingBytes, device.bufferBytes);
  const gradients = size.outputs * strideOf(d) * 4;
  if (gradients > most) {
    throw new RfmError(
      'doesNotFit',
      `${size.outputs} outputs and ${d} features make gradients of ${gradients} bytes at a row, this adapter binds at most ${most}`,
      say`use fewer outputs, or a smaller ${the.width}`,
    );
  }
  if (needed > most && !size.diagonal) {
    throw new RfmError(
      'doesNotFit',
      `${d} features make an AGOP of ${needed} bytes, this adapter binds at most ${most}`,
      say`use ${size.diagonal === undefined ? say`a smaller ${the.width}` : say`${the.metricForm} diagonal`}, or data with at most ${Math.floor(Math.sqrt(most / 4))} features`,
    );
  }
}

/** Whether some way to compute layers of this size fits within the device's memory. */
export function isPlannable(size: ProblemSize, device: DeviceLimits): boolean {
  for (const way of ways(size, device)) {
    if (device.memoryBytes === null || summed(itemsOf(size, device, way)).peakBytes <= device.memoryBytes) return true;
  }
  return false;
}

/** The largest n that would fit, or what else to change. */
function whatFits(size: ProblemSize, device: DeviceLimits): Phrase {
  const fits = (n: number): boolean => isPlannable({ ...size, n, testN: Math.min(size.testN, n) }, device);
  let [low, high] = [0, size.n];
  while (high - low > Math.max(1, low / 100)) {
    const middle = Math.floor((low + high) / 2);
    if (fits(middle)) low = middle;
    else high = middle;
  }
  if (low < 2) return say`no ${the.n} would fit: use a larger ${the.memoryLimit}, or data with fewer features`;
  return size.diagonal === undefined
    ? say`${the.n} ${low} would fit, or use a larger ${the.memoryLimit}`
    : say`${low} rows would fit: give fewer, or use a larger ${the.memoryLimit}`;
}
