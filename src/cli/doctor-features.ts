/**
 * Features that no kernel of the program depends on and that opted-in mixed precision can use where a GPU has them.
 * They need switches of Dawn that an ordinary run leaves off, so they are looked for with an instance of their own.
 */

import { createInstance, MIXED_TOGGLES, releaseInstance } from '../platform/node/gpu.js';
import { GPUBufferUsage, GPUMapMode } from '../runtime/constants.js';
import { MATRIX_FEATURE, type MatrixShape, shapesOf } from '../runtime/subgroup-matrix.js';

/** A feature: whether the adapter offers it and whether a small kernel with it computed the right numbers. */
export interface OptionalFeature {
  offered: boolean;
  /** null where it is not offered. */
  works: boolean | null;
  /** What went wrong, on one line. */
  problem: string | null;
}

export interface OptionalFeatures {
  shaderF16: OptionalFeature;
  subgroupMatrix: OptionalFeature & { shapes: MatrixShape[] };
}

const F16 = 'shader-f16';

const absent = (): OptionalFeature => ({ offered: false, works: null, problem: null });
const oneLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).trim().replace(/\s*\n\s*/g, '; ');

/** 64 numbers halved and added to themselves in float16: exact, so that anything but equality is a fault. */
const HALVES = `enable f16;
@group(0) @binding(0) var<storage, read> input: array<f16>;
@group(0) @binding(1) var<storage, read_write> output: array<f16>;
@compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) {
  let half = input[i] * 0.5h;
  output[i] = half + input[i];
}`;

/**
 * One product of the matrix units. Left is M × K, right K × N, all row-major. WGSL's experimental matrix functions have
 * two spellings, as the extension changed: with the layout as a template parameter, and before it as an argument.
 */
function matrixProduct({ component, result, m, n, k }: MatrixShape, lanes: number, layoutInTemplate: boolean): string {
  const load = (type: string, from: string, stride: number): string =>
    layoutInTemplate
      ? `subgroupMatrixLoad<${type}, row_major>(&${from}, 0u, ${stride}u)`
      : `subgroupMatrixLoad<${type}>(&${from}, 0u, false, ${stride}u)`;
  const store = layoutInTemplate
    ? `subgroupMatrixStore<row_major>(&output, 0u, product, ${n}u)`
    : `subgroupMatrixStore(&output, 0u, product, false, ${n}u)`;
  return `enable chromium_experimental_subgroup_matrix;
${component === 'f16' || result === 'f16' ? 'enable f16;' : ''}
@group(0) @binding(0) var<storage, read> left: array<${component}, ${m * k}>;
@group(0) @binding(1) var<storage, read> right: array<${component}, ${k * n}>;
@group(0) @binding(2) var<storage, read_write> output: array<${result}, ${m * n}>;
@compute @workgroup_size(${lanes}) fn main() {
  let a = ${load(`subgroup_matrix_left<${component}, ${k}, ${m}>`, 'left', k)};
  let b = ${load(`subgroup_matrix_right<${component}, ${n}, ${k}>`, 'right', n)};
  let product = subgroupMatrixMultiply<${result}>(a, b);
  ${store};
}`;
}

/** Small whole numbers, exact in every type, that no transposition maps onto each other. */
const small = (i: number, factor: number): number => ((i * factor) % 7) - 3;

/** The bits of a small whole number as float16 (IEEE 754 binary16; |value| < 2048). */
function halfBits(value: number): number {
  if (value === 0) return 0;
  const magnitude = Math.abs(value);
  const exponent = Math.floor(Math.log2(magnitude));
  const fraction = Math.round((magnitude / 2 ** exponent - 1) * 1024);
  return (value < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | fraction;
}

function halfValue(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const magnitude = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
  return bits & 0x8000 ? -magnitude : magnitude;
}

/** Numbers as the bytes of a WGSL array of f16 or f32, a multiple of four bytes. */
function encode(values: readonly number[], type: string): Uint8Array<ArrayBuffer> {
  if (type === 'f32') return new Uint8Array(Float32Array.from(values).buffer);
  const bits = new Uint16Array(values.length + (values.length & 1));
  bits.set(values.map(halfBits));
  return new Uint8Array(bits.buffer);
}

function decode(bytes: ArrayBuffer, count: number, type: string): number[] {
  if (type === 'f32') return [...new Float32Array(bytes, 0, count)];
  return [...new Uint16Array(bytes, 0, count)].map(halfValue);
}

/**
 * Runs one workgroup of a shader on its inputs and returns the bytes of its output (the last binding).
 * @throws with Dawn's words if it does not compile or run.
 */
async function runShader(
  device: GPUDevice,
  code: string,
  inputs: readonly Uint8Array<ArrayBuffer>[],
  outputBytes: number,
): Promise<ArrayBuffer> {
  const size = Math.ceil(outputBytes / 4) * 4;
  for (const filter of ['validation', 'out-of-memory', 'internal'] as const) device.pushErrorScope(filter);
  let thrown: unknown = null;
  let bytes: ArrayBuffer | null = null;
  const buffers: GPUBuffer[] = [];
  const buffer = (bytes: number, usage: number): GPUBuffer => {
    const made = device.createBuffer({ size: bytes, usage });
    buffers.push(made);
    return made;
  };
  try {
    const module = device.createShaderModule({ code });
    const { messages } = await module.getCompilationInfo();
    const fault = messages.find(({ type }) => type === 'error');
    if (fault) throw new Error(fault.message);
    const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module } });
    const sources = inputs.map((data) => {
      const source = buffer(data.byteLength, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST);
      device.queue.writeBuffer(source, 0, data);
      return source;
    });
    const output = buffer(size, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC);
    const back = buffer(size, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
    const entries = [...sources, output].map((resource, binding) => ({ binding, resource: { buffer: resource } }));
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
    pass.dispatchWorkgroups(1);
    pass.end();
    encoder.copyBufferToBuffer(output, 0, back, 0, size);
    device.queue.submit([encoder.finish()]);
    await back.mapAsync(GPUMapMode.READ);
    bytes = back.getMappedRange().slice(0);
    back.unmap();
  } catch (error) {
    thrown = error;
  }
  const errors = await Promise.all([device.popErrorScope(), device.popErrorScope(), device.popErrorScope()]);
  for (const made of buffers) made.destroy();
  const fault = thrown ?? errors.find((error) => error !== null);
  if (fault) throw fault instanceof Error ? fault : new Error((fault as GPUError).message);
  return bytes!;
}

const differs = (found: readonly number[], expected: readonly number[]): boolean =>
  expected.some((value, i) => found[i] !== value);

async function checkF16(device: GPUDevice): Promise<string | null> {
  const input = Array.from({ length: 64 }, (_, i) => i - 31);
  const output = await runShader(device, HALVES, [encode(input, 'f16')], 128);
  const expected = input.map((value) => 1.5 * value);
  return differs(decode(output, 64, 'f16'), expected) ? 'wrong result of a float16 kernel' : null;
}

async function checkMatrix(device: GPUDevice, shape: MatrixShape, lanes: number): Promise<string | null> {
  const { m, n, k } = shape;
  const left = Array.from({ length: m * k }, (_, i) => small(i, 5));
  const right = Array.from({ length: k * n }, (_, i) => small(i, 3));
  const expected = Array.from({ length: m * n }, (_, at) => {
    let sum = 0;
    for (let i = 0; i < k; i++) sum += left[Math.floor(at / n) * k + i] * right[i * n + (at % n)];
    return sum;
  });
  const run = (layoutInTemplate: boolean): Promise<ArrayBuffer> =>
    runShader(
      device,
      matrixProduct(shape, lanes, layoutInTemplate),
      [encode(left, shape.component), encode(right, shape.component)],
      m * n * (shape.result === 'f16' ? 2 : 4),
    );
  const output = await run(true).catch(() => run(false));
  return differs(decode(output, m * n, shape.result), expected) ? 'wrong product of two small matrices' : null;
}

/** Opens a device with the features and checks one of them. Never throws. */
async function examine(
  adapter: GPUAdapter,
  features: GPUFeatureName[],
  check: (device: GPUDevice) => Promise<string | null>,
): Promise<OptionalFeature> {
  let device: GPUDevice | null = null;
  let problem: string | null;
  try {
    device = await adapter.requestDevice({ requiredFeatures: features });
    // What no error scope catches would be printed by Dawn; a wrong result tells as much.
    device.addEventListener('uncapturederror', (event) => event.preventDefault());
    problem = await check(device);
  } catch (error) {
    problem = oneLine(error);
  }
  device?.destroy();
  await device?.lost;
  return { offered: true, works: problem === null, problem };
}

/**
 * The optional features of the adapter that this request gives, each tried on a device of its own. Never throws: where
 * something fails, the feature's `problem` says so. An adapter hands out one device only, so each is asked for anew.
 */
export async function optionalFeatures(request: GPURequestAdapterOptions): Promise<OptionalFeatures> {
  const found: OptionalFeatures = { shaderF16: absent(), subgroupMatrix: { ...absent(), shapes: [] } };
  let instance: GPU | null = null;
  try {
    instance = await createInstance(MIXED_TOGGLES);
    const first = await instance.requestAdapter(request);
    if (first?.features.has(F16)) found.shaderF16 = await examine(first, [F16], checkF16);
    const second = await instance.requestAdapter(request);
    if (second?.features.has(MATRIX_FEATURE)) {
      const shapes = shapesOf(second);
      const lanes = second.info.subgroupMaxSize ?? 32;
      const features: GPUFeatureName[] = [MATRIX_FEATURE, 'subgroups', F16];
      const offered = features.filter((name) => second.features.has(name));
      const result = await examine(second, offered, async (device) => {
        if (shapes.length === 0) return 'no floating-point shape is offered';
        for (const shape of shapes) {
          const problem = await checkMatrix(device, shape, lanes);
          if (problem) return `${describeShape(shape)}: ${problem}`;
        }
        return null;
      });
      found.subgroupMatrix = { ...result, shapes };
    }
  } catch (error) {
    for (const feature of [found.shaderF16, found.subgroupMatrix]) feature.problem ??= oneLine(error);
  } finally {
    if (instance) releaseInstance(instance);
  }
  return found;
}

/** "f16 to f32 16 × 8 × 16": types of the factors and of the result, then M × N × K. */
export const describeShape = ({ component, result, m, n, k }: MatrixShape): string =>
  `${component} to ${result} ${m} × ${n} × ${k}`;
