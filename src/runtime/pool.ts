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

/** What one kind of resource waits in for its next user. */
interface Shelf<T> {
  readonly unused: T[];
  sizeOf(item: T): number;
}

/**
 * Takes the smallest off the shelf that has `size` bytes and at most half as many again: classes of nearly equal size ask
 * for nearly equal buffers in turn, and each size of its own would stay until the layer ends. Undefined where there is none.
 */
function smallestFit<T>({ unused, sizeOf }: Shelf<T>, size: number, fits: (item: T) => boolean): T | undefined {
  let best = -1;
  unused.forEach((item, i) => {
    const bytes = sizeOf(item);
    if (bytes < size || bytes > 1.5 * size || !fits(item)) return;
    if (best < 0 || bytes < sizeOf(unused[best])) best = i;
  });
  return best < 0 ? undefined : unused.splice(best, 1)[0];
}

type Resource = GPUBuffer | GPUTexture;

/** Counts the bytes in use and waiting, and keeps them within bounds. */
function createLedger(shelves: readonly Shelf<Resource>[]) {
  const bytes = { live: 0, pooled: 0, peak: 0 };
  const bounds = { soft: Number.POSITIVE_INFINITY, hard: Number.POSITIVE_INFINITY };
  // What was destroyed while it was free stays released.
  const released = new WeakSet<Resource>();
  /** Makes room for `size` more bytes. */
  function reserve(size: number): void {
    while (bytes.live + bytes.pooled + size > bounds.soft) {
      const shelf = shelves.find(({ unused }) => unused.length > 0);
      const item = shelf?.unused.shift();
      if (!shelf || !item) break;
      bytes.pooled -= shelf.sizeOf(item);
      item.destroy();
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
    bounds,
    released,
    /** What fits on the shelf, else a new one. */
    take<T extends Resource>(shelf: Shelf<T>, size: number, fits: (item: T) => boolean, create: () => T): T {
      const found = smallestFit(shelf, size, fits);
      if (!found) reserve(size);
      const item = found ?? create();
      const taken = shelf.sizeOf(item);
      if (found) bytes.pooled -= taken;
      released.delete(item);
      bytes.live += taken;
      bytes.peak = Math.max(bytes.peak, bytes.live + bytes.pooled);
      return item;
    },
    give<T extends Resource>({ unused, sizeOf }: Shelf<T>, item: T): void {
      if (released.has(item)) throw new RfmError('internal', 'a matrix was released twice');
      released.add(item);
      bytes.live -= sizeOf(item);
      bytes.pooled += sizeOf(item);
      unused.push(item);
    },
  };
}

export function createPool(device: GPUDevice): Pool {
  const { limits } = device;
  // Asked of Dawn's bindings, the sizes of what waits took a tenth of the host's time.
  const sizes = new WeakMap<GPUBuffer, number>();
  const buffers: Shelf<GPUBuffer> = { unused: [], sizeOf: (buffer) => sizes.get(buffer) ?? buffer.size };
  const textures: Shelf<GPUTexture> = { unused: [], sizeOf: textureBytes };
  const shelves = [buffers, textures] as unknown as Shelf<Resource>[];
  const { bytes, bounds, released, take, give } = createLedger(shelves);
  return {
    bytes,
    limit: (wanted) => void Object.assign(bounds, wanted),
    take(wanted) {
      const limit = Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
      if (wanted > limit) {
        throw new RfmError(
          'doesNotFit',
          `a matrix of ${wanted} bytes does not fit: this adapter binds at most ${limit} bytes`,
          say`use a smaller ${the.n} or ${the.width}`,
        );
      }
      const size = Math.min(pooledSize(wanted), limit - (limit % 4));
      return take(
        buffers,
        size,
        () => true,
        () => {
          const buffer = device.createBuffer({ size, usage: USAGE });
          sizes.set(buffer, size);
          return buffer;
        },
      );
    },
    isReleased: (resource) => released.has(resource),
    give: (buffer) => give(buffers, buffer),
    takeTexture(wantedWidth, wantedHeight) {
      const { width, height } = pooledTexture(wantedWidth, wantedHeight, limits.maxTextureDimension2D);
      return take(
        textures,
        textureBytes({ width, height }),
        (texture) => texture.width >= width && texture.height >= height,
        () => device.createTexture({ size: [width, height], format: TEXTURE_FORMAT, usage: TEXTURE_USAGE }),
      );
    },
    giveTexture: (texture) => give(textures, texture),
    trim() {
      for (const { unused } of shelves) {
        for (const item of unused) item.destroy();
        unused.length = 0;
      }
      bytes.pooled = 0;
    },
  };
}
