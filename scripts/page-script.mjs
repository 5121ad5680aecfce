// The script of the reports as one text: web/report/main.ts, bundled. Both esbuild and vitest put it where
// `page-script:report` is imported.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ENTRY = join(fileURLToPath(new URL('..', import.meta.url)), 'web', 'report', 'main.ts');
export const PAGE_SCRIPT = 'page-script:report';

/** The module that the import becomes. */
export async function pageScriptModule() {
  // Setup imports this file before there are packages.
  const { build } = await import('esbuild');
  const { outputFiles } = await build({
    entryPoints: [ENTRY],
    bundle: true,
    minify: true,
    format: 'iife',
    platform: 'browser',
    target: 'es2022',
    charset: 'utf8',
    write: false,
    logLevel: 'warning',
  });
  // Inside <script> nothing may look like its end.
  const text = outputFiles[0].text.trim().replaceAll('</', '<\\/').replaceAll('<!--', '<\\!--');
  return `export default ${JSON.stringify(text)};`;
}

/** For esbuild. */
export const pageScriptPlugin = {
  name: 'page-script',
  setup(build) {
    build.onResolve({ filter: /^page-script:report$/ }, ({ path }) => ({ path, namespace: 'page-script' }));
    build.onLoad({ filter: /./, namespace: 'page-script' }, async () => ({
      contents: await pageScriptModule(),
      loader: 'js',
    }));
  },
};
