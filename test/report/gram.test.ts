import { PNG } from 'pngjs';
import { describe, expect, it } from 'vitest';
import { divergingColor } from '../../src/report/colors.js';
import { gramFileName, gramLayout, gramPng } from '../../src/report/gram.js';
import type { GramPicture } from '../../src/rfm/types.js';
import { blockGram } from './fixtures.js';

const read = async (picture: GramPicture): Promise<PNG> => PNG.sync.read(await gramPng(picture));

const pixel = (png: PNG, x: number, y: number): number[] => {
  const offset = 4 * (y * png.width + x);
  return [...png.data.subarray(offset, offset + 3)];
};

/** Colour at the centre of the entry (i, j). */
function entry(png: PNG, size: number, i: number, j: number): number[] {
  const { left, top, rowsPerPixel, pixelsPerRow } = gramLayout(size);
  const place = (index: number): number =>
    Math.floor(index / rowsPerPixel) * pixelsPerRow + Math.floor(pixelsPerRow / 2);
  return pixel(png, left + place(j), top + place(i));
}

describe('colour map', () => {
  it('is white at 0, red at +1, blue at -1, and clamps', () => {
    expect(divergingColor(0)).toEqual([255, 255, 255]);
    expect(divergingColor(1)).toEqual([103, 0, 31]);
    expect(divergingColor(-1)).toEqual([5, 48, 97]);
    expect(divergingColor(1.0001)).toEqual(divergingColor(1));
    expect(divergingColor(-7)).toEqual(divergingColor(-1));
  });

  it('shows what is not a number in a colour of its own', () => {
    const missing = divergingColor(Number.NaN);
    for (let value = -1; value <= 1; value += 0.01) {
      const distance = Math.hypot(...divergingColor(value).map((channel, index) => channel - missing[index]!));
      expect(distance).toBeGreaterThan(60);
    }
  });
});

describe('layout', () => {
  it.each([1, 2, 7, 10, 333, 499, 500, 501, 999, 1000, 1001, 2000, 2500, 10_000])('fits %i rows', (size) => {
    const { plot, rowsPerPixel, pixelsPerRow } = gramLayout(size);
    expect(plot).toBeGreaterThanOrEqual(500);
    expect(plot).toBeLessThanOrEqual(1000);
    expect(Math.min(rowsPerPixel, pixelsPerRow)).toBe(1);
    expect(plot).toBe(Math.ceil(size / rowsPerPixel) * pixelsPerRow);
  });
});

describe('picture', () => {
  it('magnifies a small one without smoothing', async () => {
    const counts = [3, 2, 4];
    const picture = blockGram(1, counts, 0.8);
    picture.values[0 * 9 + 8] = 0;
    const png = await read(picture);
    const layout = gramLayout(9);
    expect([png.width, png.height]).toEqual([layout.width, layout.height]);
    expect(entry(png, 9, 0, 0)).toEqual(divergingColor(1));
    expect(entry(png, 9, 8, 7)).toEqual(divergingColor(0.8));
    expect(entry(png, 9, 4, 0)).toEqual(divergingColor(-0.5));
    expect(entry(png, 9, 0, 8)).toEqual([255, 255, 255]);
    const corner = pixel(png, layout.left, layout.top);
    expect(corner).toEqual(divergingColor(1));
    expect(pixel(png, layout.left + layout.pixelsPerRow - 1, layout.top)).toEqual(corner);
    expect(pixel(png, layout.left + layout.pixelsPerRow, layout.top)).toEqual(divergingColor(0.8));
  });

  it('averages a large one over boxes, smaller ones at the end included', async () => {
    const size = 2002;
    const values = new Float32Array(size * size);
    // Stripes of three columns, 1, 0 and 0.5, have the mean 0.5; the last box holds one column of -1.
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) values[i * size + j] = j === size - 1 ? -1 : [1, 0, 0.5][j % 3]!;
    }
    const png = await read({ layer: 2, size, classCounts: [1000, 1002], values });
    const { plot, left, top, rowsPerPixel } = gramLayout(size);
    expect([rowsPerPixel, plot]).toEqual([3, 668]);
    expect(pixel(png, left + 10, top + 10)).toEqual(divergingColor(0.5));
    expect(pixel(png, left + plot - 2, top + plot - 1)).toEqual(divergingColor(0.5));
    expect(pixel(png, left + plot - 1, top + plot - 1)).toEqual(divergingColor(-1));
  });

  it('has a colour bar, and ticks at the class boundaries only', async () => {
    const counts = [100, 300, 0, 200];
    const png = await read(blockGram(3, counts));
    const { left, top, plot, bar } = gramLayout(600);
    const middle = bar.left + Math.floor(bar.width / 2);
    expect(pixel(png, middle, top)).toEqual(divergingColor(1));
    expect(pixel(png, middle, top + plot / 2)).toEqual([255, 255, 255]);
    expect(pixel(png, middle, top + plot - 1)).toEqual(divergingColor(-1));
    const dark = (x: number, y: number): boolean => pixel(png, x, y)[0]! < 200;
    const found = Array.from({ length: plot - 2 }, (_, i) => i + 1).filter((row) => dark(left - 6, top + row));
    for (const row of found) expect(Math.min(Math.abs(row - 100), Math.abs(row - 400))).toBeLessThanOrEqual(1);
    expect(found.some((row) => Math.abs(row - 100) <= 1) && found.some((row) => Math.abs(row - 400) <= 1)).toBe(true);
  });

  it('writes the layer above the square', async () => {
    const png = await read(blockGram(7, [5, 5]));
    const { left, top } = gramLayout(10);
    let dark = 0;
    for (let y = 0; y < top / 2; y++) for (let x = left; x < left + 100; x++) if (pixel(png, x, y)[0]! < 120) dark++;
    expect(dark).toBeGreaterThan(50);
  });

  it('marks entries that are not numbers', async () => {
    const picture = blockGram(1, [2, 2]);
    picture.values[1] = Number.NaN;
    expect(entry(await read(picture), 4, 0, 1)).toEqual(divergingColor(Number.NaN));
  });

  it('takes one row, and a hundred classes', async () => {
    expect(entry(await read(blockGram(1, [1])), 1, 0, 0)).toEqual(divergingColor(1));
    const counts = Array.from({ length: 100 }, () => 6);
    expect((await read(blockGram(1, counts))).width).toBe(gramLayout(600).width);
  });

  it('refuses values or classes of another size', async () => {
    await expect(gramPng({ ...blockGram(1, [2, 2]), classCounts: [2, 3] })).rejects.toThrow(
      /4 rows with 16 values and 5 rows in classes/,
    );
    await expect(gramPng({ layer: 1, size: 3, classCounts: [3], values: new Float32Array(4) })).rejects.toThrow();
  });

  it('numbers its files so that they sort', () => {
    expect([1, 13, 100].map(gramFileName)).toEqual(['gram-layer-01.png', 'gram-layer-13.png', 'gram-layer-100.png']);
  });
});
