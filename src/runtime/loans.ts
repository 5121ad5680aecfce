import type { Gpu } from './gpu.js';
import { allocate, type Matrix } from './matrix.js';

/** What a batch lends until it is handed over. */
export interface Loans {
  /** A matrix that lives until this batch has been submitted. */
  temporary(rows: number, cols: number): Matrix;
  /**
   * The same, but one matrix for all calls with this shape and role: for what is read by the next dispatch alone, since
   * dispatches run in the order they were recorded in.
   */
  scratch(rows: number, cols: number, role: string): Matrix;
  /**
   * A texture of at least width × height texels of four float32. Dispatches run in the order they were recorded
   * in, so `reuse` may pass it on as soon as the last one that needs its content is recorded.
   */
  texture(width: number, height: number): GPUTexture;
  reuse(texture: GPUTexture): void;
  /** A storage buffer of at least `bytes`, the same one at every call: for what the next dispatch or copy takes in. */
  staging(bytes: number): GPUBuffer;
}

export function createLoans(gpu: Gpu): Loans & { end(): void } {
  const { pool } = gpu;
  const buffers: GPUBuffer[] = [];
  const textures: GPUTexture[] = [];
  const idle: GPUTexture[] = [];
  const stages: GPUBuffer[] = [];
  const scratch = new Map<string, Matrix>();
  const temporary = (rows: number, cols: number): Matrix => {
    const matrix = allocate(gpu, rows, cols);
    buffers.push(matrix.buffer);
    return matrix;
  };
  return {
    temporary,
    scratch(rows, cols, role) {
      const key = `${rows} × ${cols} ${role}`;
      const matrix = scratch.get(key) ?? temporary(rows, cols);
      scratch.set(key, matrix);
      return matrix;
    },
    texture(width, height) {
      const fits = idle.findIndex((t) => t.width >= width && t.height >= height);
      if (fits >= 0) return idle.splice(fits, 1)[0];
      const texture = pool.takeTexture(width, height);
      textures.push(texture);
      return texture;
    },
    reuse: (texture) => void idle.push(texture),
    staging(bytes) {
      const last = stages.at(-1);
      if (last && last.size >= bytes) return last;
      const stage = pool.take(bytes);
      stages.push(stage);
      return stage;
    },
    end() {
      for (const buffer of [...buffers, ...stages]) pool.give(buffer);
      for (const texture of textures) pool.giveTexture(texture);
      scratch.clear();
      for (const list of [buffers, textures, idle, stages]) list.length = 0;
    },
  };
}
