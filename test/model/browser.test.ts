import { createServer, type Server } from 'node:http';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';
import { expect, it } from 'vitest';
import { findChromium } from '../../scripts/install-chromium.mjs';
import { wgslPlugin } from '../../scripts/wgsl.mjs';
import * as library from '../../src/platform/node/index.js';
import { useGpu } from '../support/gpu.js';
import { normalMatrix } from '../support/reference.js';

// A model that was made here predicts in a web page, on the page's own WebGPU.

const gpu = useGpu();
const [n, m, d] = [40, 6, 8];
const labels = Int32Array.from({ length: n }, (_, i) => i % 3);
const x = normalMatrix(n, d, 1).data.map((value, e) => value + 3 * Number(e % d === Math.floor(e / d) % 3));
const testX = normalMatrix(m, d, 2).data;

/** What the page does: it loads the model's files, predicts, and shows what it found. */
const PAGE = `
import { loadModel, openGpu, predict, saveModel } from './src/platform/browser/index.ts';

try {
  const names = await (await fetch('names')).json();
  const files = await Promise.all(names.map(async (name) => [name, new Uint8Array(await (await fetch(name)).arrayBuffer())]));
  const model = await loadModel(files);
  const gpu = await openGpu();
  const rows = await (await fetch('rows')).json();
  const { scores, labels, classes } = await predict(gpu, model, rows);
  const cut = files.map(([name, bytes]) => [name, name === 'model.json' ? bytes : bytes.subarray(1)]);
  const refused = await loadModel(cut).catch((error) => error.kind + ': ' + error.message);
  await gpu.close();
  const saved = [...(await saveModel(model)).keys()];
  document.body.textContent = JSON.stringify({ scores: [...scores], labels: [...labels], classes, refused, saved });
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
  `a model predicts in Chromium${browser === null ? ' (skipped: Chromium is not installed; node scripts/install-chromium.mjs)' : ''}`,
  async () => {
    const { model } = await library.deepRfm(gpu(), { x, labels }, { depth: 2, width: 16, keepModel: true });
    const expected = await library.predict(gpu(), model!, testX, { layer: 2 });
    const files = await library.saveModel(model!);
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
    } finally {
      await shown.close();
      server.close();
    }
  },
  240_000,
);
