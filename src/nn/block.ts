import { RfmError } from '../errors.js';
import type { Gpu } from '../runtime/gpu.js';
import { convolution } from './convolution.js';
import { type Layer, sequence } from './layer.js';
import { addTensors, relu } from './linear.js';
import { batchNorm } from './norm.js';
import { sameShape } from './pool.js';

/** y = ReLU(main(x) + shortcut(x)); no shortcut stands for x itself. */
export function residual(main: Layer, shortcut: Layer | null): Layer {
  const rectify = relu();
  return {
    kind: 'block',
    parameters: [...main.parameters, ...(shortcut?.parameters ?? [])],
    buffers: [...main.buffers, ...(shortcut?.buffers ?? [])],
    outputShape(input) {
      const shape = main.outputShape(input);
      if (!sameShape(shape, shortcut?.outputShape(input) ?? input)) {
        throw new RfmError('internal', 'residual block: the two branches end with different shapes');
      }
      return shape;
    },
    forward(pass, x) {
      this.outputShape(x.shape);
      const left = main.forward(pass, x);
      const right = shortcut?.forward(pass, x);
      const out = rectify.forward(pass, addTensors(pass.batch, left.y, right?.y ?? x));
      return {
        y: out.y,
        back(dy, wanted) {
          const sum = out.back(dy, { parameters: false, input: true });
          if (!sum) throw new RfmError('internal', 'residual block: no gradient');
          const dx = left.back(sum, wanted);
          const other = right ? right.back(sum, wanted) : wanted.input ? sum : null;
          return dx && other ? addTensors(pass.batch, dx, other) : null;
        },
      };
    },
  };
}

/**
 * The basic block of ResNet-18 (He et al., CVPR 2016): two 3 × 3 convolutions with batch normalisation; a 1 × 1
 * convolution with batch normalisation on the shortcut where channels or stride change.
 */
export function basicBlock(gpu: Gpu, name: string, inputs: number, outputs: number, stride: number): Layer {
  const main = sequence([
    convolution(gpu, `${name}.conv1`, { inputs, outputs, size: 3, stride, pad: 1 }),
    batchNorm(gpu, `${name}.bn1`, outputs),
    relu(),
    convolution(gpu, `${name}.conv2`, { inputs: outputs, outputs, size: 3, pad: 1 }),
    batchNorm(gpu, `${name}.bn2`, outputs),
  ]);
  if (stride === 1 && inputs === outputs) return residual(main, null);
  const shortcut = sequence([
    convolution(gpu, `${name}.down0`, { inputs, outputs, size: 1, stride }),
    batchNorm(gpu, `${name}.down1`, outputs),
  ]);
  return residual(main, shortcut);
}
