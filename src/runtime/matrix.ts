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
export async function download(gpu: Gpu, matrix: View): Promise<Float32Array> {
  if (gpu.pool.isReleased(matrix.buffer))
    throw new RfmError('internal', 'a matrix that was released is to be read back');
  const { rows, cols, stride, offset } = matrix;
  const last = (rows - 1) * stride + cols;
  const raw = new Float32Array(await downloadBytes(gpu, matrix.buffer, offset * 4, last * 4));
  if (stride === cols) return raw;
  const out = new Float32Array(rows * cols);
  for (let i = 0; i < rows; i++) out.set(raw.subarray(i * stride, i * stride + cols), i * cols);
  return out;
}

interface Reading {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly size: number;
  resolve(bytes: ArrayBuffer): void;
  reject(error: unknown): void;
}

/** What is to be read back in this turn. */
const readings = new WeakMap<GPUDevice, Reading[]>();

/** Bytes up to which readings share a trip to the device; larger ones are not worth a copy more. */
const SHARED_BYTES = 2 ** 20;

/**
 * `size` bytes of a buffer from `offset` on; both multiples of 4. What is asked for in the same turn, as by Promise.all, is read
 * in one trip. It leaves before whatever is handed over after this call, since handing over begins with a wait.
 */
export function downloadBytes(gpu: Gpu, buffer: GPUBuffer, offset: number, size: number): Promise<ArrayBuffer> {
  return new Promise((resolve, reject) => {
    const reading = { buffer, offset, size, resolve, reject };
    const waiting = readings.get(gpu.device);
    if (waiting) {
      waiting.push(reading);
      return;
    }
    readings.set(gpu.device, [reading]);
    queueMicrotask(() => {
      const asked = readings.get(gpu.device) ?? [];
      readings.delete(gpu.device);
      const [large, small] = [asked.filter(isLarge), asked.filter((one) => !isLarge(one))];
      for (const trip of [...large.map((one) => [one]), small]) if (trip.length > 0) void readBack(gpu, trip);
    });
  });
}

const isLarge = ({ size }: Reading): boolean => size > SHARED_BYTES;

async function readBack(gpu: Gpu, trip: readonly Reading[]): Promise<void> {
  try {
    const size = trip.reduce((sum, reading) => sum + reading.size, 0);
    const bytes = await gpu.guard('reading back', async () => {
      const staging = gpu.device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
      const encoder = gpu.device.createCommandEncoder();
      let to = 0;
      for (const { buffer, offset, size } of trip) {
        encoder.copyBufferToBuffer(buffer, offset, staging, to, size);
        to += size;
      }
      gpu.device.queue.submit([encoder.finish()]);
      await staging.mapAsync(GPUMapMode.READ);
      const copy = staging.getMappedRange().slice(0);
      staging.unmap();
      staging.destroy();
      // Done, too, since the copy came after it; its times may not have arrived.
      await gpu.sent.last;
      return copy;
    });
    let from = 0;
    for (const { size, resolve } of trip) {
      resolve(trip.length === 1 ? bytes : bytes.slice(from, from + size));
      from += size;
    }
  } catch (error) {
    for (const { reject } of trip) reject(error);
  }
}
