import mirrorLowerSource from '../../../shaders/cholesky/mirror_lower.wgsl';
import potrfBlockSource from '../../../shaders/cholesky/potrf_block.wgsl';
import potrfBlockSubgroupSource from '../../../shaders/cholesky/potrf_block_subgroup.wgsl';
import potrfBlockWorkgroupSource from '../../../shaders/cholesky/potrf_block_workgroup.wgsl';
import potrfFactorSource from '../../../shaders/cholesky/potrf_factor.wgsl';
import trsmPanelSource from '../../../shaders/cholesky/trsm_panel_subgroup.wgsl';
import trsmPanelWorkgroupSource from '../../../shaders/cholesky/trsm_panel_workgroup.wgsl';
import { type Batch, ceilDiv } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import type { LooseKernel } from '../../runtime/kernel.js';
import { block, type Matrix, type View } from '../../runtime/matrix.js';
import { isHardware, type Operation, type Variant } from '../../runtime/variants.js';
import { copyScaled } from '../elementwise/elementwise.js';
import { transpose } from '../elementwise/transpose.js';
import { gemm, syrk } from '../gemm/gemm.js';

/** Columns factored at a time. */
export const BLOCK = 32;
/**
 * Columns of a panel, within which kernels of their own take blocks off each other. With 64, 128, 256 and 512 of them the
 * time at n = 1000 on lavapipe was 0.58, 0.54, 0.5 and 0.6 of that by halves down to blocks, at n = 2048 0.79, 0.78, 0.69, 0.68.
 */
const PANEL = 256;

/** A = L Lᵀ. */
export interface CholeskyFactor {
  /** n × n: L in the lower half, Lᵀ in the upper. Shares its buffer with the matrix that was factored. */
  readonly l: Matrix;
  /** n × BLOCK: the inverses of L's diagonal blocks, and their transposes. */
  readonly inverses: Matrix;
  readonly inversesT: Matrix;
  /** One u32: the first pivot (from 1) that was not positive and finite, or 0. */
  readonly info: Matrix;
}

export type Direction = 'forward' | 'backward';

export interface CholeskyVariant extends Variant {
  /** Factors factor.l in place. */
  record(batch: Batch, factor: CholeskyFactor): void;
}

export interface TrsmVariant extends Variant {
  /** See `trsm`. */
  record(batch: Batch, factor: CholeskyFactor, b: View, out: View, direction: Direction): void;
}

/** The first half of `count` numbers, in whole units. */
const firstHalf = (count: number, unit: number): number => Math.ceil(count / 2 / unit) * unit;

/** The size × size block of a strip of inverses; the strip's columns beyond it are zero. */
const leading = (strip: Matrix, start: number, size: number): View => ({
  ...block(strip, start, 0, size, BLOCK),
  cols: size,
});

const potrfBlock: LooseKernel = { name: 'potrf_block', source: [potrfFactorSource, potrfBlockSource] };
const potrfBlockSubgroup: LooseKernel = { name: 'potrf_block', source: [potrfFactorSource, potrfBlockSubgroupSource] };
const potrfBlockWorkgroup: LooseKernel = { name: 'potrf_block', source: potrfBlockWorkgroupSource };

/** Who works on a block of a panel: subgroups, which pass rows on between their lanes, or workgroups, through their memory. */
type Sharing = 'subgroups' | 'workgroups';

/** Factors a diagonal block; with `sharing` after what columns known … start − 1 take off it was taken off it. */
function factorDiagonal(
  batch: Batch,
  factor: CholeskyFactor,
  start: number,
  size: number,
  known = start,
  sharing?: Sharing,
): void {
  const { l, inverses, inversesT, info } = factor;
  const kernels = {
    subgroups: { ...potrfBlockSubgroup, constants: { LANES: batch.gpu.lanes } },
    workgroups: { ...potrfBlockWorkgroup, constants: { UNROLLED: isHardware(batch.gpu) } },
  };
  const kernel = sharing ? kernels[sharing] : potrfBlock;
  batch.dispatchLoose(
    kernel,
    [l, inverses, inversesT, info],
    [start, size, l.stride, l.offset, inverses.stride, known],
    [1],
  );
}

/** Factors columns start … start + size − 1, all rows below included, and copies them to the upper half. */
function factorBlock(batch: Batch, factor: CholeskyFactor, start: number, size: number): void {
  const { l, inverses } = factor;
  factorDiagonal(batch, factor, start, size);
  const below = l.rows - start - size;
  if (below === 0) return;
  // L21 = A21 L11⁻ᵀ; it has a buffer of its own, since a kernel may not read what it writes.
  const panel = batch.scratch(l.rows, size, 'panel');
  const own = { ...panel, rows: below };
  gemm(batch, { a: block(l, start + size, start, below, size), b: leading(inverses, start, size), out: own });
  copyScaled(batch, own, block(l, start + size, start, below, size));
  transpose(batch, own, block(l, start, start + size, size, below));
}

/** Columns middle … middle + right − 1 and all rows from there on lose what columns first … middle − 1 take off them. */
function takeOff(batch: Batch, { l }: CholeskyFactor, first: number, middle: number, right: number): void {
  const below = l.rows - middle;
  const rest = block(l, middle, middle, below, right);
  const a = block(l, middle, first, below, middle - first);
  const b = block(l, middle, first, right, middle - first);
  syrk(batch, { a, b, out: rest, addend: rest, scale: -1 }, 'lower');
}

/**
 * Columns first … first + count − 1, all rows below included: the left half, its product taken off the right half, the
 * right half, so that most products have a long inner side. At most `unit` columns are factored by `factor`.
 */
function byHalves(
  batch: Batch,
  factor: CholeskyFactor,
  unit: number,
  columns: (first: number, count: number) => void,
  first: number,
  count: number,
): void {
  if (count <= unit) {
    columns(first, count);
    return;
  }
  const left = firstHalf(count, unit);
  byHalves(batch, factor, unit, columns, first, left);
  takeOff(batch, factor, first, first + left, count - left);
  byHalves(batch, factor, unit, columns, first + left, count - left);
}

/** Kernels that pass rows on between lanes. */
const hasLanes = ({ lanes }: Gpu): boolean => lanes >= 4 && lanes <= 32;

/** The starts of blocks of count numbers from first on. */
const blocksOf = (first: number, count: number): number[] =>
  Array.from({ length: ceilDiv(count, BLOCK) }, (_, i) => first + i * BLOCK);

/** Unknowns start … of X Lᵀ = B, given unknowns known … known + count − 1; see trsm_panel_subgroup.wgsl. */
function solveBlock(
  batch: Batch,
  operands: { x: View; b: View; l: Matrix; inverses: Matrix; inPlace: boolean },
  start: number,
  known: number,
  count: number,
): void {
  const { x, b, l, inverses, inPlace } = operands;
  const { lanes } = batch.gpu;
  const size = Math.min(BLOCK, l.rows - start);
  batch.dispatchLoose(
    { name: 'trsm_panel', source: trsmPanelSource, constants: { LANES: lanes, IN_PLACE: inPlace } },
    // In place all is in the first; the others are not read.
    [x, inverses, ...(inPlace ? [inverses, inverses] : [b, l])],
    [
      x.rows,
      l.rows,
      start,
      size,
      known,
      count,
      x.stride,
      x.offset,
      b.stride,
      b.offset,
      l.stride,
      l.offset,
      inverses.stride,
      0,
    ],
    [ceilDiv(x.rows, 2 * lanes)],
    { flops: 2 * lanes * 2 * size * (count + size), first: 13 },
  );
}

/** Invocations of trsm_panel_workgroup.wgsl share so many right-hand sides. */
const SIDES = 32;
/** Blocks from the bottom up. */
const UPWARDS = 0x10000;

/**
 * The same for `blocks` blocks one after the other, from `start` on down or up: known are the panel's unknowns from
 * `known` on, `count` of them where it goes up; see trsm_panel_workgroup.wgsl.
 */
function solveBlocks(
  batch: Batch,
  operands: { x: View; b: View; l: Matrix; inverses: Matrix; inPlace: boolean },
  { start, end, known, count }: { start: number; end: number; known: number; count: number },
  blocks: number,
  direction: Direction,
): void {
  const { x, b, l, inverses, inPlace } = operands;
  batch.dispatchLoose(
    {
      name: 'trsm_panel',
      source: trsmPanelWorkgroupSource,
      constants: { IN_PLACE: inPlace, UNROLLED: isHardware(batch.gpu) },
    },
    [x, inverses, ...(inPlace ? [inverses, inverses] : [b, l])],
    [
      x.rows,
      l.rows,
      start,
      end,
      known,
      count,
      x.stride,
      x.offset,
      b.stride,
      b.offset,
      l.stride,
      l.offset,
      inverses.stride,
      0,
      blocks + (direction === 'backward' ? UPWARDS : 0),
    ],
    [ceilDiv(x.rows, SIDES)],
    { flops: SIDES * 2 * BLOCK * (count + BLOCK) * blocks, first: 13 },
  );
}

/**
 * By halves down to panels of 256 columns, in which two kernels go from block to block: one takes off a diagonal block
 * what the panel's earlier columns take off it, and factors it; the other does the same to the rows below and multiplies
 * them with the inverse, in place. The upper half is filled at the end.
 */
function factorByPanels(batch: Batch, factor: CholeskyFactor, sharing: Sharing): void {
  const { l, inverses } = factor;
  const columns = (first: number, count: number): void => {
    for (const start of blocksOf(first, count)) {
      const size = Math.min(BLOCK, first + count - start);
      factorDiagonal(batch, factor, start, size, first, sharing);
      const below = l.rows - start - size;
      if (below === 0) continue;
      const x = { ...l, rows: below, offset: l.offset + (start + size) * l.stride };
      const operands = { x, b: x, l, inverses, inPlace: true };
      const known = start - first;
      if (sharing === 'subgroups') solveBlock(batch, operands, start, first, known);
      else solveBlocks(batch, operands, { start, end: start + size, known: first, count: known }, 1, 'forward');
    }
  };
  byHalves(batch, factor, PANEL, columns, 0, l.rows);
  const side = ceilDiv(ceilDiv(l.rows, 4), 8);
  batch.dispatchLoose(
    { name: 'mirror_lower', source: mirrorLowerSource },
    [l],
    [l.rows, l.stride / 4, l.offset / 4],
    [side, side],
  );
}

const panels: CholeskyVariant = {
  name: 'panels',
  usable: hasLanes,
  suits: (gpu) => !isHardware(gpu),
  record: (batch, factor) => factorByPanels(batch, factor, 'subgroups'),
};

const panelsWorkgroup: CholeskyVariant = {
  name: 'panels-workgroup',
  usable: () => true,
  suits: isHardware,
  record: (batch, factor) => factorByPanels(batch, factor, 'workgroups'),
};

/** By halves down to blocks of 32 columns. */
const recursive: CholeskyVariant = {
  name: 'recursive',
  usable: () => true,
  record: (batch, factor) =>
    byHalves(batch, factor, BLOCK, (first, count) => factorBlock(batch, factor, first, count), 0, factor.l.rows),
};

/** Blocks of 32 columns, each taken off all that follows at once: the inner side of every product is 32. */
const rightLooking: CholeskyVariant = {
  name: 'right-looking',
  usable: () => true,
  suits: () => false,
  record(batch, factor) {
    const n = factor.l.rows;
    for (const start of blocksOf(0, n)) {
      const size = Math.min(BLOCK, n - start);
      factorBlock(batch, factor, start, size);
      if (start + size < n) takeOff(batch, factor, start, start + size, n - start - size);
    }
  },
};

/** A = L Lᵀ. */
export const CHOLESKY: Operation<CholeskyVariant> = {
  op: 'cholesky',
  variants: [panels, panelsWorkgroup, recursive, rightLooking],
};

/** Unknowns by halves: those of the half that comes first, what they take off the other, the other. */
function substitute(
  batch: Batch,
  factor: CholeskyFactor,
  b: View,
  out: View,
  direction: Direction,
  unit: number,
  unknowns: (first: number, count: number) => void,
  first: number,
  count: number,
): void {
  if (count <= unit) {
    unknowns(first, count);
    return;
  }
  const { l } = factor;
  const m = b.rows;
  const middle = first + firstHalf(count, unit);
  const halves = [
    { start: first, size: middle - first },
    { start: middle, size: first + count - middle },
  ];
  if (direction === 'backward') halves.reverse();
  const [known, open] = halves;
  substitute(batch, factor, b, out, direction, unit, unknowns, known.start, known.size);
  const rest = block(b, 0, open.start, m, open.size);
  gemm(batch, {
    a: block(out, 0, known.start, m, known.size),
    b: block(l, open.start, known.start, open.size, known.size),
    out: rest,
    addend: rest,
    scale: -1,
  });
  substitute(batch, factor, b, out, direction, unit, unknowns, open.start, open.size);
}

/** By halves down to blocks of 32 unknowns, each a product with an inverse. */
const recursiveTrsm: TrsmVariant = {
  name: 'recursive',
  usable: () => true,
  record(batch, factor, b, out, direction) {
    const strip = direction === 'forward' ? factor.inverses : factor.inversesT;
    const unknowns = (first: number, count: number): void =>
      gemm(batch, {
        a: block(b, 0, first, b.rows, count),
        b: leading(strip, first, count),
        out: block(out, 0, first, b.rows, count),
      });
    substitute(batch, factor, b, out, direction, BLOCK, unknowns, 0, factor.l.rows);
  },
};

/** By halves down to panels of 256 unknowns, in which one kernel goes from block to block. */
function solveByPanels(
  batch: Batch,
  factor: CholeskyFactor,
  b: View,
  out: View,
  direction: Direction,
  sharing: Sharing,
): void {
  const { l } = factor;
  const forward = direction === 'forward';
  const operands = { x: out, b, l, inverses: forward ? factor.inverses : factor.inversesT, inPlace: false };
  const unknowns = (first: number, count: number): void => {
    const starts = blocksOf(first, count);
    if (!forward) starts.reverse();
    const end = first + count;
    if (sharing === 'workgroups') {
      const range = { start: starts[0], end, known: first, count };
      solveBlocks(batch, operands, range, starts.length, direction);
      return;
    }
    for (const start of starts) {
      const after = Math.min(start + BLOCK, end);
      if (forward) solveBlock(batch, operands, start, first, start - first);
      else solveBlock(batch, operands, start, after, end - after);
    }
  };
  substitute(batch, factor, b, out, direction, PANEL, unknowns, 0, l.rows);
}

const panelsTrsm: TrsmVariant = {
  name: 'panels',
  usable: hasLanes,
  suits: (gpu) => !isHardware(gpu),
  record: (batch, factor, b, out, direction) => solveByPanels(batch, factor, b, out, direction, 'subgroups'),
};

const panelsWorkgroupTrsm: TrsmVariant = {
  name: 'panels-workgroup',
  usable: () => true,
  suits: isHardware,
  record: (batch, factor, b, out, direction) => solveByPanels(batch, factor, b, out, direction, 'workgroups'),
};

/** L Y = B or Lᵀ Y = B. */
export const TRSM: Operation<TrsmVariant> = { op: 'trsm', variants: [panelsTrsm, panelsWorkgroupTrsm, recursiveTrsm] };
