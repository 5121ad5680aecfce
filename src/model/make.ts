/** The documents of models that were just made. */

import type { RadialKernel } from '../ops/kernels/kernel.js';
import { settingsOf } from '../ops/kernels/kernels.js';
import type { Gpu } from '../runtime/gpu.js';
import { VERSION } from '../version.js';
import type { WrittenLayers } from './deep-rfm.js';
import { type DeepRfmDocument, MODEL_SCHEMA, type ModelDocument, type RfmDocument } from './document.js';
import type { WrittenRfm } from './rfm.js';

/** What a model's numbers do not tell. */
export type About = Pick<ModelDocument, 'columns' | 'outputs' | 'code' | 'classes' | 'settings' | 'data'>;

const header = ({ adapter, lanes, choices }: Pick<Gpu, 'adapter' | 'lanes' | 'choices'>) => ({
  schema: MODEL_SCHEMA as typeof MODEL_SCHEMA,
  version: VERSION,
  ...{ adapter, lanes, choices: [...choices] },
});

/** model.json of a Deep RFM. */
export const deepRfmDocument = (
  gpu: Gpu,
  about: About,
  { kernel, activation }: { kernel: RadialKernel; activation: DeepRfmDocument['activation'] },
  written: WrittenLayers,
): DeepRfmDocument => ({
  ...header(gpu),
  kind: 'deep-rfm',
  ...about,
  ...{ kernel: settingsOf(kernel), activation, ...written },
});

/** model.json of a kernel machine with a metric. */
export const rfmDocument = (gpu: Gpu, about: About, written: WrittenRfm): RfmDocument => ({
  ...header(gpu),
  kind: 'rfm',
  ...about,
  ...written,
});
