import { type Gpu, withMembers } from './gpu.js';
import type { Matrix } from './matrix.js';
import type { Pool } from './pool.js';

type Keep = <K>(result: K) => K;

/**
 * Runs `work` with a Gpu that remembers what is taken from its pool, and gives back at the end what was not released. What
 * `keep` was told of belongs to the caller; where `work` fails, that is given back, too, so that an allocation refused
 * halfway leaves nothing behind. Scopes nest: what an inner one keeps, the outer one owns.
 */
export async function owning<T>(gpu: Gpu, work: (gpu: Gpu, keep: Keep) => Promise<T>): Promise<T> {
  const scope = openScope(gpu);
  try {
    const result = await work(scope.gpu, scope.keep);
    scope.handOver();
    return result;
  } finally {
    scope.close();
  }
}

/** The same for work that waits for nothing. */
export function owningSync<T>(gpu: Gpu, work: (gpu: Gpu, keep: Keep) => T): T {
  const scope = openScope(gpu);
  try {
    const result = work(scope.gpu, scope.keep);
    scope.handOver();
    return result;
  } finally {
    scope.close();
  }
}

function openScope(gpu: Gpu) {
  const buffers = new Set<GPUBuffer>();
  const textures = new Set<GPUTexture>();
  const kept = new Set<GPUBuffer | GPUTexture>();
  const { pool } = gpu;
  const remembering: Pool = {
    ...pool,
    bytes: pool.bytes,
    take(bytes) {
      const buffer = pool.take(bytes);
      buffers.add(buffer);
      return buffer;
    },
    give(buffer) {
      pool.give(buffer);
      buffers.delete(buffer);
    },
    takeTexture(width, height) {
      const texture = pool.takeTexture(width, height);
      textures.add(texture);
      return texture;
    },
    giveTexture(texture) {
      pool.giveTexture(texture);
      textures.delete(texture);
    },
  };
  const keep: Keep = (result) => {
    for (const resource of resourcesIn(result)) kept.add(resource);
    return result;
  };
  return {
    gpu: withMembers(gpu, { pool: remembering }),
    keep,
    /** What was kept is no longer this scope's. */
    handOver(): void {
      for (const resource of kept) if (!buffers.delete(resource as GPUBuffer)) textures.delete(resource as GPUTexture);
    },
    close(): void {
      // What the device was sent may still use them; it does so before anything that takes them later.
      for (const buffer of buffers) pool.give(buffer);
      for (const texture of textures) pool.giveTexture(texture);
    },
  };
}

const isMatrix = (value: object): value is Matrix => 'buffer' in value && 'stride' in value;
const isTexture = (value: object): value is GPUTexture => 'createView' in value;

function resourcesIn(value: unknown): (GPUBuffer | GPUTexture)[] {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return [];
  if (isMatrix(value)) return [value.buffer];
  if (isTexture(value)) return [value];
  return Object.values(value).flatMap(resourcesIn);
}
