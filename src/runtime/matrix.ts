import { RfmError } from '../errors.js';
import { GPUBufferUsage, GPUMapMode } from './constants.js';
import type { Gpu } from './gpu.js';
import { pooledSize } from './pool.js';

/**
 * A float32 matrix on the device, or a part of one: row-major, each row padded with zeros to a multiple of four
 * numbers so that shaders may read vec4. Every kernel that writes a matrix writes its padding, too.
 */
export interface View {
  readonly rows: number;
  readonly cols: number;
  /** Numbers from one row to the next: a multiple of 4. */
  readonly stride: number;
  /** Numbers before the first entry: 0, or for a block the place of its corner. */
  readonly offset: number;
  /** Columns of zeros that a kernel writing this matrix adds after `cols`. */
  readonly padding: number;
  readonly buffer: GPUBuffer;
}

/** A matrix that begins where its buffer does. Every matrix is a view of itself; a view is no matrix. */
export interface Matrix extends View {
  readonly offset: 0;
}

/** A matrix in two floats of the same shape and stride: entry (i, j) is high + low, low being what high cannot hold. */
export interface Pair {
  readonly high: Matrix;
  readonly low: Matrix;
}

/** Numbers from one row to the next: cols, rounded up to a multiple of 4. */
export const strideOf = (cols: number): number => Math.ceil(cols / 4) * 4;

/** Bytes that a matrix takes. */
export const matrixBytes = (rows: number, cols: number): number => pooledSize(rows * strideOf(cols) * 4);

/** A new matrix of undefined content. Release it with `release`. */
export function allocate(gpu: Gpu, rows: number, cols: number): Matrix {
  const stride = strideOf(cols);
  return { rows, cols, stride, offset: 0, padding: stride - cols, buffer: gpu.pool.take(rows * stride * 4) };
}

/**
 * A view of rows × cols entries from (row, col) on; it shares the buffer. `col` must be a multiple
 * of 4, so that rows start on a vec4, and the view must end there or at the matrix's last column.
 * @throws internal error where it does not, or is not inside the matrix.
 */
export function block(matrix: View, row: number, col: number, rows: number, cols: number): View {
  const atEdge = col + cols === matrix.cols;
  if (
    Math.min(row, col, rows, cols) < 0 ||
    col % 4 !== 0 ||
    (cols % 4 !== 0 && !atEdge) ||
    row + rows > matrix.rows ||
    col + cols > matrix.cols
  ) {
    throw new RfmError(
      'internal',
      `no block of ${rows} × ${cols} at (${row}, ${col}) in ${matrix.rows} × ${matrix.cols}: it must lie within, begin at a column that is a multiple of 4, and have a multiple of 4 columns or reach to the last one`,
    );
  }
  const offset = matrix.offset + row * matrix.stride + col;
  return { ...matrix, rows, cols, offset, padding: atEdge ? matrix.padding : 0 };
}

/** The first `rows` rows and `cols` columns: still a matrix, as it begins where its buffer does. */
export const leadingBlock = (matrix: Matrix, rows: number, cols: number): Matrix => ({
  ...block(matrix, 0, 0, rows, cols),
  offset: 0,
});

/**
 * Gives the buffers of matrices back to the pool. What was sent to the device before may still use them.
 * @throws internal error where a matrix was released before.
 */
export function release(gpu: Gpu, ...matrices: Matrix[]): void {
  for (const matrix of matrices) gpu.pool.give(matrix.buffer);
}

/** Uploads row-major numbers (rows × cols). */
export function upload(gpu: Gpu, rows: number, cols: number, data: ArrayLike<number>): Matrix {
  const matrix = allocate(gpu, rows, cols);
  const { stride } = matrix;
  // By the engine's own copies: a loop over the numbers takes two to three times as long where it meets arrays of several types.
  const values = data instanceof Float32Array ? data : new Float32Array(data);
  let padded = values;
  if (stride !== cols || values.length !== rows * cols) {
    padded = new Float32Array(rows * stride);
    for (let i = 0; i < rows; i++) padded.set(values.subarray(i * cols, (i + 1) * cols), i * stride);
  }
  gpu.device.queue.writeBuffer(matrix.buffer, 0, padded.buffer, padded.byteOffset, padded.byteLength);
  return matrix;
}

/**
 * Waits for the device and returns the matrix as row-major float32 (rows × cols, without padding).
 * @throws internal error where it was released.
 */
export const download = async (gpu: Gpu, matrix: View): Promise<Float32Array> => (await downloadAll(gpu, [matrix]))[0];

/**
 * The same for several matrices, in one trip to the device.
 * @throws internal error where one was released.
 */
export async function downloadAll(gpu: Gpu, matrices: readonly View[]): Promise<Float32Array[]> {
  const found = await readParts(
    gpu,
    matrices.map(({ buffer, offset, rows, cols, stride }) => {
      if (gpu.pool.isReleased(buffer)) throw new RfmError('internal', 'a matrix that was released is to be read back');
      return { buffer, offset: offset * 4, size: ((rows - 1) * stride + cols) * 4 };
    }),
  );
  return matrices.map(({ rows, cols, stride }, m) => {
    const raw = new Float32Array(found[m]);
    if (stride === cols) return raw;
    const out = new Float32Array(rows * cols);
    for (let i = 0; i < rows; i++) out.set(raw.subarray(i * stride, i * stride + cols), i * cols);
    return out;
  });
}

/** `size` bytes of a buffer from `offset` on; both multiples of 4. */
export const downloadBytes = async (gpu: Gpu, buffer: GPUBuffer, offset: number, size: number): Promise<ArrayBuffer> =>
  (await readParts(gpu, [{ buffer, offset, size }]))[0];

interface BufferPart {
  buffer: GPUBuffer;
  offset: number;
  size: number;
}

async function readParts(gpu: Gpu, parts: readonly BufferPart[]): Promise<ArrayBuffer[]> {
  const size = parts.reduce((sum, part) => sum + part.size, 0);
  if (gpu.profile) {
    gpu.profile.calls.readbacks++;
    gpu.profile.calls.readbackBytes += size;
  }
  return gpu.guard('reading back', async () => {
    const staging = gpu.device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    const encoder = gpu.device.createCommandEncoder();
    const starts: number[] = [];
    let end = 0;
    for (const { buffer, offset, size } of parts) {
      encoder.copyBufferToBuffer(buffer, offset, staging, end, size);
      starts.push(end);
      end += size;
    }
    gpu.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const mapped = staging.getMappedRange();
    const copies = parts.map(({ size }, i) => mapped.slice(starts[i], starts[i] + size));
    staging.unmap();
    staging.destroy();
    // Done, too, since the copies came after it; its times may not have arrived.
    await gpu.sent.last;
    return copies;
  });
}
