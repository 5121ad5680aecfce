import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeRunReport } from '../../src/report/run-report.js';
import type { RunMetrics } from '../../src/rfm/types.js';
import { blockGram, fallingRun } from '../report/fixtures.js';
import { accessibilityFaults, LEFT_OUT, noBrowser, useBrowser, watch } from './browser.js';

// A report as it lies on a disk, driven as a reader would.

const folder = mkdtempSync(join(tmpdir(), 'deep-rfm-report-page-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const browser = useBrowser();
const url = pathToFileURL(join(folder, 'report.html')).href;
const counts = [20, 30, 10];

/** Collapses entirely in its last layer. */
function metrics(): RunMetrics {
  const run = fallingRun(4, 0.5, 4, { classCounts: counts });
  const last = run.layers[3]!;
  const stages = { ...last.nc1, agop: 0, features: 0 };
  for (const layer of run.layers) layer.seconds.compilation = layer.layer === 1 ? 9.5 : 0;
  return {
    ...run,
    config: { ...run.config, n: 60, gramLayers: [1, 3] },
    layers: [...run.layers.slice(0, 3), { ...last, nc1: stages }],
  };
}

beforeAll(async () => {
  if (noBrowser) return;
  await writeRunReport(folder, metrics(), [blockGram(1, counts, 0.5), blockGram(3, counts)]);
});

async function opened(options: { width?: number; dark?: boolean } = {}): Promise<{ page: Page; complaints: string[] }> {
  const page = await browser().newPage({
    viewport: { width: options.width ?? 1200, height: 900 },
    colorScheme: options.dark ? 'dark' : 'light',
  });
  const complaints = watch(page, url);
  await page.goto(url);
  return { page, complaints };
}

/** The content of what a click downloads, and its name. */
async function download(page: Page, selector: string): Promise<{ name: string; content: Buffer }> {
  const [started] = await Promise.all([page.waitForEvent('download'), page.click(selector)]);
  return { name: started.suggestedFilename(), content: readFileSync(await started.path()) };
}

describe.skipIf(noBrowser)(`the report of a run in Chromium, from a file${LEFT_OUT}`, () => {
  it('says the verdict first, and values under the pointer and by the arrow keys', async () => {
    const { page, complaints } = await opened();
    const { nc1 } = metrics().layers[0]!;
    expect(await page.textContent('header p')).toBe(
      `NC1 fell from ${nc1.input.toPrecision(3)} to 0 (fully collapsed) over 4 layers. In a layer (geometric mean) the AGOP step divides it by ` +
        '3.33, and the random features multiply it by 1.5. Test accuracy went from 85.7 % at layer 1 to 86.9 % at layer 4.',
    );
    const figure = page.locator('figure[data-chart=nc1]');
    const points: { x: number; y: number; text: string }[] = JSON.parse(
      (await figure.locator('script').textContent()) ?? '',
    );
    expect(points).toHaveLength(12);
    const svg = figure.locator('svg');
    await svg.scrollIntoViewIfNeeded();
    const box = (await svg.boundingBox())!;
    const scale = box.width / Number((await svg.getAttribute('viewBox'))!.split(' ')[2]);
    for (const [at, text] of [
      [points[1]!, points[1]!.text],
      // Two collapsed stages lie on each other.
      [points[11]!, `${points[7]!.text}; ${points[11]!.text}`],
    ] as const) {
      await page.mouse.move(box.x + scale * at.x + 2, box.y + scale * at.y - 2);
      expect(await figure.locator('.readout').textContent()).toBe(text);
      // The ring stands on a mark.
      const middles = await figure.locator('svg .ring, svg .mark-symbol path').evaluateAll((all) =>
        all.map((one) => {
          const { x, y, width, height } = one.getBoundingClientRect();
          return [x + width / 2, y + height / 2] as const;
        }),
      );
      const [ringX, ringY] = middles.at(-1)!;
      expect(Math.min(...middles.slice(0, -1).map(([x, y]) => Math.hypot(x - ringX, y - ringY)))).toBeLessThan(1);
    }
    expect(points[11]!.text).toBe('after random features φ(W M¹⁄²X), layer 4: 0 (fully collapsed)');
    await figure.locator('.scroll').first().focus();
    for (const key of ['ArrowRight', 'ArrowRight', 'ArrowLeft']) await page.keyboard.press(key);
    expect(points.map(({ text }) => text)).toContain(await figure.locator('.readout').textContent());
    await page.keyboard.press('Escape');
    expect(await figure.locator('.readout').textContent()).toMatch(/^Values stand here/);
    expect(await page.textContent('main')).toContain(
      'Shaders were compiled besides, which no bar holds: 9.5 s in layer 1.',
    );
    expect(complaints).toEqual([]);
    await page.close();
  });

  it('shows one Gram picture, which the slider chooses', async () => {
    const { page } = await opened();
    const visible = () => page.locator('.grams figure:visible figcaption').allTextContents();
    expect(await visible()).toEqual(['Layer 1']);
    await page.focus('#gram-layer');
    await page.keyboard.press('ArrowRight');
    expect(await visible()).toEqual(['Layer 3']);
    expect(await page.getAttribute('#gram-layer', 'aria-valuetext')).toBe('layer 3');
    const { name, content } = await download(page, '.gram-control button');
    expect(name).toBe('gram-layer-03.png');
    expect(content.equals(readFileSync(join(folder, 'gram-layer-03.png')))).toBe(true);
    await page.close();
  });

  it('hands out every figure as SVG and PNG and every table as CSV', async () => {
    const { page, complaints } = await opened({ dark: true });
    const figures = await page.locator('figure[data-chart]').evaluateAll((all) => all.map((one) => one.dataset.chart));
    expect(figures).toEqual(['nc1', 'nc2', 'spectra', 'accuracy', 'time']);
    const tables = await page.locator('[data-table]').evaluateAll((all) => all.map((one) => one.dataset.table));
    expect(tables).toEqual(['layers', 'certificate', 'settings']);
    for (const name of ['nc1', 'time']) {
      const drawn = await download(page, `[data-chart=${name}] .tools button:text-is("SVG")`);
      expect(drawn.name).toBe(`${name}.svg`);
      const text = drawn.content.toString();
      expect(text).toMatch(/^<svg [^>]*xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
      // Dark ink on paper, whatever the page has.
      expect(text).toMatch(/color="#1f2328"[^>]*><rect [^>]*fill="#ffffff"/);
      const painted = await download(page, `[data-chart=${name}] .tools button:text-is("PNG")`);
      expect(painted.content.subarray(1, 4).toString()).toBe('PNG');
      expect(painted.content.readUInt32BE(16)).toBe(2 * 744);
    }
    const csv = (await download(page, '[data-table=layers] .tools button')).content.toString().split('\r\n');
    expect(csv).toHaveLength(6);
    expect(csv[0]).toMatch(
      /^Layer,NC1 X,NC1 M1\/2X,NC1 φ\(W M1\/2X\),NC2 X,.*,Accuracy test,Solve method,.*,Time,Shaders$/,
    );
    const { layers } = metrics();
    expect(csv[4]!.split(',').slice(0, 4)).toEqual(['4', String(layers[3]!.nc1.input), '0', '0']);
    const values = (await download(page, '[data-chart=nc1] .tools button:text-is("CSV")')).content.toString();
    expect(values.split('\r\n')[1]).toBe(`1,${layers[0]!.nc1.input},${layers[0]!.nc1.agop},${layers[0]!.nc1.features}`);
    expect(complaints).toEqual([]);
    await page.close();
  });

  it.each([
    ['light', 1200],
    ['dark', 375],
  ] as const)('has no fault that axe-core calls serious, %s, %i wide, and does not overflow', async (scheme, width) => {
    const { page, complaints } = await opened({ width, dark: scheme === 'dark' });
    for (const details of await page.locator('details').all()) await details.locator('summary').click();
    expect(await accessibilityFaults(page)).toEqual([]);
    expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBeLessThanOrEqual(0);
    const background = await page.evaluate('getComputedStyle(document.body).backgroundColor');
    expect(background).toBe(scheme === 'dark' ? 'rgb(20, 23, 27)' : 'rgb(255, 255, 255)');
    expect(complaints).toEqual([]);
    await page.close();
  });
});
