import blockQuadsSource from '../../../shaders/cholesky/block_quads.wgsl';
import mirrorLowerSource from '../../../shaders/cholesky/mirror_lower.wgsl';
import potrfBlockSource from '../../../shaders/cholesky/potrf_block.wgsl';
import potrfBlockSubgroupSource from '../../../shaders/cholesky/potrf_block_subgroup.wgsl';
import potrfBlockWorkgroupSource from '../../../shaders/cholesky/potrf_block_workgroup.wgsl';
import potrfFactorSource from '../../../shaders/cholesky/potrf_factor.wgsl';
import trsmPanelSource from '../../../shaders/cholesky/trsm_panel_subgroup.wgsl';
import trsmPanelWorkgroupSource from '../../../shaders/cholesky/trsm_panel_workgroup.wgsl';
import { type Batch, ceilDiv } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { defineKernel, firstRow, read, readView, readWrite, readWriteView } from '../../runtime/kernel.js';
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

/** The diagonal block of A at (start, start), size × size, of whose rows `inverses` and `inversesT` have as many. */
const potrfBindings = {
  a: readWrite('array<vec4f>'),
  inverses: readWrite('array<vec4f>'),
  inversesT: readWrite('array<vec4f>'),
  info: readWrite('array<u32>'),
};
const potrfParams = { start: 'u32', size: 'u32', stride: 'u32', strideInverse: 'u32' } as const;
// A multiple of BLOCK away from start: the first of the columns that are to be taken off the block.
const potrfPanelParams = { ...potrfParams, firstKnown: 'u32' } as const;

const potrfBlock = defineKernel({
  name: 'potrf_block',
  source: [potrfFactorSource, potrfBlockSource],
  bindings: potrfBindings,
  params: potrfParams,
});
const potrfBlockSubgroup = defineKernel({
  name: 'potrf_block',
  source: [potrfFactorSource, potrfBlockSubgroupSource],
  bindings: potrfBindings,
  params: potrfPanelParams,
  constants: { LANES: 'u32' },
});
const potrfBlockWorkgroup = defineKernel({
  name: 'potrf_block',
  source: [blockQuadsSource, potrfBlockWorkgroupSource],
  bindings: potrfBindings,
  params: potrfPanelParams,
  constants: { UNROLLED: 'bool' },
});

const mirrorLower = defineKernel({
  name: 'mirror_lower',
  source: mirrorLowerSource,
  bindings: { a: readWrite('array<vec4f>') },
  // The stride in vec4.
  params: { n: 'u32', stride: 'u32' },
});

/** Who works on a block of a panel: subgroups, which pass rows on between their lanes, or workgroups, through their memory. */
type Sharing = 'subgroups' | 'workgroups';

/** Of a factor, with columns start … start + size − 1, at most BLOCK. */
interface DiagonalBlock {
  start: number;
  size: number;
}

const potrfOperands = ({ l, inverses, inversesT, info }: CholeskyFactor, { start, size }: DiagonalBlock) => ({
  bindings: { a: l, inverses, inversesT, info },
  params: { start, size, stride: l.stride, strideInverse: inverses.stride },
  grid: [1] as const,
});

/** Factors a diagonal block, after what columns firstKnown … start − 1 take off it was taken off it. */
function factorDiagonal(
  batch: Batch,
  factor: CholeskyFactor,
  diagonal: DiagonalBlock,
  firstKnown: number,
  sharing: Sharing,
): void {
  const { params, ...operands } = potrfOperands(factor, diagonal);
  const call = { ...operands, params: { ...params, firstKnown } };
  if (sharing === 'subgroups') {
    batch.dispatch(potrfBlockSubgroup, { ...call, constants: { LANES: batch.gpu.lanes } });
  } else {
    batch.dispatch(potrfBlockWorkgroup, { ...call, constants: { UNROLLED: isHardware(batch.gpu) } });
  }
}

/** Factors the columns of a diagonal block, all rows below included, and copies them to the upper half. */
function factorBlock(batch: Batch, factor: CholeskyFactor, { start, size }: DiagonalBlock): void {
  const { l, inverses } = factor;
  batch.dispatch(potrfBlock, potrfOperands(factor, { start, size }));
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

/** What is done at once where halves are halved no further: to at most `unit` columns or unknowns. */
interface Leaf {
  unit: number;
  record(first: number, count: number): void;
}

/**
 * Columns first … first + count − 1, all rows below included: the left half, its product taken off the right half, the
 * right half, so that most products have a long inner side.
 */
function byHalves(batch: Batch, factor: CholeskyFactor, leaf: Leaf, first: number, count: number): void {
  if (count <= leaf.unit) {
    leaf.record(first, count);
    return;
  }
  const left = firstHalf(count, leaf.unit);
  byHalves(batch, factor, leaf, first, left);
  takeOff(batch, factor, first, first + left, count - left);
  byHalves(batch, factor, leaf, first + left, count - left);
}

/** Kernels that pass rows on between lanes. */
const hasLanes = ({ lanes }: Gpu): boolean => lanes >= 4 && lanes <= 32;

/** The starts of blocks of count numbers from first on. */
const blocksOf = (first: number, count: number): number[] =>
  Array.from({ length: ceilDiv(count, BLOCK) }, (_, i) => first + i * BLOCK);

const trsmBindings = {
  x: readWriteView('array<vec4f>'),
  inverses: read('array<vec4f>'),
  b: readView('array<vec4f>'),
  l: read('array<vec4f>'),
};
const trsmParams = {
  // Right-hand sides, and rows of L.
  m: 'u32',
  n: 'u32',
  strideX: 'u32',
  offsetX: 'u32',
  strideB: 'u32',
  offsetB: 'u32',
  strideL: 'u32',
  strideInverse: 'u32',
  firstGroup: firstRow(),
} as const;

const trsmPanelSubgroup = defineKernel({
  name: 'trsm_panel',
  source: trsmPanelSource,
  bindings: trsmBindings,
  params: {
    ...trsmParams,
    // Of the block: its first unknown, a multiple of BLOCK, and how many.
    start: 'u32',
    size: 'u32',
    // A multiple of 4, and how many: a multiple of 4, but beyond it X is 0.
    firstKnown: 'u32',
    knownCount: 'u32',
  },
  constants: { LANES: 'u32', IN_PLACE: 'bool' },
});
const trsmPanelWorkgroup = defineKernel({
  name: 'trsm_panel',
  source: [blockQuadsSource, trsmPanelWorkgroupSource],
  bindings: trsmBindings,
  params: {
    ...trsmParams,
    // The unknowns of the panel: from `first` on, those before `end`.
    first: 'u32',
    end: 'u32',
    // The first unknown of the first block, a multiple of BLOCK.
    start: 'u32',
    blocks: 'u32',
    // From the bottom up.
    upwards: 'flag',
  },
  constants: { UNROLLED: 'bool', IN_PLACE: 'bool' },
});

/** Of X Lᵀ = B. In place X, B and L share a buffer: X is the panel below a diagonal block of L, and begins as B. */
interface PanelSystem {
  x: View;
  b: View;
  l: Matrix;
  inverses: Matrix;
  inPlace: boolean;
}

const trsmOperands = ({ x, b, l, inverses, inPlace }: PanelSystem) => ({
  // In place all is in the first; the last two are not read.
  bindings: { x, inverses, ...(inPlace ? { b: inverses, l: inverses } : { b, l }) },
  params: {
    m: x.rows,
    n: l.rows,
    strideX: x.stride,
    offsetX: x.offset,
    strideB: b.stride,
    offsetB: b.offset,
    strideL: l.stride,
    strideInverse: inverses.stride,
  },
});

/** Unknowns start … of X Lᵀ = B, at most BLOCK, given `knownCount` from firstKnown on; see trsm_panel_subgroup.wgsl. */
function solveBlock(
  batch: Batch,
  system: PanelSystem,
  { start, firstKnown, knownCount }: { start: number; firstKnown: number; knownCount: number },
): void {
  const { lanes } = batch.gpu;
  const { bindings, params } = trsmOperands(system);
  const size = Math.min(BLOCK, system.l.rows - start);
  batch.dispatch(trsmPanelSubgroup, {
    bindings,
    params: { ...params, start, size, firstKnown, knownCount },
    constants: { LANES: lanes, IN_PLACE: system.inPlace },
    grid: [ceilDiv(system.x.rows, 2 * lanes)],
    work: { flops: 2 * lanes * 2 * size * (knownCount + size) },
  });
}

/** Invocations of trsm_panel_workgroup.wgsl share so many right-hand sides. */
const SIDES = 32;

/**
 * The same for `blocks` blocks one after the other, from `start` on down or up: known are those of the panel's unknowns
 * first … end − 1 that come before a block; see trsm_panel_workgroup.wgsl.
 */
function solveBlocks(
  batch: Batch,
  system: PanelSystem,
  panel: { first: number; end: number; start: number; blocks: number },
  direction: Direction,
): void {
  const { bindings, params } = trsmOperands(system);
  batch.dispatch(trsmPanelWorkgroup, {
    bindings,
    params: { ...params, ...panel, upwards: direction === 'backward' },
    constants: { UNROLLED: isHardware(batch.gpu), IN_PLACE: system.inPlace },
    grid: [ceilDiv(system.x.rows, SIDES)],
    // A block and what is known before it lie within the panel.
    work: { flops: SIDES * 2 * BLOCK * (panel.end - panel.first) * panel.blocks },
  });
}

/**
 * By halves down to panels of 256 columns, in which two kernels go from block to block: one takes off a diagonal block
 * what the panel's earlier columns take off it, and factors it; the other does the same to the rows below and multiplies
 * them with the inverse, in place. The upper half is filled at the end.
 */
function factorByPanels(batch: Batch, factor: CholeskyFactor, sharing: Sharing): void {
  const { l, inverses } = factor;
  const record = (first: number, count: number): void => {
    for (const start of blocksOf(first, count)) {
      const size = Math.min(BLOCK, first + count - start);
      factorDiagonal(batch, factor, { start, size }, first, sharing);
      const below = l.rows - start - size;
      if (below === 0) continue;
      const x = block(l, start + size, 0, below, l.cols);
      const system = { x, b: x, l, inverses, inPlace: true };
      if (sharing === 'subgroups') {
        solveBlock(batch, system, { start, firstKnown: first, knownCount: start - first });
      } else {
        solveBlocks(batch, system, { first, end: start + size, start, blocks: 1 }, 'forward');
      }
    }
  };
  byHalves(batch, factor, { unit: PANEL, record }, 0, l.rows);
  const side = ceilDiv(ceilDiv(l.rows, 4), 8);
  batch.dispatch(mirrorLower, {
    bindings: { a: l },
    params: { n: l.rows, stride: l.stride / 4 },
    grid: [side, side],
  });
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
  record(batch, factor) {
    const record = (start: number, size: number): void => factorBlock(batch, factor, { start, size });
    byHalves(batch, factor, { unit: BLOCK, record }, 0, factor.l.rows);
  },
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
      factorBlock(batch, factor, { start, size });
      if (start + size < n) takeOff(batch, factor, start, start + size, n - start - size);
    }
  },
};

/** A = L Lᵀ. */
export const CHOLESKY: Operation<CholeskyVariant> = {
  op: 'cholesky',
  variants: [panels, panelsWorkgroup, recursive, rightLooking],
};

/** L Y = B or Lᵀ Y = B; see `trsm`. */
interface TriangularSystem {
  factor: CholeskyFactor;
  b: View;
  out: View;
  direction: Direction;
}

/** Unknowns by halves: those of the half that comes first, what they take off the other, the other. */
function substitute(batch: Batch, system: TriangularSystem, leaf: Leaf, first: number, count: number): void {
  if (count <= leaf.unit) {
    leaf.record(first, count);
    return;
  }
  const { factor, b, out, direction } = system;
  const m = b.rows;
  const middle = first + firstHalf(count, leaf.unit);
  const halves = [
    { start: first, size: middle - first },
    { start: middle, size: first + count - middle },
  ];
  if (direction === 'backward') halves.reverse();
  const [known, open] = halves;
  substitute(batch, system, leaf, known.start, known.size);
  const rest = block(b, 0, open.start, m, open.size);
  gemm(batch, {
    a: block(out, 0, known.start, m, known.size),
    b: block(factor.l, open.start, known.start, open.size, known.size),
    out: rest,
    addend: rest,
    scale: -1,
  });
  substitute(batch, system, leaf, open.start, open.size);
}

/** By halves down to blocks of 32 unknowns, each a product with an inverse. */
const recursiveTrsm: TrsmVariant = {
  name: 'recursive',
  usable: () => true,
  record(batch, factor, b, out, direction) {
    const strip = direction === 'forward' ? factor.inverses : factor.inversesT;
    const record = (first: number, count: number): void =>
      gemm(batch, {
        a: block(b, 0, first, b.rows, count),
        b: leading(strip, first, count),
        out: block(out, 0, first, b.rows, count),
      });
    substitute(batch, { factor, b, out, direction }, { unit: BLOCK, record }, 0, factor.l.rows);
  },
};

/** By halves down to panels of 256 unknowns, in which one kernel goes from block to block. */
function solveByPanels(batch: Batch, system: TriangularSystem, sharing: Sharing): void {
  const { factor, b, out, direction } = system;
  const { l } = factor;
  const forward = direction === 'forward';
  const panel = { x: out, b, l, inverses: forward ? factor.inverses : factor.inversesT, inPlace: false };
  const record = (first: number, count: number): void => {
    const starts = blocksOf(first, count);
    if (!forward) starts.reverse();
    const end = first + count;
    if (sharing === 'workgroups') {
      solveBlocks(batch, panel, { first, end, start: starts[0], blocks: starts.length }, direction);
      return;
    }
    for (const start of starts) {
      const after = Math.min(start + BLOCK, end);
      const known = forward
        ? { firstKnown: first, knownCount: start - first }
        : { firstKnown: after, knownCount: end - after };
      solveBlock(batch, panel, { start, ...known });
    }
  };
  substitute(batch, system, { unit: PANEL, record }, 0, l.rows);
}

const panelsTrsm: TrsmVariant = {
  name: 'panels',
  usable: hasLanes,
  suits: (gpu) => !isHardware(gpu),
  record: (batch, factor, b, out, direction) => solveByPanels(batch, { factor, b, out, direction }, 'subgroups'),
};

const panelsWorkgroupTrsm: TrsmVariant = {
  name: 'panels-workgroup',
  usable: () => true,
  suits: isHardware,
  record: (batch, factor, b, out, direction) => solveByPanels(batch, { factor, b, out, direction }, 'workgroups'),
};

/** L Y = B or Lᵀ Y = B. */
export const TRSM: Operation<TrsmVariant> = { op: 'trsm', variants: [panelsTrsm, panelsWorkgroupTrsm, recursiveTrsm] };
