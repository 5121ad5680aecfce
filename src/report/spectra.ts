/** The figure of the eigenvalues of M. */

import type { TopLevelSpec } from 'vega-lite';
import type { RunMetrics } from '../rfm/types.js';
import type { Theme } from './charts.js';
import { runParts } from './format.js';
import { bandFigure, type Curve } from './train-charts.js';

/** Layers that colours of one scale tell apart. */
const MOST_LAYERS = 8;

/** Eigenvalues of M over the largest, a curve a layer, the first and the last among them; null where M is not formed. */
export function spectraSpec(metrics: RunMetrics, theme: Theme): TopLevelSpec | null {
  const known = metrics.layers.filter(({ agop }) => agop.topEigenvalues[0]! > 0);
  if (known.length === 0) return null;
  const shown = Math.min(MOST_LAYERS, known.length);
  const picked = Array.from(
    { length: shown },
    (_, i) => known[Math.round((i * (known.length - 1)) / Math.max(1, shown - 1))]!,
  );
  const curves = picked.map(({ layer, agop }): Curve => {
    const [largest = 1] = agop.topEigenvalues;
    return {
      label: `layer ${layer}`,
      samples: agop.topEigenvalues.map((value, i) => ({ x: i + 1, values: [value / largest] })),
    };
  });
  const size = { width: 600, height: 300 };
  const panel = { title: '', curves, x: 'number', y: 'eigenvalue / largest', log: true, size, ordered: true };
  return bandFigure('Spectra of M', [panel], { parts: runParts(metrics), seeds: 1 }, theme);
}
