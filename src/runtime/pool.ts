import { RfmError, say, the } from '../errors.js';

/**
 * Device buffers, reused. Allocation is slow on some drivers and clears memory, while a layer asks
 * for the same sizes again and again, so a released buffer waits here for its next user.
 */
export interface Pool {
  /** A storage buffer of at least `bytes`; its content is undefined. */
  take(bytes: number): GPUBuffer;
  /** @throws internal error where it was given back already: two users would share it. */
  give(buffer: GPUBuffer): void;
  /** Whether it was given back and nobody has taken it since. */
  isReleased(resource: GPUBuffer | GPUTexture): boolean;
  /** A texture of at least width × height texels of four float32; its content is undefined. */
  takeTexture(width: number, height: number): GPUTexture;
  giveTexture(texture: GPUTexture): void;
  /** Destroys the buffers and textures nobody uses. */
  trim(): void;
  /**
   * From now on what waits for reuse is destroyed where it would take the sum of both beyond `soft` bytes, and what does
   * not fit into `hard` bytes then is refused.
   */
  limit(bytes: { soft: number; hard: number }): void;
  /** Bytes in use, bytes waiting for reuse, and the highest sum of both so far. */
  readonly bytes: { live: number; pooled: number; peak: number };
}

const USAGE = 0x80 | 0x04 | 0x08; // STORAGE | COPY_SRC | COPY_DST; the globals are not there at import time

/** Sizes are rounded so that matrices of nearly equal size share buffers: at most 1/8 is wasted. */
export function pooledSize(bytes: number): number {
  const unit = Math.max(256, 2 ** Math.floor(Math.log2(Math.max(bytes, 1)) - 3));
  return Math.ceil(bytes / unit) * unit;
}

const TEXTURE_FORMAT: GPUTextureFormat = 'rgba32float';
const TEXTURE_USAGE = 0x08 | 0x02; // STORAGE_BINDING | COPY_DST

export const textureBytes = (texture: { width: number; height: number }): number => texture.width * texture.height * 16;

/** The next number of at most three leading binary digits: sizes are rounded so that textures are shared. */
const roundUp = (size: number, most: number): number => {
  const unit = Math.max(16, 2 ** (Math.floor(Math.log2(size)) - 2));
  return Math.min(most, Math.ceil(size / unit) * unit);
};

/** Width and height of the pooled texture that serves width × height texels. */
export const pooledTexture = (width: number, height: number, most: number): { width: number; height: number } => ({
  width: roundUp(width, most),
  height: roundUp(height, most),
});

/**
 * Index of the smallest of `unused` that has `size` bytes and at most half as many again: classes of nearly equal
 * size ask for nearly equal buffers in turn, and each size of its own would stay until the layer ends.
 */
function smallestFit<T>(
  unused: readonly T[],
  size: number,
  sizeOf: (item: T) => number,
  fits: (item: T) => boolean,
): number {
  let best = -1;
  unused.forEach((item, i) => {
    const bytes = sizeOf(item);
    if (bytes < size || bytes > 1.5 * size || !fits(item)) return;
    if (best < 0 || bytes < sizeOf(unused[best])) best = i;
  });
  return best;
}

export function createPool(device: GPUDevice): Pool {
  const free: GPUBuffer[] = [];
  // What was destroyed while it was free stays released.
  const released = new WeakSet<GPUBuffer | GPUTexture>();
  const freeTextures: GPUTexture[] = [];
  const bytes = { live: 0, pooled: 0, peak: 0 };
  let bounds = { soft: Number.POSITIVE_INFINITY, hard: Number.POSITIVE_INFINITY };
  function drop<T extends GPUBuffer | GPUTexture>(unused: T[], sizeOf: (item: T) => number): void {
    const item = unused.shift() as T;
    bytes.pooled -= sizeOf(item);
    item.destroy();
  }
  const bufferBytes = (buffer: GPUBuffer): number => buffer.size;
  /** Makes room for `size` more bytes. */
  function reserve(size: number): void {
    while (bytes.live + bytes.pooled + size > bounds.soft && free.length + freeTextures.length > 0) {
      if (free.length > 0) drop(free, bufferBytes);
      else drop(freeTextures, textureBytes);
    }
    if (bytes.live + bytes.pooled + size > bounds.hard) {
      throw new RfmError(
        'doesNotFit',
        `${bytes.live} bytes of device memory are in use and ${size} more are needed, the limit is ${bounds.hard}`,
        say`use a larger ${the.memoryLimit}, or a smaller ${the.n} or ${the.width}`,
      );
    }
  }
  return {
    bytes,
    limit(wanted) {
      bounds = wanted;
    },
    take(wanted) {
      const limit = Math.min(device.limits.maxBufferSize, device.limits.maxStorageBufferBindingSize);
      if (wanted > limit) {
        throw new RfmError(
          'doesNotFit',
          `a matrix of ${wanted} bytes does not fit: this adapter binds at most ${limit} bytes`,
          say`use a smaller ${the.n} or ${the.width}`,
        );
      }
      const size = Math.min(pooledSize(wanted), limit - (limit % 4));
      const found = smallestFit(
        free,
        size,
        (buffer) => buffer.size,
        () => true,
      );
      if (found < 0) reserve(size);
      const buffer = found >= 0 ? free.splice(found, 1)[0] : device.createBuffer({ size, usage: USAGE });
      if (found >= 0) bytes.pooled -= buffer.size;
      released.delete(buffer);
      bytes.live += buffer.size;
      bytes.peak = Math.max(bytes.peak, bytes.live + bytes.pooled);
      return buffer;
    },
    isReleased: (resource) => released.has(resource),
    give(buffer) {
      if (released.has(buffer)) throw new RfmError('internal', 'a matrix was released twice');
      released.add(buffer);
      bytes.live -= buffer.size;
      bytes.pooled += buffer.size;
      free.push(buffer);
    },
    takeTexture(wantedWidth, wantedHeight) {
      const { width, height } = pooledTexture(wantedWidth, wantedHeight, device.limits.maxTextureDimension2D);
      const fits = (texture: GPUTexture): boolean => texture.width >= width && texture.height >= height;
      const found = smallestFit(freeTextures, textureBytes({ width, height }), textureBytes, fits);
      if (found < 0) reserve(textureBytes({ width, height }));
      const texture =
        found >= 0
          ? freeTextures.splice(found, 1)[0]
          : device.createTexture({ size: [width, height], format: TEXTURE_FORMAT, usage: TEXTURE_USAGE });
      if (found >= 0) bytes.pooled -= textureBytes(texture);
      bytes.live += textureBytes(texture);
      bytes.peak = Math.max(bytes.peak, bytes.live + bytes.pooled);
      return texture;
    },
    giveTexture(texture) {
      const size = textureBytes(texture);
      bytes.live -= size;
      bytes.pooled += size;
      freeTextures.push(texture);
    },
    trim() {
      for (const unused of [...free, ...freeTextures]) unused.destroy();
      free.length = 0;
      freeTextures.length = 0;
      bytes.pooled = 0;
    },
  };
}
