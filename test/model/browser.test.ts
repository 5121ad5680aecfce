import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';
import { expect, it } from 'vitest';
import { findChromium } from '../../scripts/install-chromium.mjs';
import { wgslPlugin } from '../../scripts/wgsl.mjs';
import { computeFit } from '../../src/cli/fit-compute.js';
import { saveFit } from '../../src/cli/fit-model.js';
import { readFitRequest } from '../../src/cli/fit-request.js';
import { openCheckpoints } from '../../src/cli/run-checkpoint.js';
import { terminalFor } from '../../src/cli/terminal.js';
import * as library from '../../src/platform/node/index.js';
import { put, temporaryFolder } from '../data/helpers.js';
import { useGpu } from '../support/gpu.js';
import { normalMatrix } from '../support/reference.js';

// Models that were made here predict in a web page, on the page's own WebGPU.

const gpu = useGpu();
const dir = temporaryFolder();
const [n, m, d] = [40, 6, 8];
const labels = Int32Array.from({ length: n }, (_, i) => i % 3);
const x = normalMatrix(n, d, 1).data.map((value, e) => value + 3 * Number(e % d === Math.floor(e / d) % 3));
const testX = normalMatrix(m, d, 2).data;

/** A table with a category, and a value that is missing. */
const HOUSES = {
  size: Array.from({ length: 24 }, (_, i) => (7 * i) % 24),
  city: Array.from({ length: 24 }, (_, i) => ['Bonn', 'Ulm'][i % 2]),
  rooms: Array.from({ length: 24 }, (_, i) => (i === 5 ? null : i % 4)),
  price: Array.from({ length: 24 }, (_, i) => ((7 * i) % 24) * (1 + (i % 2))),
};
const TABLE = [
  Object.keys(HOUSES).join(','),
  ...HOUSES.size.map((_, i) =>
    Object.values(HOUSES)
      .map((values) => values[i] ?? '')
      .join(','),
  ),
].join('\n');
const COLUMNS = { city: ['Ulm', 'Bonn', null], rooms: [1, 2, 3], size: [3, 9.5, 20] };

/** The files of an estimator as `fit --save-model` writes them, by name. */
async function savedFit(): Promise<[string, Uint8Array][]> {
  const flags = { target: 'price', missing: 'median', iterations: 1, out: join(dir, 'out') } as const;
  const request = await readFitRequest(put(dir, 'table.csv', TABLE), flags);
  await openCheckpoints(flags.out);
  const { signal } = new AbortController();
  const command = { request, flags, terminal: terminalFor({ quiet: true }), signal };
  const folder = join(dir, 'model');
  await saveFit(gpu(), folder, request, await computeFit(gpu(), command, null, () => {}));
  return readdirSync(folder).map((name) => [name, new Uint8Array(readFileSync(join(folder, name)))]);
}

/** What the page does: it loads the models' files, predicts, fits a table, and shows what it found. */
const PAGE = `
import { fit, loadModel, openGpu, predict, saveModel } from './src/platform/browser/index.ts';

const json = async (name) => (await fetch(name)).json();
const fetched = async (folder) =>
  Promise.all((await json(folder + 'names')).map(async (name) => [name, new Uint8Array(await (await fetch(folder + name)).arrayBuffer())]));

try {
  const files = await fetched('');
  const model = await loadModel(files);
  const gpu = await openGpu();
  const rows = await json('rows');
  const { scores, labels, classes } = await predict(gpu, model, rows);
  const cut = files.map(([name, bytes]) => [name, name === 'model.json' ? bytes : bytes.subarray(1)]);
  const refused = await loadModel(cut).catch((error) => error.kind + ': ' + error.message);
  const columns = await json('columns');
  const prices = await predict(gpu, await loadModel(await fetched('fit/')), columns);
  const own = await fit(gpu, await json('table'), 'price', { missing: 'median', iterations: 1 });
  const again = await predict(gpu, own.model, columns);
  await gpu.close();
  const saved = [...(await saveModel(model)).keys()];
  document.body.textContent = JSON.stringify({ scores: [...scores], labels: [...labels], classes, refused, saved, prices: [...prices.scores, ...again.scores] });
} catch (error) {
  document.body.textContent = JSON.stringify({ error: String(error) });
}
`;

async function served(content: Map<string, string | Uint8Array>): Promise<Server> {
  const server = createServer((request, response) => {
    const found = content.get((request.url ?? '/').slice(1));
    const type =
      found === content.get('') ? 'text/html' : request.url === '/page.js' ? 'text/javascript' : 'text/plain';
    if (found === undefined) response.writeHead(404).end();
    else response.writeHead(200, { 'content-type': type }).end(found);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

const browser = findChromium();
it.skipIf(browser === null)(
  `models predict in Chromium, and a table is fitted${browser === null ? ' (skipped: Chromium is not installed; node scripts/install-chromium.mjs)' : ''}`,
  async () => {
    const { model } = await library.deepRfm(gpu(), { x, labels }, { depth: 2, width: 16, keepModel: true });
    const expected = await library.predict(gpu(), model!, testX, { layer: 2 });
    const files = await library.saveModel(model!);
    const fitted = await savedFit();
    const prices = await library.predict(gpu(), await library.loadModel(join(dir, 'model')), COLUMNS);
    const bundled = await build({
      stdin: { contents: PAGE, resolveDir: fileURLToPath(new URL('../..', import.meta.url)) },
      ...{ bundle: true, format: 'esm', platform: 'browser', target: 'es2022', write: false, logLevel: 'error' },
      plugins: [wgslPlugin],
    });
    const rows = Array.from({ length: m }, (_, i) => [...testX.subarray(i * d, (i + 1) * d)]);
    const server = await served(
      new Map<string, string | Uint8Array>([
        ['', '<!doctype html><body></body><script type="module" src="page.js"></script>'],
        ['page.js', bundled.outputFiles[0].contents],
        ['names', JSON.stringify([...files.keys()])],
        ['rows', JSON.stringify(rows)],
        ...files,
        ['fit/names', JSON.stringify(fitted.map(([name]) => name))],
        ['columns', JSON.stringify(COLUMNS)],
        ['table', JSON.stringify(HOUSES)],
        ...fitted.map(([name, bytes]): [string, Uint8Array] => [`fit/${name}`, bytes]),
      ]),
    );
    // Root has no sandbox in a container; what is shown is ours.
    const args = ['--no-sandbox', '--enable-unsafe-webgpu'];
    const shown = await chromium.launch({ executablePath: browser!, args });
    try {
      const tab = await shown.newPage();
      await tab.goto(`http://localhost:${(server.address() as { port: number }).port}/`);
      await tab.waitForFunction("document.body.textContent !== ''", null, { timeout: 200_000 });
      const found = JSON.parse((await tab.textContent('body')) ?? '');
      expect(found).toMatchObject({
        ...{ labels: [...expected.labels!], classes: ['0', '1', '2'], saved: [...files.keys()] },
        refused: expect.stringMatching(/^input: the model: \S+: is cut short: /),
      });
      const worst = found.scores.map((score: number, e: number) => Math.abs(score - expected.scores[e]));
      expect(Math.max(...worst)).toBeLessThan(1e-5);
      // Of the model that was made here, and of one that the page made from the same table.
      const off = found.prices.map((price: number, i: number) => Math.abs(price / prices.scores[i % 3] - 1));
      expect(off).toHaveLength(6);
      expect(Math.max(...off)).toBeLessThan(1e-5);
    } finally {
      await shown.close();
      server.close();
    }
  },
  240_000,
);
