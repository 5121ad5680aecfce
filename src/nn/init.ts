import { inputError, say, the } from '../errors.js';
import { philoxFill } from '../ops/features/features.js';
import { philoxUniform } from '../ops/features/philox.js';
import { runBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { clearTapPadding } from './convolution.js';
import type { Parameter } from './layer.js';

/** Weights of a linear layer ~ U(−b, b) with b = gain · √(6 / (in + out)) (Glorot and Bengio, AISTATS 2010). */
export const xavierBound = (gain: number, inputs: number, outputs: number): number =>
  gain * Math.sqrt(6 / (inputs + outputs));

/** ~ U(−b, b) with b = gain · √(3 / fan); gain √2 before a ReLU (He et al., ICCV 2015). */
export const kaimingBound = (gain: number, fan: number): number => gain * Math.sqrt(3 / fan);

/** ~ U(−b, b) with b = 1/√inputs, as PyTorch draws a linear layer. */
export const plainBound = (inputs: number): number => 1 / Math.sqrt(inputs);

/** Weights of this bound and above have all digits in float32: the smallest of 2²⁴ that may be drawn is a normal number. */
const SMALLEST_BOUND = 2 ** -102;

/**
 * Draws the weights of a network: linear layers by Xavier with `gain`, convolutions by Kaiming with gain √2 and the
 * fan of their outputs (as torchvision does for ResNet and VGG, there from a normal distribution). Biases stay 0 and the
 * weights of batch normalisation 1. Parameter number p takes the Philox words of layer p, stream 0, row-major in the
 * layout of the parameter.
 * `plain`: names of linear layers' parameters that are drawn by `plainBound` in place of that.
 * @throws input error for a gain whose weights float32 does not hold.
 */
export async function initialize(
  gpu: Gpu,
  parameters: readonly Parameter[],
  { gain, seed, plain = [] }: { gain: number; seed: number; plain?: readonly string[] },
): Promise<void> {
  await runBatch(gpu, (batch) => {
    parameters.forEach(({ name, value, fan }, layer) => {
      if (!fan) return;
      const linear = plain.includes(name) ? plainBound(fan.in) : xavierBound(gain, fan.in, fan.out);
      const scale = fan.taps === undefined ? linear : kaimingBound(Math.SQRT2, fan.out);
      if (!(scale >= SMALLEST_BOUND && Number.isFinite(Math.fround(scale)))) {
        throw inputError(
          say`${the.init} ${gain}: float32 does not hold weights of up to ${scale.toExponential(1)}; use one nearer to 1`,
        );
      }
      if (fan.taps === undefined || fan.taps.inputs % 4 === 0) {
        philoxFill(batch, value, { seed, layer, stream: 0 }, { signed: true, scale });
        return;
      }
      const { size, inputs } = fan.taps;
      const drawn = philoxUniform(value.rows * value.cols, layer, 0, seed);
      const weights = Float32Array.from(drawn, (u) => scale * (2 * u - 1));
      clearTapPadding(weights, value.rows, size, inputs);
      gpu.device.queue.writeBuffer(value.buffer, 0, weights);
    });
  });
}
