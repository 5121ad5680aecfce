import type { Batch } from '../../runtime/batch.js';
import { block, type View } from '../../runtime/matrix.js';
import { isHardware, type Operation, type Variant } from '../../runtime/variants.js';
import { gemm } from '../gemm/gemm.js';
import {
  BLOCK,
  blocksOf,
  type CholeskyFactor,
  type Direction,
  firstHalf,
  hasLanes,
  type Leaf,
  leading,
  PANEL,
  type Sharing,
  solveBlock,
  solveBlocks,
} from './panels.js';

export interface TrsmVariant extends Variant {
  /** See `trsm`. */
  record(batch: Batch, factor: CholeskyFactor, b: View, out: View, direction: Direction): void;
}

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
