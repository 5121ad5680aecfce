import { expect, it } from 'vitest';
import type { LabelledRows } from '../../src/numbers.js';
import { type DeepRfmState, deepRfm } from '../../src/rfm/deep-rfm.js';
import { throughLayers } from '../../src/rfm/through-layers.js';
import { reportErrors, useGpu } from '../support/gpu.js';
import { normalMatrix } from '../support/reference.js';

const gpu = useGpu();
reportErrors();

const rows = (n: number, cols: number, seed: number): LabelledRows => ({
  x: Float32Array.from(normalMatrix(n, cols, seed).data),
  labels: Int32Array.from({ length: n }, (_, i) => i % 3),
  ...{ rows: n, cols },
});

it.each(['relu', 'cos'] as const)('rows that come later go the way of test rows, %s', async (activation) => {
  const train = rows(24, 7, 1);
  const test = rows(5, 7, 2);
  const options = { depth: 3, width: 10, seed: 4, activation };
  const roots: Float32Array[] = [];
  const states: DeepRfmState[] = [];
  await deepRfm(gpu(), { train, test, classes: 3 }, options, {
    progress: {
      onRoot: (layer, root) => {
        roots[layer - 1] = root;
      },
      save: (state) => void states.push(state),
    },
  });
  expect(roots.map(({ length }) => length)).toEqual([49, 100, 100]);
  const stages = await throughLayers(gpu(), train, test, roots, options);
  expect(stages).toHaveLength(4);
  for (const [i, { test: expected }] of states.entries()) expect(stages[i + 1]).toEqual(expected);
  // One row alone goes where it goes among others.
  const alone = { ...test, x: test.x.slice(0, 7), labels: test.labels.slice(0, 1), rows: 1 };
  const [last] = (await throughLayers(gpu(), train, alone, roots, options)).slice(-1);
  const among = stages[3]!.x.subarray(0, 10);
  expect(Math.max(...last!.x.map((value, j) => Math.abs(value - among[j]!)))).toBeLessThan(1e-5);
});
