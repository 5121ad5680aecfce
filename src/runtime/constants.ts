/**
 * Flags that WebGPU defines as globals (https://www.w3.org/TR/webgpu/#namespacedef-gpubufferusage and after). Dawn's
 * bindings define none until somebody changes `globalThis`, so they are imported from here.
 */

export const GPUBufferUsage = {
  MAP_READ: 0x0001,
  COPY_SRC: 0x0004,
  COPY_DST: 0x0008,
  UNIFORM: 0x0040,
  STORAGE: 0x0080,
  INDIRECT: 0x0100,
  QUERY_RESOLVE: 0x0200,
} as const;

export const GPUTextureUsage = { STORAGE_BINDING: 0x08 } as const;

export const GPUMapMode = { READ: 0x0001 } as const;

export const GPUShaderStage = { COMPUTE: 0x4 } as const;

/** Numbers are uploaded to shaders through immediates: this many bytes are available on every backend. */
export const IMMEDIATE_BYTES = 64;
