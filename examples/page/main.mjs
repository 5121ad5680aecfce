// The same program in a web page. Bundle it, then serve the folder: WebGPU needs https or localhost.
//   npx esbuild main.mjs --bundle --format=esm --outfile=main.js && npx http-server .

import { deepRfm, openGpu } from 'deep-rfm';
import { mnistDigits } from 'deep-rfm/digits';

const state = document.getElementById('state');

function show({ layer, nc1 }) {
  const item = document.createElement('li');
  item.value = layer;
  item.textContent = String(nc1.features);
  document.getElementById('layers').append(item);
}

try {
  const gpu = await openGpu();
  state.textContent = `Running on ${gpu.adapter.description || gpu.adapter.vendor} …`;
  await deepRfm(gpu, mnistDigits(200), { depth: 4, width: 128, progress: { onLayer: show } });
  await gpu.close();
  state.textContent = 'Done.';
} catch (error) {
  state.textContent = `${error.kind ?? 'error'}: ${error.message}`;
}
