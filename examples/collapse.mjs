// Five lines to the collapse of your own arrays: NC1 and NC2 of rows with their classes.

import { matrix, neuralCollapse, openGpu } from 'deep-rfm';

const rows = Array.from({ length: 60 }, (_, i) => [Math.cos(i % 3), Math.sin(i % 3), Math.sin(i * i) / 10]);
const labels = rows.map((_, i) => i % 3);

const gpu = await openGpu();
const { nc1, nc2 } = await neuralCollapse(gpu, matrix(gpu, rows), labels);
console.log(`NC1 ${nc1}, NC2 ${nc2}`);
await gpu.close();
