// A model is made, kept as the bytes of its files, and predicts digits that it has not seen. Where the bytes go is up to you.

import { deepRfm, loadModel, openGpu, predict, saveModel } from 'deep-rfm';
import { mnistDigits } from 'deep-rfm/digits';

const { x, labels } = mnistDigits(200);
const train = { x: x.subarray(0, 150 * 784), labels: labels.subarray(0, 150) };

const gpu = await openGpu();
try {
  const { model } = await deepRfm(gpu, train, { depth: 2, width: 64, keepModel: true });
  const files = await saveModel(model);

  const again = await loadModel(files);
  const found = await predict(gpu, again, x.subarray(150 * 784));
  const right = found.labels.filter((label, i) => label === labels[150 + i]).length;
  console.log(`${[...files.keys()].join(' ')}: ${right} of ${found.labels.length} digits are right`);
} finally {
  await gpu.close();
}
