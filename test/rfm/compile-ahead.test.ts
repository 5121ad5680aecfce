import { describe, expect, it } from 'vitest';
import { laplace } from '../../src/ops/kernels/laplace.js';
import { createInstance, releaseInstance } from '../../src/platform/node/gpu.js';
import { requestAdapter } from '../../src/platform/request-adapter.js';
import { layerPrograms } from '../../src/rfm/compile-ahead.js';
import { deepRfm } from '../../src/rfm/deep-rfm.js';
import { createCompiler } from '../../src/runtime/compile-ahead.js';
import { deviceDescriptor, withMembers } from '../../src/runtime/gpu.js';
import { useGpu } from '../support/gpu.js';
import { collapsedRows } from '../support/reference.js';

const gpu = useGpu();
const [n, d, outputs] = [300, 260, 3];

describe('kernels compiled ahead', () => {
  it('are all dispatched by a layer that is large enough', async (context) => {
    const rows = {
      x: Float32Array.from(collapsedRows(n, d, outputs, 1, 5).data),
      labels: Int32Array.from({ length: n }, (_, i) => Math.floor((i * outputs) / n)),
      rows: n,
      cols: d,
    };
    const programs = layerPrograms(gpu(), laplace(2), { n, d, outputs });
    if (gpu().compiler === null) context.skip(`${gpu().adapter.description} compiles by itself`);
    await deepRfm(gpu(), { train: rows, test: rows, classes: outputs }, { depth: 1, width: 300 });
    const unused = programs.filter(({ code }) => !gpu().pipelines.has(code)).map(({ name }) => name);
    expect(unused).toEqual([]);
  });

  it('are compiled by the second device without an error, each once, and closing waits for it', async () => {
    const instance = await createInstance();
    const errors: string[] = [];
    const compiler = createCompiler(async () => {
      const adapter = await requestAdapter(instance, 'auto', '');
      const device = await adapter.requestDevice(deviceDescriptor(adapter));
      device.addEventListener('uncapturederror', ({ error }) => errors.push(error.message));
      return device;
    }, 0);
    const [first, ...others] = layerPrograms(gpu(), laplace(2), { n, d, outputs });
    const own = Promise.resolve();
    compiler.claimed.set(first.code, own);
    compiler.compile([first, ...others, ...others]);
    for (const { code } of others) {
      while (!compiler.claimed.has(code)) await new Promise((resolve) => setTimeout(resolve, 5));
      await compiler.claimed.get(code);
    }
    await compiler.close();
    releaseInstance(instance);
    expect(errors).toEqual([]);
    expect(compiler.claimed.get(first.code)).toBe(own);
    expect(compiler.claimed.size).toBe(1 + new Set(others.map(({ code }) => code)).size);
  });

  it('are left to the first device where the driver has compiled them before', async () => {
    const instance = await createInstance();
    const compiler = createCompiler(async () => {
      const adapter = await requestAdapter(instance, 'auto', '');
      return adapter.requestDevice(deviceDescriptor(adapter));
    }, Number.POSITIVE_INFINITY);
    const programs = layerPrograms(gpu(), laplace(2), { n, d, outputs });
    compiler.compile(programs);
    while (compiler.claimed.size === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await Promise.all(compiler.claimed.values());
    compiler.compile(programs);
    await compiler.close();
    releaseInstance(instance);
    expect([...compiler.claimed.keys()]).toEqual([programs[0].code]);
  });

  it('may fail there: the device itself compiles then', async () => {
    const compiler = createCompiler(() => Promise.reject(new Error('no second device')));
    const opened = withMembers(gpu(), { compiler, pipelines: new Map() });
    const rows = { x: Float32Array.of(1, 2, 3, 4, 5, 7), labels: Int32Array.of(0, 0, 1), rows: 3, cols: 2 };
    const { layers } = await deepRfm(opened, { train: rows, test: null, classes: 2 }, { depth: 1, width: 4 });
    expect(layers).toHaveLength(1);
    await compiler.close();
  });
});
