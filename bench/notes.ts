import type { OpName } from './case.js';

/** Results below this share of the ceiling get a sentence that says why. */
export const SHARE_TO_EXPLAIN = 1 / 3;

type Why = Readonly<Record<'software' | 'hardware', string>>;

/** Why an operation stays far below the ceiling of registers, by class of adapter. */
export const REASONS: Readonly<Record<OpName, Why>> = {
  gemm: {
    software:
      'a CPU driver gathers numbers lane by lane and keeps sums in memory, and a loop that does much with what it gathered is longer than a processor decodes at full speed; the ceiling has neither',
    hardware:
      'a matrix this small does not fill the device; and totals take registers, so that no second workgroup computes while one waits for its loads',
  },
  syrk: {
    software: 'as in gemm; and tiles on the diagonal compute both halves, and the mirrored half is written, too',
    hardware:
      'half as many tiles fill the device less well, those on the diagonal compute both halves, and the mirrored half is written number by number',
  },
  'kernel-matrix': {
    software:
      'distances are summed from differences, three operations where a ceiling counts two at a time; then n² roots and exponentials follow, which count as nothing',
    hardware:
      'distances are summed from differences, which a fused multiply-add does not serve, and roots and exponentials count as nothing',
  },
  cholesky: {
    software:
      'the diagonal blocks are factored one after the other by one workgroup, and the panels are narrow products',
    hardware:
      'the diagonal blocks are factored one after the other by one workgroup while the rest of the device waits',
  },
  trsm: {
    software: 'blocks are solved one after the other, each a product too small and too narrow for its tiles',
    hardware: 'blocks are solved one after the other, and each is too small to fill the device',
  },
  'agop-gram': {
    software:
      'the products carry a second float, with short sums and exact products of halves, none of which is credited',
    hardware: 'the products carry a second float, and that work is not credited',
  },
  'agop-jacobian': {
    software:
      'the gradients are made from transposed operands and written to memory before the symmetric product reads them',
    hardware: 'the gradients are written to memory before the symmetric product reads them, once a class',
  },
  'sqrt-psd': {
    software:
      'the pivoted factorisation before the products chooses up to 64 columns at a time, each choice needing the last, and is not credited; substitutions are narrow products',
    hardware:
      'the pivoted factorisation chooses up to 64 columns at a time, in small dispatches that each need the last',
  },
  features: {
    software: 'as in gemm, and the activation is a pass of its own over the result',
    hardware: 'the product is small, and the activation is a pass of its own over the result',
  },
  layer: {
    software:
      'a layer is many steps that each need the last; the pivoted factorisation of M, double-float residuals and metrics count as nothing',
    hardware: 'a layer is many small steps, each of which needs the last, with the host between them',
  },
  'deep-rfm': {
    software:
      'a run is many steps that each need the last; the pivoted factorisation of M, double-float residuals and metrics count as nothing',
    hardware: 'a run is many small steps, each of which needs the last, with the host between them',
  },
  'mlp-step': {
    software: 'batches make small products, whose operands are packed for one use, and each pass in between is memory',
    hardware: 'a batch is too small to fill the device, and every dispatch needs the one before',
  },
  'resnet18-step': {
    software:
      'normalisation, ReLU and the optimiser are passes over memory, and images are packed before each convolution',
    hardware: 'gradients by weights write patches out before they multiply, and late stages are small images',
  },
  'agop-probe': {
    software: 'the outer products carry a second float, which is not credited, and both factors are transposed first',
    hardware: 'the outer products carry a second float, and that work is not credited',
  },
  ridges: {
    software: 'substitutions are short steps that each need the last, and residuals in double-float count little',
    hardware: 'substitutions are short steps that each need the last',
  },
  predict: {
    software:
      'distances are summed from differences, and roots, exponentials and second floats of the sums count as nothing',
    hardware:
      'distances are summed from differences, and roots, exponentials and second floats of the sums count as nothing',
  },
  tabular: {
    software:
      'a fit is many steps that each need the last; the median distance, refined solutions and the root of M count as nothing',
    hardware: 'a fit is many small steps, each of which needs the last, with the host between them',
  },
};
