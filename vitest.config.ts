import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  plugins: [
    {
      name: 'wgsl-as-text',
      enforce: 'pre',
      load(id) {
        if (id.endsWith('.wgsl')) return `export default ${JSON.stringify(readFileSync(id, 'utf8'))}`;
        return null;
      },
    },
  ],
  test: {
    include: ['test/**/*.test.ts'],
    // Each file has its own process: a GPU instance lives as long as the process that made it.
    pool: 'forks',
    // Vitest would leave one processor alone; but while one file's shaders are compiled, on one thread, another can compute.
    poolOptions: { forks: { maxForks: availableParallelism() } },
    // No bound on speed: a slow machine compiles shaders for minutes.
    testTimeout: 240_000,
    hookTimeout: 240_000,
  },
});
