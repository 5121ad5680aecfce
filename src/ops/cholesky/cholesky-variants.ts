import blockQuadsSource from '../../../shaders/cholesky/block_quads.wgsl';
import mirrorLowerSource from '../../../shaders/cholesky/mirror_lower.wgsl';
import potrfBlockSource from '../../../shaders/cholesky/potrf_block.wgsl';
import potrfBlockSubgroupSource from '../../../shaders/cholesky/potrf_block_subgroup.wgsl';
import potrfBlockWorkgroupSource from '../../../shaders/cholesky/potrf_block_workgroup.wgsl';
import potrfFactorSource from '../../../shaders/cholesky/potrf_factor.wgsl';
import { type Batch, ceilDiv } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { defineKernel, type Program, programWith, readWrite } from '../../runtime/kernel.js';
import { block } from '../../runtime/matrix.js';
import { isHardware, type Operation, type Variant } from '../../runtime/variants.js';
import { copyScaled } from '../elementwise/elementwise.js';
import { transpose } from '../elementwise/transpose.js';
import { gemm, syrk } from '../gemm/gemm.js';
import {
  BLOCK,
  blockPrograms,
  blocksOf,
  type CholeskyFactor,
  firstHalf,
  hasLanes,
  type Leaf,
  leading,
  PANEL,
  type Sharing,
  solveBlock,
  solveBlocks,
} from './panels.js';

export interface CholeskyVariant extends Variant {
  /** Factors factor.l in place. */
  record(batch: Batch, factor: CholeskyFactor): void;
}

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

/** What `panels` dispatches with subgroups: kernels that take long to compile. */
export const panelPrograms = (gpu: Gpu): Program[] => [
  programWith(potrfBlockSubgroup, { LANES: gpu.lanes }),
  ...blockPrograms(gpu),
];

/** A = L Lᵀ. */
export const CHOLESKY: Operation<CholeskyVariant> = {
  op: 'cholesky',
  variants: [panels, panelsWorkgroup, recursive, rightLooking],
};
