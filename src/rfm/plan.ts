/**
 * What a layer will hold on the device, and how it will be computed, before anything is allocated. Sizes are those of
 * the pool (`pooledSize`); a phase's matrices are counted as if all lived at once where they may.
 */

import { type Phrase, RfmError, say, the } from '../errors.js';
import type { AgopPath } from '../ops/agop/agop.js';
import { CANCELLATION_ROWS, gramIsCheaper } from '../ops/agop/agop.js';
import { classRows, gradientRows, squaresRows } from '../ops/agop/agop-jacobian.js';
import { inversesBytes } from '../ops/cholesky/cholesky.js';
import { texelLayout } from '../ops/gemm/gemm-packed.js';
import { copiesFactors, copiesSmallFactors } from '../ops/gemm/gemm-variants.js';
import type { SolvePlan } from '../ops/solve/solve.js';
import { rootBytes } from '../ops/sqrt-psd/sqrt-psd.js';
import { collapseBytes } from '../ops/statistics/collapse.js';
import { cut, type RowGrid, tileCount, tileRows } from '../ops/tiles.js';
import type { Gpu } from '../runtime/gpu.js';
import { matrixBytes as bytes, strideOf } from '../runtime/matrix.js';
import { pooledSize, pooledTexture, textureBytes } from '../runtime/pool.js';
import type { Solver } from './types.js';

/** What a plan must know of a device. */
export interface DeviceLimits {
  /** Largest binding of a storage buffer, and largest buffer, in bytes. */
  bindingBytes: number;
  bufferBytes: number;
  /** Most bytes of a tile. */
  tileBytes: number;
  /** Bytes that may be used; null where nothing is known. */
  memoryBytes: number | null;
  /** Where products read their factors from textures, the largest texture's side; else null. */
  textureSide: number | null;
  /** Whether small products do so, too. Default false. */
  copiesSmall?: boolean;
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
}

export type PlanPhase = 'rows' | 'solve' | 'predict' | 'agop' | 'sqrt' | 'features';

/** A large object: its bytes, and the phases in which it lives. */
export interface PlanItem {
  name: string;
  bytes: number;
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

/** Bytes of the copy of a product's factor, and of the buffer it is made in. */
function texelBytes(side: number | null, rows: number, k: number): { texture: number; staging: number } {
  if (side === null || rows === 0 || k === 0) return { texture: 0, staging: 0 };
  const { width, height } = texelLayout(side, rows, k);
  const texture = pooledTexture(width, height, side);
  return { texture: textureBytes(texture), staging: pooledSize(width * height * 16) };
}

/** Below these, products are small ones (`productOperation`), whatever their other sides. */
const [SMALL_RESULT, SMALL_SUM] = [24, 64];

/** Bytes of the copies of a product's two factors, (m × k)(n × k)ᵀ. */
function copies({ textureSide, copiesSmall }: DeviceLimits, m: number, n: number, k: number): number {
  if (!copiesSmall && (Math.min(m, n) < SMALL_RESULT || k < SMALL_SUM)) return 0;
  const [a, b] = [texelBytes(textureSide, m, k), texelBytes(textureSide, n, k)];
  return a.texture + b.texture + Math.max(a.staging, b.staging);
}

/** Tiles of full length, how long they are, and the length of the last, which may be shorter. */
function lengths({ n, starts }: RowGrid): { full: number; size: number; last: number } {
  const full = starts.length - 2;
  return { full, size: starts[1], last: n - starts[full] };
}

function triangleBytes(grid: RowGrid): number {
  const { full, size, last } = lengths(grid);
  return ((full * (full + 1)) / 2) * bytes(size, size) + full * bytes(last, size) + bytes(last, last);
}

function rowBytes(grid: RowGrid, cols: number): number {
  const { full, size, last } = lengths(grid);
  return full * bytes(size, cols) + bytes(last, cols);
}

/** Bytes of outputs × n, cut as the grid says. */
function columnBytes(grid: RowGrid, outputs: number): number {
  const { full, size, last } = lengths(grid);
  return full * bytes(outputs, size) + bytes(outputs, last);
}

/** Bytes that the collapse metrics of three stages hold for `classes`. */
function classBytes(device: DeviceLimits, grid: RowGrid, classes: number, d: number): number {
  return 3 * (collapseBytes(classes, d, tileCount(grid)) + copies(device, classes, classes, d));
}

/** The large objects of a layer computed in this way. */
function itemsOf(size: ProblemSize, device: DeviceLimits, plan: LayerPlan): PlanItem[] {
  const { n, testN, outputs, width } = size;
  const { textureSide: side } = device;
  const { grid } = plan;
  const d = Math.max(size.d, width);
  const wide = width || size.d;
  const tile = Math.min(n, grid.starts[1]);
  const square = bytes(tile, tile);
  const metric = bytes(d, d);
  const panel = bytes(d, tile);
  const x = rowBytes(grid, d);
  const test = testN > 0 ? rowBytes(cut(testN, tile), d) : 0;
  const items: PlanItem[] = [];
  const add = (name: string, size: number, ...phases: PlanPhase[]): void => {
    if (size > 0 && phases.length > 0) items.push({ name, bytes: size, phases });
  };
  add(
    'training rows',
    x,
    'rows',
    'solve',
    'predict',
    'agop',
    ...(plan.parkRows ? [] : (['sqrt'] as const)),
    'features',
  );
  add('test rows', test, 'rows', 'solve', 'predict', 'agop', ...(plan.parkRows ? [] : (['sqrt'] as const)), 'features');
  add('rows before their lengths are divided out', Math.max(x, test), 'rows');
  if (size.holds === 'metric') {
    add('rows after the root of the metric', x, ...PLAN_PHASES);
    add('metric, its root', 2 * metric, ...PLAN_PHASES);
    add('test rows after the root of the metric', test, 'predict');
  }
  const y = columnBytes(grid, outputs);
  add('targets, coefficients, residuals', 10 * y, 'solve');
  add('targets', y, 'rows', 'sqrt', 'features');
  // A single layer gives its coefficients back at the end.
  add('coefficients', y, ...(size.holds === 'layer' ? (['sqrt', 'features'] as const) : []));
  add('targets and coefficients', 2 * y, 'predict', 'agop');
  const triangle = triangleBytes(grid);
  if (plan.keepDistances) {
    add('squared distances', triangle, 'solve', 'predict', ...(tileCount(grid) > 1 ? (['agop'] as const) : []));
    add('their low parts', triangle, 'solve');
  }
  const product = copies(device, tile, tile, d);
  if (testN > 0) {
    const testTile = Math.min(testN, tile);
    add('predictions', 2 * columnBytes(cut(testN, tile), outputs), 'predict');
    add(
      'kernel values, copies of factors',
      2 * bytes(testTile, tile) + Math.max(copies(device, testTile, tile, d), copies(device, outputs, testTile, tile)),
      'predict',
    );
  }
  // Kernels that read factors as they are need them row by row: one whose columns are summed over is copied first.
  // So are those of products with a short side, which are too small for copies as texels.
  const transposed = side === null ? 1 : 0;
  const small = transposed || Math.min(d, outputs, tile) < SMALL_SUM ? 1 : 0;
  // Then the weights of all pairs are stored for either form of the AGOP.
  const stored = plan.keepDistances && tileCount(grid) === 1;
  if (plan.solve.method === 'conjugate-gradients') {
    const rank = plan.solve.landmarks;
    add('preconditioner', rowBytes(grid, rank) + bytes(rank, rank) + 2 * bytes(rank, 32), 'solve');
    add('right-hand sides by landmarks', 4 * bytes(outputs, rank), 'solve');
    add(
      'tiles of the kernel matrix, copies of factors',
      Math.max(
        // Products with few outputs transpose a tile, others copy it.
        3 * square + product + copies(device, outputs, tile, tile),
        4 * bytes(rank, rank) + bytes(rank, d) + copies(device, rank, rank, d),
        2 * bytes(tile, rank) + 2 * bytes(rank, rank) + bytes(rank, d) + copies(device, tile, rank, Math.max(d, rank)),
      ),
      'solve',
    );
  } else {
    if (plan.solve.method === 'cholesky') add('factor', triangle, 'solve');
    add('inverses of diagonal blocks', inversesBytes(n), 'solve');
    // Tiles being made, what earlier columns take off them, and panels of 32 columns below a tile's diagonal.
    const resident = plan.solve.method === 'cholesky' ? 2 : 4;
    const made = resident * square + square / 2 + (plan.keepDistances ? 0 : square);
    const residual = (plan.keepDistances ? 0 : 2 * square) + (tileCount(grid) > 1 ? 2 * square : 0);
    add(
      'tiles at work, copies of factors',
      Math.max(
        (tileCount(grid) > 1 ? made : square / 2) + copies(device, Math.max(tile, outputs), tile, Math.max(d, tile)),
        residual + product,
      ),
      'solve',
    );
  }
  add('AGOP and its low part', 2 * metric, 'agop');
  const rows = gradientRows(plan.tileBytes, n, tile, d, outputs);
  // Their coefficients are made class by class, those of the rows at which the cancellation is estimated at once.
  const ofClass = Math.max(classRows(n, outputs, rows), Math.min(rows, CANCELLATION_ROWS));
  const [columns, columnsOfClass] = [rows * outputs, ofClass * outputs];
  const stacked = texelBytes(side, d, columns);
  const squared = squaresRows(outputs, rows) * outputs;
  // What is scratch by its shape is there twice where the last tile is shorter.
  const shapes = grid.starts.length > 2 && n - grid.starts[grid.starts.length - 2] !== tile ? 2 : 1;
  const jacobian =
    shapes * bytes(columnsOfClass, tile) +
    bytes(columns, d) +
    tileCount(grid) * bytes(rows, tile) +
    rows * bytes(outputs, 4) +
    2 * panel +
    (size.agopSamples === null ? 0 : bytes(squared, squared) + copies(device, squared, squared, d)) +
    (stored ? square : shapes * bytes(ofClass, tile) + bytes(rows, d) + copies(device, ofClass, tile, d)) +
    copies(device, d, columnsOfClass, tile) +
    stacked.texture +
    stacked.staging +
    small * shapes * panel +
    small * bytes(d, columns);
  // Where the Gram form is asked for, whatever cancels, it may need two parts of both factors of each product.
  const parts = size.agop === 'gram' ? (tileCount(grid) > 1 ? 6 : 4) * square + 4 * panel : 0;
  const gram =
    triangle +
    (4 + 2 * transposed) * square +
    10 * panel +
    parts +
    3 * y +
    3 * bytes(outputs, tile) +
    copies(device, Math.max(tile, d, outputs), Math.max(tile, d), tile);
  const path = plan.gram && size.agop !== 'jacobian' && size.agopSamples === null;
  add(path ? 'weights and tiles of Q, or gradients' : 'gradients', path ? Math.max(gram, jacobian) : jacobian, 'agop');
  add('factor of the AGOP and polar iterates', rootBytes(d) + transposed * metric + copies(device, d, d, d), 'sqrt');
  add('square root, weights of the features', 2 * metric, 'features');
  add('rows after the square root, features', x + rowBytes(grid, wide) + test, 'features');
  const pictured = Math.min(n, PICTURE_ROWS);
  const shown = texelBytes(side, pictured, d);
  const picture = 2 * bytes(pictured, d) + bytes(pictured, pictured) + shown.texture + shown.staging;
  add('class means of three stages', classBytes(device, grid, outputs, d), 'features');
  if (size.holds === 'layer') add('kernel values', 2 * square + product, 'features');
  add('tiles at work, Gram picture', Math.max(bytes(tile, wide) + copies(device, tile, d, d), picture), 'features');
  return items;
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
  if (needed > most) {
    throw new RfmError(
      'doesNotFit',
      `${d} features make an AGOP of ${needed} bytes, this adapter binds at most ${most}`,
      say`use a smaller ${the.width}, or data with at most ${Math.floor(Math.sqrt(most / 4))} features`,
    );
  }
}

/** The largest n that would fit, or what else to change. */
function whatFits(size: ProblemSize, device: DeviceLimits): Phrase {
  const fits = (n: number): boolean => {
    const smaller = { ...size, n, testN: Math.min(size.testN, n) };
    for (const way of ways(smaller, device)) {
      if (summed(itemsOf(smaller, device, way)).peakBytes <= (device.memoryBytes ?? 0)) return true;
    }
    return false;
  };
  let [low, high] = [0, size.n];
  while (high - low > Math.max(1, low / 100)) {
    const middle = Math.floor((low + high) / 2);
    if (fits(middle)) low = middle;
    else high = middle;
  }
  return low >= 2
    ? say`${the.n} ${low} would fit, or use a larger ${the.memoryLimit}`
    : say`no ${the.n} would fit: use a larger ${the.memoryLimit}, or data with fewer features`;
}
