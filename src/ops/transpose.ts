import transposeSource from '../../shaders/transpose.wgsl';
import { type Batch, ceilDiv, type Kernel } from '../runtime/batch.js';
import type { Matrix } from '../runtime/matrix.js';

const TILE = 16;
const kernel: Kernel = { name: 'transpose', source: transposeSource };

/** out = Aᵀ, for A: m × n and out: n × m in different buffers. */
export function transpose(batch: Batch, a: Matrix, out: Matrix): void {
  batch.dispatch(
    kernel,
    [a, out],
    [a.rows, a.cols, a.stride, out.stride, a.offset, out.offset, out.padding],
    [ceilDiv(a.cols, TILE), ceilDiv(a.rows + out.padding, TILE)],
  );
}
