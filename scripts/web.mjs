// The page in web/page: `npm run web` serves it from this machine alone, `npm run web:build [FOLDER]` writes it as a
// folder of static files, which any server can hand out (over https, or from localhost).

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { extname, join, resolve } from 'node:path';
import { ROOT } from './build.mjs';
import { isMain } from './is-main.mjs';
import { sampleDigits } from './sample-digits.mjs';
import { wgslPlugin } from './wgsl.mjs';

/** Digits in the page, of which the first are for training, as mnist-sample has them. */
const DIGITS = { train: 2000, test: 600 };
const SAMPLE_TRAIN_ROWS = 8000;

const PAGE = join(ROOT, 'web', 'page');
const NODE = join(ROOT, 'web', 'node');

/** Readers of data import modules of Node, and pngjs, for which those in web/node stand. */
const nodePlugin = {
  name: 'node-in-a-page',
  setup(build) {
    const own = { fs: join(NODE, 'fs.ts'), zlib: join(NODE, 'zlib.ts') };
    build.onResolve({ filter: /^node:/ }, ({ path }) => {
      const name = path.slice('node:'.length);
      // What is taken from the checkout is looked for from the checkout.
      if (name === 'path') return { path: createRequire(import.meta.url).resolve('path-browserify') };
      return { path: own[name] ?? join(NODE, 'other.ts') };
    });
    build.onResolve({ filter: /^pngjs$/ }, () => ({ path: join(NODE, 'pngjs.ts') }));
  },
};

/** Bundles the page's three scripts; returns their texts by name. */
async function scripts() {
  const esbuild = await import('esbuild');
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const options = {
    absWorkingDir: ROOT,
    bundle: true,
    minify: true,
    platform: 'browser',
    target: 'es2022',
    charset: 'utf8',
    write: false,
    logLevel: 'warning',
    legalComments: 'none',
    define: { VERSION: JSON.stringify(version), DIGITS: JSON.stringify(DIGITS) },
    plugins: [wgslPlugin, nodePlugin],
  };
  const made = new Map();
  for (const [name, format] of [
    ['main', 'esm'],
    ['worker', 'iife'],
  ]) {
    const inject = name === 'worker' ? [join(NODE, 'globals.ts')] : [];
    const entryPoints = [join(PAGE, `${name}.ts`)];
    const { outputFiles } = await esbuild.build({ ...options, entryPoints, format, inject });
    made.set(`${name}.js`, outputFiles[0].text);
  }
  return { made, esbuild, options };
}

/** All files of the page: name → content. */
export async function pageFiles() {
  const { made, esbuild, options } = await scripts();
  for (const name of ['index.html', 'style.css', 'icon.svg']) made.set(name, readFileSync(join(PAGE, name)));
  made.set(
    'digits.bin',
    Buffer.concat([sampleDigits(ROOT, 0, DIGITS.train), sampleDigits(ROOT, SAMPLE_TRAIN_ROWS, DIGITS.test)]),
  );
  const hash = createHash('sha256');
  for (const [name, content] of made) hash.update(name).update(content);
  const define = { FILES: JSON.stringify([...made.keys()]), HASH: JSON.stringify(hash.digest('hex').slice(0, 16)) };
  const entryPoints = [join(PAGE, 'service-worker.ts')];
  const { outputFiles } = await esbuild.build({ ...options, entryPoints, format: 'iife', define });
  made.set('service-worker.js', outputFiles[0].text);
  return made;
}

/** Of what was asked for, with the exit code of the program. */
const wrongInput = (message) => Object.assign(new Error(message), { exitCode: 2 });

/** Writes the page into a folder of its own; what is there of an earlier page is replaced. */
export async function buildPage(folder = join(ROOT, 'dist', 'web')) {
  const files = await pageFiles();
  if (existsSync(folder) && !statSync(folder).isDirectory())
    throw wrongInput(`${folder}: is a file, expected a folder; name an empty one`);
  mkdirSync(folder, { recursive: true });
  const foreign = readdirSync(folder).find((name) => !files.has(name));
  if (foreign !== undefined)
    throw wrongInput(`${folder}: holds ${foreign}, which is none of the page's; name an empty folder`);
  for (const name of readdirSync(folder)) rmSync(join(folder, name));
  for (const [name, content] of files) writeFileSync(join(folder, name), content);
  return folder;
}

const TYPES = {
  ...{ '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8' },
  ...{ '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml', '.bin': 'application/octet-stream' },
};

/** Serves the page on this machine alone; port 0 takes a free one. */
export async function servePage(port) {
  const files = await pageFiles();
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    const name = pathname === '/' ? 'index.html' : pathname.slice(1);
    const content = files.get(name);
    if (content === undefined) return response.writeHead(404, { 'content-type': 'text/plain' }).end('not found\n');
    const headers = {
      'content-type': TYPES[extname(name)],
      'cache-control': 'no-cache',
      'x-content-type-options': 'nosniff',
    };
    return response.writeHead(200, headers).end(content);
  });
  await new Promise((done, failed) => {
    server.once('error', failed);
    server.listen(port, '127.0.0.1', done);
  });
  return { server, url: `http://localhost:${server.address().port}/` };
}

if (isMain(import.meta.url)) {
  const [command, argument] = process.argv.slice(2);
  try {
    if (command === 'build') {
      const folder = await buildPage(argument === undefined ? undefined : resolve(argument));
      process.stderr.write(`web: wrote ${folder}\n`);
    } else {
      const port = Number(argument ?? process.env.PORT ?? 8080);
      if (!Number.isInteger(port) || port < 0 || port > 65535)
        throw wrongInput(`${argument}: expected a port from 0 to 65535; use for example npm run web -- 8081`);
      const { url } = await servePage(port);
      process.stderr.write(`web: ${url} (end with Ctrl+C)\n`);
    }
  } catch (error) {
    const busy = error.code === 'EADDRINUSE' ? '; name another one: npm run web -- 8081' : '';
    process.stderr.write(`web: ${error.message}${busy}\n`);
    process.exitCode = error.exitCode ?? 1;
  }
}
