import { RfmError } from '../../errors.js';
import { type Gpu, openDevice } from '../../runtime/gpu.js';
import { mixedFeatures, type OpenOptions, requestAdapter } from '../request-adapter.js';
import { browserPlatform } from './system.js';

/** Of a page or of a worker; absent where there is no WebGPU. */
declare const navigator: { gpu?: GPU };

const HELP = 'in Chromium start it with --enable-unsafe-webgpu, and see chrome://gpu for why there is none';

/** As in Node: see src/platform/node/gpu.ts. */
export async function openGpu({ adapter: choice = 'auto', mixedPrecision = false }: OpenOptions = {}): Promise<Gpu> {
  const instance = navigator.gpu;
  if (!instance) {
    throw new RfmError(
      'noAdapter',
      'this page has no WebGPU: use a browser that has it, over https or from localhost, and in Chromium --enable-unsafe-webgpu',
    );
  }
  const adapter = await requestAdapter(instance, choice, HELP);
  return openDevice(browserPlatform, adapter, { optional: mixedPrecision ? mixedFeatures(adapter) : [] });
}
