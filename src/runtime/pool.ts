import { RfmError } from '../errors.js';

/**
 * Device buffers, reused. Allocation is slow on some drivers and clears memory, while a layer asks
 * for the same sizes again and again, so a released buffer waits here for its next user.
 */
export interface Pool {
  /** A storage buffer of at least `bytes`; its content is undefined. */
  take(bytes: number): GPUBuffer;
  give(buffer: GPUBuffer): void;
  /** A texture of at least width × height texels of four float32; its content is undefined. */
  takeTexture(width: number, height: number): GPUTexture;
  giveTexture(texture: GPUTexture): void;
  /** Destroys the buffers and textures nobody uses. */
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

export const TEXTURE_FORMAT: GPUTextureFormat = 'rgba32float';
const TEXTURE_USAGE = 0x04 | 0x08; // TEXTURE_BINDING | STORAGE_BINDING

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

export function createPool(device: GPUDevice): Pool {
  const free = new Map<number, GPUBuffer[]>();
  const freeTextures = new Map<string, GPUTexture[]>();
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
    takeTexture(wantedWidth, wantedHeight) {
      const { width, height } = pooledTexture(wantedWidth, wantedHeight, device.limits.maxTextureDimension2D);
      const size = textureBytes({ width, height });
      const waiting = freeTextures.get(`${width}x${height}`)?.pop();
      if (waiting) bytes.pooled -= size;
      bytes.live += size;
      bytes.peak = Math.max(bytes.peak, bytes.live + bytes.pooled);
      return waiting ?? device.createTexture({ size: [width, height], format: TEXTURE_FORMAT, usage: TEXTURE_USAGE });
    },
    giveTexture(texture) {
      const size = textureBytes(texture);
      bytes.live -= size;
      bytes.pooled += size;
      const key = `${texture.width}x${texture.height}`;
      const list = freeTextures.get(key);
      if (list) list.push(texture);
      else freeTextures.set(key, [texture]);
    },
    trim() {
      for (const list of free.values()) for (const buffer of list) buffer.destroy();
      for (const list of freeTextures.values()) for (const texture of list) texture.destroy();
      free.clear();
      freeTextures.clear();
      bytes.pooled = 0;
    },
  };
}
