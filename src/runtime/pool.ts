import { RfmError } from '../errors.js';

/**
 * Device buffers, reused. Allocation is slow on some drivers and clears memory, while a layer asks
 * for the same sizes again and again, so a released buffer waits here for its next user.
 */
export interface Pool {
  /** A storage buffer of at least `bytes`; its content is undefined. */
  take(bytes: number): GPUBuffer;
  give(buffer: GPUBuffer): void;
  /** Destroys the buffers nobody uses. */
  trim(): void;
  /** Bytes in use, bytes waiting for reuse, and the highest sum of both so far. */
  readonly bytes: { live: number; pooled: number; peak: number };
}

const USAGE = 0x80 | 0x04 | 0x08; // STORAGE | COPY_SRC | COPY_DST; the globals are not there at import time

/** Sizes are rounded so that matrices of nearly equal size share buffers: at most 1/8 is wasted. */
export function pooledSize(bytes: number): number {
  const unit = Math.max(256, 2 ** Math.floor(Math.log2(Math.max(bytes, 1)) - 3));
  return Math.ceil(bytes / unit) * unit;
}

export function createPool(device: GPUDevice): Pool {
  const free = new Map<number, GPUBuffer[]>();
  const bytes = { live: 0, pooled: 0, peak: 0 };
  return {
    bytes,
    take(wanted) {
      const limit = Math.min(device.limits.maxBufferSize, device.limits.maxStorageBufferBindingSize);
      if (wanted > limit) {
        throw new RfmError(
          'doesNotFit',
          `a matrix of ${wanted} bytes does not fit: this adapter binds at most ${limit} bytes; use a smaller --n or --width`,
        );
      }
      const size = Math.min(pooledSize(wanted), limit - (limit % 4));
      const waiting = free.get(size)?.pop();
      if (waiting) bytes.pooled -= size;
      bytes.live += size;
      bytes.peak = Math.max(bytes.peak, bytes.live + bytes.pooled);
      return waiting ?? device.createBuffer({ size, usage: USAGE });
    },
    give(buffer) {
      bytes.live -= buffer.size;
      bytes.pooled += buffer.size;
      const list = free.get(buffer.size);
      if (list) list.push(buffer);
      else free.set(buffer.size, [buffer]);
    },
    trim() {
      for (const list of free.values()) for (const buffer of list) buffer.destroy();
      free.clear();
      bytes.pooled = 0;
    },
  };
}
