import { describe, expect, it } from 'vitest';
import { readNpy } from '../../src/data/npy.js';
import { basicBlock } from '../../src/nn/block.js';
import { convolution } from '../../src/nn/convolution.js';
import { type Layer, sequence } from '../../src/nn/layer.js';
import { bias, flatten, relu } from '../../src/nn/linear.js';
import { batchNorm } from '../../src/nn/norm.js';
import { adaptivePool, maxPool } from '../../src/nn/pool.js';
import type { Shape } from '../../src/nn/tensor.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { golden } from '../support/golden.js';
import { expectBelow, reportErrors, useGpu } from '../support/gpu.js';
import { norm } from '../support/reference.js';
import { fromTapOrder, type Images, numbers, passThrough, tapOrder, write } from './support.js';

const gpu = useGpu();
reportErrors();

const BOUND = 1e-5;

function close(name: string, found: ArrayLike<number>, expected: Float64Array): void {
  expect(found.length, name).toBe(expected.length);
  const scale = norm(expected);
  expectBelow(name, norm(expected.map((v, i) => found[i] - v)) / scale, BOUND);
}

/** Names in the files of what a layer's parameters and buffers are called here. */
type Names = Readonly<Record<string, string>>;

async function check(folder: string, build: (gpu: Gpu) => Layer, names: Names): Promise<void> {
  const { path } = golden('nn', folder);
  const array = (name: string) => {
    const { shape, data } = readNpy(path(`${name}.npy`), { maxDims: 4 });
    return { shape, data: Float64Array.from(data as ArrayLike<number>) };
  };
  const image = (name: string): Images => {
    const { shape, data } = array(name);
    const [count, channels, height = 1, width = 1] = shape;
    return { count, shape: { channels, height, width }, data };
  };
  const layer = build(gpu());
  for (const { name, value } of layer.parameters) {
    const { shape, data } = array(`param_${names[name]}`);
    const [outputs, inputs, size] = shape;
    write(gpu(), value, shape.length === 4 ? tapOrder(data, outputs, inputs, size) : data);
  }
  const x = image('input');
  const expected = image('output');
  const dy = image('grad_output');
  // Rows of plain features hold channel planes in the files, pixels here.
  const flat = (values: Images): Images => {
    if (layer.outputShape(x.shape).channels !== values.shape.channels || values.shape.height > 1) return values;
    const inner: Shape = { channels: 7, height: 4, width: 4 };
    if (folder !== 'vgg-head') return values;
    const out = Float64Array.from(values.data);
    const width = values.shape.channels;
    for (let n = 0; n < values.count; n++) {
      for (let c = 0; c < inner.channels; c++) {
        for (let pixel = 0; pixel < 16; pixel++) {
          out[n * width + pixel * inner.channels + c] = values.data[n * width + c * 16 + pixel];
        }
      }
    }
    return { ...values, data: out };
  };
  const { y, dx } = await passThrough(gpu(), layer, x, flat(dy));
  close(`${folder} output`, y.data, flat(expected).data);
  close(`${folder} input gradient`, dx?.data ?? [], image('grad_input').data);
  for (const { name, gradient } of layer.parameters) {
    const { shape, data } = array(`grad_${names[name]}`);
    const found = await numbers(gpu(), gradient);
    const [outputs, inputs, size] = shape;
    close(`${folder} ${name}`, shape.length === 4 ? fromTapOrder(found, outputs, inputs, size) : found, data);
  }
  for (const { name, value } of layer.buffers) {
    const found = await numbers(gpu(), value);
    const key = `buffer_after_${names[name]}`;
    close(`${folder} ${name} mean`, found.subarray(0, value.cols), array(`${key}_mean`).data);
    close(`${folder} ${name} variance`, found.subarray(value.cols), array(`${key}_var`).data);
  }
}

const parts = (prefix: string, places: Names): Names =>
  Object.fromEntries(Object.entries(places).map(([ours, theirs]) => [`${prefix}.${ours}`, theirs]));

const blockNames = parts('block', {
  'conv1.weight': 'conv1_weight',
  'bn1.weight': 'bn1_weight',
  'bn1.bias': 'bn1_bias',
  'bn1.running': 'bn1_running',
  'conv2.weight': 'conv2_weight',
  'bn2.weight': 'bn2_weight',
  'bn2.bias': 'bn2_bias',
  'bn2.running': 'bn2_running',
  'down0.weight': 'down0_weight',
  'down1.weight': 'down1_weight',
  'down1.bias': 'down1_bias',
  'down1.running': 'down1_running',
});

const cases: [folder: string, build: (gpu: Gpu) => Layer, names: Names][] = [
  [
    'stem',
    (gpu) =>
      sequence([
        convolution(gpu, 'conv', { inputs: 3, outputs: 8, size: 7, stride: 2, pad: 3 }),
        batchNorm(gpu, 'bn', 8),
        relu(),
        maxPool({ size: 3, stride: 2, pad: 1 }),
      ]),
    { 'conv.weight': '0_weight', 'bn.weight': '1_weight', 'bn.bias': '1_bias', 'bn.running': '1_running' },
  ],
  ['basic-block-identity', (gpu) => basicBlock(gpu, 'block', 6, 6, 1), blockNames],
  ['basic-block-stride2', (gpu) => basicBlock(gpu, 'block', 6, 10, 2), blockNames],
  ['global-pool', () => sequence([adaptivePool(1, 1), flatten()]), {}],
  [
    'vgg-head',
    (gpu) =>
      sequence([
        convolution(gpu, 'conv', { inputs: 5, outputs: 7, size: 3, pad: 1 }),
        bias(gpu, 'conv', 7),
        relu(),
        maxPool({ size: 2 }),
        adaptivePool(4, 4),
        flatten(),
      ]),
    { 'conv.weight': '0_weight', 'conv.bias': '0_bias' },
  ],
];

describe('golden blocks: output, gradients and running statistics', () => {
  for (const [folder, build, names] of cases) {
    const { absent, why } = golden('nn', folder);
    it.skipIf(absent)(`${folder}${why}`, () => check(folder, build, names));
  }
});
