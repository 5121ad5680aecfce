import doubleFloat4 from '../../../shaders/common/double_float4.wgsl';
import kernelValue from '../../../shaders/kernel-matrix/kernel_value.wgsl';
import type { RadialKernel } from './kernel.js';

/** What comes before a text that makes kernel values. */
export const kernelText = ({ shader }: RadialKernel): string => `${doubleFloat4}\n${shader.source}\n${kernelValue}`;
