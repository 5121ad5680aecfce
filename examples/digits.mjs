import { deepRfm, openGpu } from 'deep-rfm';
import { mnistDigits } from 'deep-rfm/digits';

const gpu = await openGpu();
try {
  const { layers } = await deepRfm(gpu, mnistDigits(200), { depth: 4, width: 128 });
  for (const { layer, nc1 } of layers) console.log(layer, nc1.features);
} finally {
  await gpu.close();
}
