import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { installedSwiftshader } from '../../scripts/adapter-env.mjs';
import { servePage } from '../../scripts/web.mjs';
import { readMnistSample } from '../../src/data/sample.js';
import { validateMetrics } from '../../src/report/metrics-files.js';
import type { Stages } from '../../src/rfm/types.js';
import { idxBytes, npyBytes, npyHeader } from '../data/helpers.js';
import { matFile } from '../data/mat-writer.js';
import { accessibilityFaults, LEFT_OUT, longestTask, noBrowser, useBrowser, watch } from './browser.js';

// The page of `npm run web` in Chromium, on its own SwiftShader.

const checkout = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'deep-rfm-page-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const browser = useBrowser();
let served: Awaited<ReturnType<typeof servePage>>;
beforeAll(async () => {
  served = await servePage(0);
});
afterAll(() => void served.server.close());

const [N, TEST_N, DEPTH, WIDTH, SEED] = [40, 20, 3, 48, 5];

/** MNIST's four files with digits of the sample, whose pixels are whole bytes. */
function mnistFiles(): Record<string, Buffer> {
  const { train, test } = readMnistSample(N, TEST_N);
  const bytes = (x: ArrayLike<number>): Uint8Array => Uint8Array.from(x, (value) => Math.round(value * 255));
  return {
    'train-images-idx3-ubyte.gz': gzipSync(idxBytes([N, 28, 28], bytes(train.x))),
    'train-labels-idx1-ubyte.gz': gzipSync(idxBytes([N], Uint8Array.from(train.labels))),
    't10k-images-idx3-ubyte': idxBytes([TEST_N, 28, 28], bytes(test!.x)),
    't10k-labels-idx1-ubyte': idxBytes([TEST_N], Uint8Array.from(test!.labels)),
  };
}

const noSwiftshader = installedSwiftshader() === null;

/** NC1 of every stage and layer by the command line on SwiftShader in Node, of the same files. */
async function nodeValues(files: Record<string, Buffer>): Promise<number[]> {
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes);
  const own = Object.entries(process.env).filter(([name]) => !/^(VK_|LP_|MESA_|LD_LIBRARY_PATH|DEEP_RFM_)/.test(name));
  const args = `run --dataset mnist --data-dir ${folder} --n ${N} --test-n ${TEST_N} --depth ${DEPTH} --width ${WIDTH} --seed ${SEED} --gram-layers none --out ${join(folder, 'node')}`;
  await promisify(execFile)(process.execPath, [join(checkout, 'bin', 'deep-rfm.mjs'), ...args.split(' ')], {
    env: { ...Object.fromEntries(own), DEEP_RFM_ADAPTER: 'swiftshader' },
  });
  return nc1Of(JSON.parse(readFileSync(join(folder, 'node', 'metrics.json'), 'utf8')));
}

const nc1Of = ({ layers }: { layers: { nc1: Stages }[] }): number[] =>
  layers.flatMap(({ nc1 }) => [nc1.input, nc1.agop, nc1.features]);

async function opened(options: { width?: number; dark?: boolean } = {}): Promise<{ page: Page; complaints: string[] }> {
  const page = await browser().newPage({
    viewport: { width: options.width ?? 1200, height: 900 },
    colorScheme: options.dark ? 'dark' : 'light',
  });
  // A busy machine compiles shaders for minutes.
  page.setDefaultTimeout(200_000);
  const complaints = watch(page, served.url);
  await page.goto(`${served.url}?hooks`);
  await page.waitForSelector('#start:not([disabled])');
  return { page, complaints };
}

/** Drops files as a hand does. */
async function drop(page: Page, files: Record<string, Buffer>): Promise<void> {
  const given = Object.entries(files).map(([name, bytes]) => [name, bytes.toString('base64')] as const);
  const dataTransfer = await page.evaluateHandle((list) => {
    const transfer = new DataTransfer();
    for (const [name, base64] of list) {
      transfer.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], name));
    }
    return transfer;
  }, given);
  await page.dispatchEvent('#drop', 'drop', { dataTransfer });
}

const status = (page: Page, text: RegExp) => page.locator('#status').filter({ hasText: text }).waitFor();

describe.skipIf(noBrowser)(`the page in Chromium${LEFT_OUT}`, () => {
  it('goes from dropped files to metrics.json, with pause, step, a lost device and a drawn digit', async () => {
    const files = mnistFiles();
    const node = noSwiftshader ? null : nodeValues(files);
    const { page, complaints } = await opened();
    const longest = await longestTask(browser(), page, async () => {
      await drop(page, files);
      await page.locator('#data-info').filter({ hasText: 'mnist: 40 training and 20 test rows' }).waitFor();
      const settings = { n: N, testN: TEST_N, depth: DEPTH, width: WIDTH, seed: SEED };
      for (const [id, value] of Object.entries(settings)) await page.fill(`#${id}`, String(value));
      await page.click('#start');
      await page.click('#pause');
      await status(page, /^Paused after layer 1\.$/);
      await page.click('#step');
      await status(page, /^Paused after layer 2\.$/);
      expect(await page.getAttribute('#progress', 'value')).toBe(String(2 / 3));
      // Before the last layer, which is too short to be met in its middle.
      await page.evaluate(() => dispatchEvent(new Event('lose-device')));
      await page.click('#pause');
      await status(page, /^Done\.$/);
    });
    expect(await page.getAttribute('#status', 'data-lost')).toBe('3');
    expect(longest).toBeLessThan(100);

    const [download] = await Promise.all([page.waitForEvent('download'), page.click('#downloads button')]);
    expect(download.suggestedFilename()).toBe('metrics.json');
    const found = validateMetrics(JSON.parse(readFileSync(await download.path(), 'utf8')), 'metrics.json');
    expect(found.config).toMatchObject({
      dataset: 'mnist',
      n: N,
      testN: TEST_N,
      depth: DEPTH,
      width: WIDTH,
      seed: SEED,
    });
    expect(found.deviceLosses).toBe(1);
    expect(found.memory.peakBytes).toBeGreaterThan(0);
    const values = nc1Of(found);
    expect(values).toHaveLength(9);
    const expected = (await node) ?? values;
    expect(Math.max(...values.map((value, i) => Math.abs(value / expected[i]! - 1)))).toBeLessThan(1e-5);

    // Back to the first layer, whose picture and curve are still there.
    await page.focus('#layer');
    await page.keyboard.press('Home');
    expect(await page.textContent('#pictures h3')).toBe('ReLU, seed 5, layer 1');
    expect(await page.locator('#curves figure').evaluateAll((all) => all.map((one) => one.dataset.chart))).toEqual([
      ...['nc1', 'nc2', 'spectrum', 'accuracy'],
    ]);
    const painted = await page.locator('#pictures canvas').evaluate((canvas) => {
      const { width, height } = canvas as HTMLCanvasElement;
      const context = (canvas as HTMLCanvasElement).getContext('2d') as CanvasRenderingContext2D;
      return [width, height, ...context.getImageData(0, 0, 1, 1).data];
    });
    // The diagonal has cosine 1.
    expect(painted).toEqual([N, N, 103, 0, 31, 255]);

    await page.focus('#pad');
    await page.keyboard.press('7');
    await page.click('#send');
    await page
      .locator('#digit-said')
      .filter({ hasText: /layers 1 to 3: \d, \d, \d\./ })
      .waitFor();
    expect(await page.locator('#pictures .star').count()).toBe(1);
    expect(await accessibilityFaults(page)).toEqual([]);
    expect(complaints).toEqual([]);

    // Once loaded it needs no network.
    await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));
    await page.context().setOffline(true);
    await page.reload();
    await page.waitForSelector('#start:not([disabled])');
    await page.close();
  }, 400_000);

  it('reads CIFAR-10, SVHN and pairs of arrays, and says of other files what they are', async () => {
    const { page, complaints } = await opened({ width: 375, dark: true });
    const info = (text: RegExp) => page.locator('#data-info').filter({ hasText: text }).waitFor();
    const refused = (text: RegExp) => page.locator('#problem').filter({ hasText: text }).waitFor();
    const records = Buffer.alloc(30 * 3073);
    for (let i = 0; i < 30; i++) records[i * 3073] = i % 10;
    await drop(page, { 'data_batch_1.bin': records });
    await info(/^cifar10: 30 training rows, no test rows of 3072 numbers, 10 classes/);
    const pixels = Uint8Array.from({ length: 20 * 3072 }, (_, i) => (i * 7) % 251);
    const svhn = matFile(
      [
        { name: 'X', classCode: 9, shape: [32, 32, 3, 20], storage: 2, values: pixels },
        {
          name: 'y',
          classCode: 9,
          shape: [20, 1],
          storage: 2,
          values: Array.from({ length: 20 }, (_, i) => 1 + (i % 10)),
        },
      ],
      { compress: true },
    );
    await drop(page, { 'train_32x32.mat': svhn });
    await info(/^svhn: 20 training rows, no test rows of 3072 numbers, 10 classes/);
    const x = Buffer.from(Float32Array.from({ length: 24 * 5 }, (_, i) => Math.sin(i)).buffer);
    const y = Buffer.from(Int32Array.from({ length: 24 }, (_, i) => i % 3).buffer);
    const pair = {
      'X.npy': npyBytes(npyHeader('<f4', '(24, 5)'), x),
      'y.npy': npyBytes(npyHeader('<i4', '(24,)'), y),
    };
    await drop(page, pair);
    await info(/^npy: 24 training rows, no test rows of 5 numbers, 3 classes/);
    await drop(page, { ...pair, 'X_test.npy': pair['X.npy'], 'notes.txt': Buffer.from('notes') });
    await info(/^npy: 24 training rows, no test rows of .* Not used: X_test\.npy, notes\.txt\.$/);
    await drop(page, { ...pair, 'train_32x32.mat': svhn });
    await info(/^svhn: 20 training rows, .* Not used: X\.npy, y\.npy\.$/);
    await drop(page, pair);
    await info(/^npy: 24 training rows/);
    await drop(page, { 'X.npy': pair['X.npy'] });
    await refused(/^X\.npy: a pair is needed/);
    await drop(page, { 'notes.txt': Buffer.from('notes') });
    await refused(/^notes\.txt: not recognised; expected the files of MNIST/);
    const images = gzipSync(idxBytes([2, 28, 28], new Uint8Array(2 * 784)));
    const labels = idxBytes([2], Uint8Array.of(0, 1));
    await drop(page, { 'train-images-idx3-ubyte.gz': images.subarray(0, 40), 'train-labels-idx1-ubyte': labels });
    await refused(/^train-images-idx3-ubyte\.gz: damaged gzip data \(unexpected end of file\); download it again$/);
    await drop(page, {
      'train-images-idx3-ubyte': Buffer.from('<!doctype html><title>no</title>'),
      'train-labels-idx1-ubyte': labels,
    });
    await refused(/a web page/);
    // What was there before a refusal is still chosen, and kept.
    await info(/^npy: 24 training rows/);
    for (const [id, value] of Object.entries({ depth: 1, width: 8 })) await page.fill(`#${id}`, String(value));
    await page.click('#start');
    await status(page, /^Done\.$/);
    expect(await page.isHidden('#problem')).toBe(true);
    expect(await accessibilityFaults(page)).toEqual([]);
    expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBeLessThanOrEqual(0);
    expect(complaints).toEqual([]);
    await page.close();
  }, 240_000);

  it('pauses, steps and stops a run that waits for an estimate of other settings', async () => {
    const { page, complaints } = await opened();
    await page.locator('#data-info').filter({ hasText: 'Embedded MNIST digits' }).waitFor();
    for (const [id, value] of Object.entries({ n: 20, testN: 0, depth: 2, width: 8 })) {
      await page.fill(`#${id}`, String(value));
    }
    /** Changes the form, and presses buttons just after the estimate of it has begun. */
    const press = (seed: number, then: string) =>
      page.evaluate(
        async ([value, second]) => {
          const input = document.querySelector<HTMLInputElement>('#seed')!;
          input.value = String(value);
          input.dispatchEvent(new Event('input', { bubbles: true }));
          await new Promise((resolve) => setTimeout(resolve, 401));
          for (const id of ['#start', second]) document.querySelector<HTMLButtonElement>(id)!.click();
        },
        [seed, then] as const,
      );
    await press(3, '#pause');
    await status(page, /^Paused after layer 1\.$/);
    await page.click('#pause');
    await status(page, /^Done\.$/);
    await press(4, '#stop');
    await status(page, /^Stopped; what was computed is shown\.$/);
    expect(await page.isHidden('#results')).toBe(true);
    // The answer for 1,500 rows comes when a run of 20 has been started.
    await page.fill('#n', '1500');
    await page.waitForTimeout(401);
    const told = await page.evaluate(async () => {
      const byId = (id: string) => document.getElementById(id)!;
      (byId('n') as HTMLInputElement).value = '20';
      byId('n').dispatchEvent(new Event('input', { bubbles: true }));
      byId('start').click();
      const seen: string[] = [];
      const watch = new MutationObserver(() => seen.push(byId('machine').textContent!));
      watch.observe(byId('machine'), { childList: true });
      await new Promise<void>((resolve) => {
        const ended = new MutationObserver(() => byId('status').textContent === 'Done.' && resolve());
        ended.observe(byId('status'), { childList: true });
      });
      watch.disconnect();
      return [byId('machine').textContent!, ...seen];
    });
    for (const text of told) expect(text).toContain('not estimated for these settings');
    // A step asked for three times, and then a pause: at the next layer.
    await page.fill('#depth', '6');
    await press(6, '#pause');
    await status(page, /^Paused after layer 1\.$/);
    await page.evaluate(() => {
      for (const id of ['step', 'step', 'step', 'pause']) document.querySelector<HTMLButtonElement>(`#${id}`)!.click();
    });
    await status(page, /^Paused after layer 2\.$/);
    await page.click('#stop');
    await status(page, /^Stopped/);
    expect(complaints).toEqual([]);
    await page.close();
  }, 240_000);

  it('opens a device again that was lost while nothing ran, in an estimate, and before a digit', async () => {
    const { page, complaints } = await opened();
    await page.locator('#data-info').filter({ hasText: 'Embedded MNIST digits' }).waitFor();
    const lose = () => page.evaluate(() => void dispatchEvent(new Event('lose-device')));
    const time = page.locator('#machine').filter({ hasText: /Timeabout/ });
    await time.waitFor();
    await lose();
    for (const [id, value] of Object.entries({ n: 20, testN: 0, depth: 1, width: 8 })) {
      await page.fill(`#${id}`, String(value));
    }
    await page.click('#start');
    await status(page, /^Done\.$/);
    await lose();
    await page.focus('#pad');
    await page.keyboard.press('7');
    await page.click('#send');
    await page
      .locator('#digit-said')
      .filter({ hasText: /layers 1 to 1: \d\./ })
      .waitFor();
    await lose();
    await page.fill('#seed', '9');
    // The estimate has begun.
    await page.waitForTimeout(450);
    await page.click('#start');
    await status(page, /^Done\.$/);
    expect(await page.isHidden('#problem')).toBe(true);
    expect(complaints).toEqual([]);
    await page.close();
  }, 240_000);

  it('may ask no other server, and says plainly where there is no WebGPU', async () => {
    const page = await browser().newPage();
    await page.addInitScript(() => {
      Reflect.deleteProperty(Navigator.prototype, 'gpu');
    });
    await page.goto(served.url);
    await page
      .locator('#problem')
      .filter({ hasText: /^This browser has no WebGPU here, so nothing can be computed\. Use a current Chrome/ })
      .waitFor();
    expect(await page.isDisabled('#start')).toBe(true);
    const blocked = await page.evaluate(async () => {
      const violated = new Promise<string>((resolve) =>
        addEventListener('securitypolicyviolation', ({ effectiveDirective }) => resolve(effectiveDirective)),
      );
      await fetch('http://127.0.0.1:9/').catch(() => undefined);
      const script = document.createElement('script');
      script.textContent = 'window.injected = true';
      document.head.append(script);
      return [await violated, 'injected' in window];
    });
    expect(blocked).toEqual(['connect-src', false]);
    await page.close();
  }, 240_000);
});
