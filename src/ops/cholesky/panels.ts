import blockQuadsSource from '../../../shaders/cholesky/block_quads.wgsl';
import trsmPanelSource from '../../../shaders/cholesky/trsm_panel_subgroup.wgsl';
import trsmPanelWorkgroupSource from '../../../shaders/cholesky/trsm_panel_workgroup.wgsl';
import { type Batch, ceilDiv } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import {
  defineKernel,
  firstRow,
  type Program,
  programWith,
  read,
  readView,
  readWriteView,
} from '../../runtime/kernel.js';
import { block, type Matrix, type View } from '../../runtime/matrix.js';
import { isHardware } from '../../runtime/variants.js';

/** Columns factored at a time. */
export const BLOCK = 32;
/**
 * Columns of a panel, within which kernels of their own take blocks off each other. With 64, 128, 256 and 512 of them the
 * time at n = 1000 on lavapipe was 0.58, 0.54, 0.5 and 0.6 of that by halves down to blocks, at n = 2048 0.79, 0.78, 0.69, 0.68.
 */
export const PANEL = 256;

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

/** The first half of `count` numbers, in whole units. */
export const firstHalf = (count: number, unit: number): number => Math.ceil(count / 2 / unit) * unit;

/** The size × size block of a strip of inverses; the strip's columns beyond it are zero. */
export const leading = (strip: Matrix, start: number, size: number): View => ({
  ...block(strip, start, 0, size, BLOCK),
  cols: size,
});

/** What is done at once where halves are halved no further: to at most `unit` columns or unknowns. */
export interface Leaf {
  unit: number;
  record(first: number, count: number): void;
}

/** Who works on a block of a panel: subgroups, which pass rows on between their lanes, or workgroups, through their memory. */
export type Sharing = 'subgroups' | 'workgroups';

/** Kernels that pass rows on between lanes. */
export const hasLanes = ({ lanes }: Gpu): boolean => lanes >= 4 && lanes <= 32;

/** The starts of blocks of count numbers from first on. */
export const blocksOf = (first: number, count: number): number[] =>
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
export interface PanelSystem {
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
export function solveBlock(
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

/** What `solveBlock` dispatches, which takes long to compile. */
export const blockPrograms = ({ lanes }: Gpu): Program[] =>
  [true, false].map((IN_PLACE) => programWith(trsmPanelSubgroup, { LANES: lanes, IN_PLACE }));

/** Invocations of trsm_panel_workgroup.wgsl share so many right-hand sides. */
const SIDES = 32;

/**
 * The same for `blocks` blocks one after the other, from `start` on down or up: known are those of the panel's unknowns
 * first … end − 1 that come before a block; see trsm_panel_workgroup.wgsl.
 */
export function solveBlocks(
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
