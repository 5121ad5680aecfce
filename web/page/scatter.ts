/** Rows of a layer in the plane of their class means. */

import { element } from './line-chart.js';
import type { Projection } from './protocol.js';

/** Ten colours that stay apart in the common forms of colour blindness; the class's number stands on its mean, too. */
const CLASSES = [
  '#0072B2',
  '#D55E00',
  '#009E73',
  '#CC79A7',
  '#E69F00',
  '#56B4E9',
  '#8C564B',
  '#6A51A3',
  '#7F7F7F',
  '#B5A500',
];
const SIDE = 400;
const MARGIN = 24;

/** Rows as dots, class means as discs with numbers, and a star for a drawn digit. */
export function scatter({ rows, labels, means }: Projection, star: [number, number] | null): SVGSVGElement {
  const all = [...rows, ...means, ...(star ?? [])].filter(Number.isFinite);
  const most = Math.max(...all.map(Math.abs), 1e-30);
  const place = (value: number): number => SIDE / 2 + (value / most) * (SIDE / 2 - MARGIN);
  const classes = means.length / 2;
  const svg = element('svg', {
    ...{ viewBox: `0 0 ${SIDE} ${SIDE}`, role: 'img' },
    'aria-label': `${labels.length} rows of ${classes} classes in the plane of their class means${star ? ', with the drawn digit' : ''}`,
  }) as SVGSVGElement;
  // One path a class: thousands of elements would take long to lay out.
  for (let c = 0; c < classes; c++) {
    let d = '';
    for (let i = 0; i < labels.length; i++) {
      if (labels[i] !== c) continue;
      d += `M${place(rows[2 * i]!).toFixed(1)} ${place(-rows[2 * i + 1]!).toFixed(1)}h0`;
    }
    svg.append(
      element('path', {
        d,
        stroke: CLASSES[c % CLASSES.length]!,
        'stroke-width': 5,
        'stroke-linecap': 'round',
        'stroke-opacity': 0.55,
      }),
    );
  }
  for (let c = 0; c < classes; c++) {
    const [x, y] = [means[2 * c]!, means[2 * c + 1]!];
    if (!Number.isFinite(x)) continue;
    svg.append(
      element('circle', {
        cx: place(x),
        cy: place(-y),
        r: 11,
        fill: '#ffffff',
        stroke: CLASSES[c % CLASSES.length]!,
        'stroke-width': 2.5,
      }),
      element(
        'text',
        {
          x: place(x),
          y: place(-y) + 4.5,
          'font-size': 13,
          'font-weight': 700,
          'text-anchor': 'middle',
          fill: '#1f2328',
        },
        String(c),
      ),
    );
  }
  if (star) {
    const points = Array.from({ length: 10 }, (_, i) => {
      const radius = i % 2 === 0 ? 15 : 6;
      const angle = (i * Math.PI) / 5 - Math.PI / 2;
      return `${place(star[0]) + radius * Math.cos(angle)},${place(-star[1]) + radius * Math.sin(angle)}`;
    });
    svg.append(
      element('polygon', {
        points: points.join(' '),
        fill: '#ffd33d',
        stroke: '#1f2328',
        'stroke-width': 2,
        class: 'star',
      }),
    );
  }
  return svg;
}
