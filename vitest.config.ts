import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { PAGE_SCRIPT, pageScriptModule } from './scripts/page-script.mjs';
import { wgslModule } from './scripts/wgsl.mjs';

export default defineConfig({
  plugins: [
    {
      name: 'page-script',
      enforce: 'pre',
      resolveId: (id) => (id === PAGE_SCRIPT ? `\0${PAGE_SCRIPT}` : null),
      load: (id) => (id === `\0${PAGE_SCRIPT}` ? pageScriptModule() : null),
    },
    {
      name: 'wgsl',
      enforce: 'pre',
      load: (id) => (id.endsWith('.wgsl') ? wgslModule(id) : null),
    },
  ],
  test: {
    include: ['test/**/*.test.ts'],
    // Each file has its own process: a GPU instance lives as long as the process that made it.
    pool: 'forks',
    // Vitest would leave one processor alone; but while one file's shaders are compiled, on one thread, another can compute.
    poolOptions: { forks: { maxForks: availableParallelism() } },
    // No bound on speed: a slow machine compiles shaders for minutes.
    testTimeout: 480_000,
    hookTimeout: 480_000,
  },
});
