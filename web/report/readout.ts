/** Values of a chart, under the pointer and by the arrow keys. */

/** A point as src/report/chart-points.ts wrote it. */
interface PlacedPoint {
  x: number;
  y: number;
  text: string;
}

/** As far from a point as it is still meant, in units of the drawing. */
const REACH = 40;

/** Marks so near to each other lie on each other. */
const SAME_PLACE = 1.5;

/** Points in one place that are told of. */
const MOST_SAID = 6;

const SVG = 'http://www.w3.org/2000/svg';

/** Shows the value of the point that is nearest to the pointer; arrow keys go from point to point. */
export function addReadout(figure: HTMLElement): void {
  const svg = figure.querySelector<SVGSVGElement>('svg');
  const stage = figure.querySelector<HTMLElement>('.scroll');
  const data = figure.querySelector('script[type="application/json"]')?.textContent;
  if (!svg || !stage || !data) return;
  const points = JSON.parse(data) as PlacedPoint[];
  if (points.length === 0) return;
  const ring = document.createElementNS(SVG, 'circle');
  ring.setAttribute('class', 'ring');
  ring.setAttribute('r', '7');
  const said = document.createElement('p');
  said.className = 'readout';
  said.setAttribute('role', 'status');
  const hint = 'Values stand here under the pointer, or with the arrow keys when the figure has the focus.';
  said.textContent = hint;
  stage.after(said);
  let current = -1;

  const show = (index: number): void => {
    const point = points[index];
    if (!point) return;
    current = index;
    ring.setAttribute('cx', String(point.x));
    ring.setAttribute('cy', String(point.y));
    svg.append(ring);
    const here = points.filter(({ x, y }) => Math.hypot(x - point.x, y - point.y) <= SAME_PLACE);
    const more = here.length > MOST_SAID ? [`${here.length - MOST_SAID} more`] : [];
    said.textContent = [...here.slice(0, MOST_SAID).map(({ text }) => text), ...more].join('; ');
    said.classList.add('shown');
  };
  const hide = (): void => {
    ring.remove();
    said.textContent = hint;
    said.classList.remove('shown');
  };

  svg.addEventListener('pointermove', (event) => {
    const matrix = svg.getScreenCTM();
    if (!matrix) return;
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
    const distances = points.map((point) => Math.hypot(point.x - at.x, point.y - at.y));
    const nearest = Math.min(...distances);
    if (nearest <= REACH) show(distances.indexOf(nearest));
    else hide();
  });
  svg.addEventListener('pointerleave', hide);
  stage.addEventListener('blur', hide);
  stage.addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === 'Escape') hide();
    if (step === undefined) return;
    event.preventDefault();
    show((Math.max(current, step > 0 ? -1 : 0) + step + points.length) % points.length);
  });
}
