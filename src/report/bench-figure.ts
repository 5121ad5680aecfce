/** The figure of a benchmark. */

import type { TopLevelSpec } from 'vega-lite';
import type { BenchDocument } from './bench-document.js';
import type { Tip } from './chart-points.js';
import { PAPER, type Theme } from './charts.js';
import { adapterLabel, shorten } from './format.js';
import { FONT_FAMILY } from './raster.js';

const BAR = 18;
const OURS = '#0072B2';
const PEERS = '#E69F00';
const CEILING = '#D55E00';

/** Bars of GFLOP/s, ours and the peers', with the ceiling as a line. Operations without a rate are left out. */
export function benchSpec(document: BenchDocument, theme: Theme = PAPER): TopLevelSpec | null {
  const { results, peers, ceilings, adapter } = document;
  const cases = [...new Set(results.map(({ op, shape }) => `${op} ${shape}`))];
  const bars = cases.flatMap((name) => [
    ...results
      .filter((r) => `${r.op} ${r.shape}` === name && r.gflops !== null)
      .map((r) => ({ label: `${name} · ${r.variant}`, gflops: r.gflops, kind: 'deep-rfm' })),
    ...peers
      .filter((p) => `${p.op} ${p.shape}` === name && p.gflops !== null)
      .map((p) => ({ label: `${name} · ${p.name}, ${p.method}`, gflops: p.gflops, kind: 'peer' })),
  ]);
  if (bars.length === 0) return null;
  const { ink } = theme;
  const tipped = bars.map((bar) => {
    const tip: Tip = { series: 'GFLOP/s', axis: 'operation', at: bar.label, value: bar.gflops ?? Number.NaN };
    return { ...bar, tip };
  });
  const labels = bars.map(({ label }) => label);
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    width: 520,
    height: BAR * bars.length,
    background: theme.background ?? 'transparent',
    autosize: 'none',
    // Sizes are set and not left to vega, which without a canvas takes text for wider than it is.
    padding: { left: 20 + 6.6 * Math.max(...labels.map((label) => label.length)), right: 30, top: 80, bottom: 48 },
    config: {
      font: FONT_FAMILY,
      aria: false,
      view: { stroke: null },
      axis: { labelColor: ink, titleColor: ink, gridColor: ink, gridOpacity: 0.13, domainColor: ink, tickColor: ink },
    },
    title: {
      text: 'GFLOP/s, and the ceiling of this adapter',
      subtitle: [
        shorten(adapterLabel(adapter, 60), 75),
        `Blue: deep-rfm.${peers.length > 0 ? ' Orange: peers.' : ''} Dashed: multiply-adds from registers.`,
      ],
      anchor: 'start',
      // At the plot: beside the labels of the bars, whose width vega can only guess here.
      frame: 'group',
      fontSize: 15,
      color: ink,
      subtitleColor: ink,
    },
    layer: [
      {
        data: { values: tipped },
        mark: { type: 'bar', height: BAR - 5 },
        encoding: {
          y: { field: 'label', type: 'nominal', sort: labels, axis: { title: null, labelLimit: 900, ticks: false } },
          x: { field: 'gflops', type: 'quantitative', axis: { title: 'GFLOP/s' } },
          color: {
            field: 'kind',
            type: 'nominal',
            scale: { domain: ['deep-rfm', 'peer'], range: [OURS, PEERS] },
            legend: null,
          },
        },
      },
      {
        data: { values: [{ ceiling: ceilings.gflops }] },
        mark: { type: 'rule', color: CEILING, strokeDash: [6, 4], strokeWidth: 2 },
        encoding: { x: { field: 'ceiling', type: 'quantitative' } },
      },
    ],
  };
}
