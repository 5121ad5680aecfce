import { PNG, type PNGOptions } from 'pngjs';
import type { GramPicture } from '../rfm/types.js';
import { divergingColor, MISSING } from './colors.js';
import { FONT_FAMILY, svgToPixels } from './raster.js';

// Steps of 0.01: finer ones cannot be seen, and 2.5 times as many made a noisy picture's file a third larger.
const LEVELS = 100;
const TABLE = Uint8Array.from(
  Array.from({ length: 2 * LEVELS + 1 }, (_, index) => divergingColor(index / LEVELS - 1)).flat(),
);

const MIN_PIXELS = 500;
const MAX_PIXELS = 1000;

/** Where the parts of a picture lie, in pixels; `plot` is the side of the square of similarities. */
export interface GramLayout {
  width: number;
  height: number;
  left: number;
  top: number;
  plot: number;
  /** Rows averaged into a pixel (at least 1), and pixels a row takes (at least 1): one of them is 1. */
  rowsPerPixel: number;
  pixelsPerRow: number;
  bar: { left: number; width: number };
}

/** Layout of the picture of n rows: whole rows a pixel or whole pixels a row, so that no row is drawn wider. */
export function gramLayout(size: number): GramLayout {
  const rowsPerPixel = Math.max(1, Math.ceil(size / MAX_PIXELS));
  const pixelsPerRow = rowsPerPixel > 1 ? 1 : Math.max(1, Math.ceil(MIN_PIXELS / size));
  const plot = Math.ceil(size / rowsPerPixel) * pixelsPerRow;
  // Text grows with the picture, which is shown at one width whatever its size.
  const em = Math.round(plot / 26);
  const left = Math.round(3.2 * em);
  const top = Math.round(3 * em);
  const bar = { left: left + plot + em, width: em };
  const width = bar.left + bar.width + Math.round(2.6 * em);
  return { width, height: top + plot + Math.round(0.8 * em), left, top, plot, rowsPerPixel, pixelsPerRow, bar };
}

/** Means of square boxes of rows and columns; the last box of each side may be smaller. */
function boxMeans({ size, values }: GramPicture, rowsPerBox: number): { side: number; means: ArrayLike<number> } {
  if (rowsPerBox === 1) return { side: size, means: values };
  const side = Math.ceil(size / rowsPerBox);
  const means = new Float64Array(side * side);
  for (let i = 0; i < size; i++) {
    const line = Math.floor(i / rowsPerBox) * side;
    for (let j = 0, box = line, filled = 0; j < size; j++) {
      means[box]! += values[i * size + j]!;
      if (++filled === rowsPerBox) {
        filled = 0;
        box++;
      }
    }
  }
  const extent = (index: number): number => Math.min(rowsPerBox, size - index * rowsPerBox);
  for (let i = 0; i < side; i++) {
    for (let j = 0; j < side; j++) means[i * side + j]! /= extent(i) * extent(j);
  }
  return { side, means };
}

/** Red, green and blue of every pixel. */
interface Pixels {
  width: number;
  height: number;
  data: Buffer;
}

function setPixel(data: Buffer, offset: number, color: ArrayLike<number>, at = 0): void {
  data[offset] = color[at]!;
  data[offset + 1] = color[at + 1]!;
  data[offset + 2] = color[at + 2]!;
}

const tableIndex = (value: number): number => 3 * Math.round((Math.min(1, Math.max(-1, value)) + 1) * LEVELS);

function paint(image: Pixels, picture: GramPicture, layout: GramLayout): void {
  const { side, means } = boxMeans(picture, layout.rowsPerPixel);
  const scale = layout.pixelsPerRow;
  for (let y = 0; y < layout.plot; y++) {
    const row = Math.floor(y / scale) * side;
    for (let x = 0; x < layout.plot; x++) {
      const value = means[row + Math.floor(x / scale)]!;
      const offset = 3 * ((layout.top + y) * layout.width + layout.left + x);
      if (Number.isNaN(value)) setPixel(image.data, offset, MISSING);
      else setPixel(image.data, offset, TABLE, tableIndex(value));
    }
    const level = tableIndex(1 - (2 * y) / Math.max(1, layout.plot - 1));
    for (let x = 0; x < layout.bar.width; x++) {
      setPixel(image.data, 3 * ((layout.top + y) * layout.width + layout.bar.left + x), TABLE, level);
    }
  }
}

/** Smallest round step between numbered classes at which the numbers do not run into each other. */
function labelStep(classCounts: readonly number[], pixelsPerRow: number, em: number): number {
  const fits = (step: number): boolean => {
    let row = 0;
    let end = Number.NEGATIVE_INFINITY;
    for (const [label, count] of classCounts.entries()) {
      const middle = (row + count / 2) * pixelsPerRow;
      row += count;
      if (count === 0 || label % step !== 0) continue;
      const half = 0.32 * em * String(label).length;
      if (middle - half - end < 0.6 * em) return false;
      end = middle + half;
    }
    return true;
  };
  for (let power = 1; power < classCounts.length; power *= 10) {
    for (const factor of [1, 2, 5]) if (fits(factor * power)) return factor * power;
  }
  return Math.max(1, classCounts.length);
}

/** Title, class boundaries and numbers, and the scale of the colour bar, around the square and not in it. */
function decorations(picture: GramPicture, layout: GramLayout): string {
  const { classCounts } = picture;
  const { left, top, plot, bar, width, height } = layout;
  const em = plot / 26;
  const place = (row: number): number => Math.round((row / picture.size) * plot);
  const parts: string[] = [];
  const line = (x1: number, y1: number, x2: number, y2: number): void => {
    parts.push(`<path d="M${x1} ${y1}L${x2} ${y2}"/>`);
  };
  const text = (x: number, y: number, anchor: string, content: string, weight = 'normal'): void => {
    parts.push(
      `<text x="${x}" y="${y}" text-anchor="${anchor}" font-weight="${weight}" stroke="none">${content}</text>`,
    );
  };
  const ink = Math.max(1, Math.round(em / 16));
  parts.push(
    `<rect x="${left - ink / 2}" y="${top - ink / 2}" width="${plot + ink}" height="${plot + ink}"/>`,
    `<rect x="${bar.left - ink / 2}" y="${top - ink / 2}" width="${bar.width + ink}" height="${plot + ink}"/>`,
  );
  text(left, 1.15 * em, 'start', `layer ${picture.layer}`, 'bold');
  // Ticks reach between the numbers only where numbers stand on every class.
  const narrowest = Math.min(...classCounts.filter((count) => count > 0)) * (plot / picture.size);
  const tick = (narrowest < 1.6 * em ? 0.2 : 0.6) * em;
  const numbered = labelStep(classCounts, plot / picture.size, em);
  let row = 0;
  for (const [label, count] of classCounts.entries()) {
    const from = place(row);
    row += count;
    const to = place(row);
    if (row < picture.size && to > from) {
      line(left - tick, top + to, left - ink, top + to);
      line(left + to, top - tick, left + to, top - ink);
    }
    // Numbers of narrow classes would run into each other.
    const middle = (from + to) / 2;
    if (count === 0 || label % numbered !== 0) continue;
    text(left - 0.8 * em, top + middle + 0.36 * em, 'end', String(label));
    text(left + middle, top - 0.5 * em, 'middle', String(label));
  }
  for (const [share, label] of [
    [0, '1'],
    [0.5, '0'],
    [1, '−1'],
  ] as const) {
    const y = top + share * plot;
    line(bar.left + bar.width, y, bar.left + bar.width + 0.3 * em, y);
    text(bar.left + bar.width + 0.5 * em, y + 0.36 * em, 'start', label);
  }
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="${FONT_FAMILY}" ` +
    `font-size="${em}" fill="#1f2328" stroke="#1f2328" stroke-width="${ink}">` +
    `${parts.join('').replaceAll('<rect ', '<rect fill="none" ')}</svg>`
  );
}

/** Lays the pixels of `svgToPixels` over a picture of the same size. */
function blend({ data }: Pixels, over: Uint8Array): void {
  for (let pixel = 0; 3 * pixel < data.length; pixel++) {
    const alpha = over[4 * pixel + 3]!;
    if (alpha === 0) continue;
    for (let channel = 0; channel < 3; channel++) {
      const offset = 3 * pixel + channel;
      data[offset] = Math.round(over[4 * pixel + channel]! + (1 - alpha / 255) * data[offset]!);
    }
  }
}

/**
 * Draws cosine similarities as a PNG: red is +1, white 0, blue −1. Pictures of more than 1000 rows are averaged over
 * square boxes, small ones are magnified without smoothing. Classes are numbered from 0 and parted by ticks.
 */
export async function gramPng(picture: GramPicture): Promise<Buffer> {
  const { size, values, classCounts } = picture;
  const rows = classCounts.reduce((sum, count) => sum + count, 0);
  if (size < 1 || values.length !== size * size || rows !== size) {
    throw new Error(`Gram picture of ${size} rows with ${values.length} values and ${rows} rows in classes`);
  }
  const layout = gramLayout(size);
  const { width, height } = layout;
  const image = { width, height, data: Buffer.alloc(3 * width * height, 255) };
  paint(image, picture, layout);
  blend(image, await svgToPixels(decorations(picture, layout)));
  // Few colours repeat as they are: without filters, which are for smooth pictures, files were a quarter to a half smaller.
  const options: PNGOptions = { colorType: 2, inputColorType: 2, deflateLevel: 6, filterType: 0, deflateStrategy: 0 };
  return PNG.sync.write(Object.assign(new PNG(), image), options);
}

/** File name of a layer's picture. */
export const gramFileName = (layer: number): string => `gram-layer-${String(layer).padStart(2, '0')}.png`;
