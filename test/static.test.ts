import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const bin = (name: string): string => fileURLToPath(new URL(`../node_modules/.bin/${name}`, import.meta.url));

/** What a tool printed, where it found fault. */
async function complaints(name: string, args: readonly string[], cwd = root): Promise<string> {
  try {
    await promisify(execFile)(bin(name), args, { cwd, maxBuffer: 1e8 });
    return '';
  } catch (error) {
    const { stdout = '', stderr = '', message } = error as { stdout?: string; stderr?: string; message: string };
    return stdout + stderr || message;
  }
}

it.each([
  ['the program', '.'],
  ['its pages, for browsers', 'web'],
])('type check of %s', async (_, project) => expect(await complaints('tsc', ['--noEmit', '-p', project])).toBe(''));

it('lint and format', async () => expect(await complaints('biome', ['check', '--colors=off', '.'])).toBe(''));

describe('the lint rules', () => {
  const folder = mkdtempSync(join(tmpdir(), 'deep-rfm-lint-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  let count = 0;

  /** What they say of a checkout that consists of these files. */
  function said(files: Record<string, string>): Promise<string> {
    const checkout = join(folder, String(count++));
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(checkout, name)), { recursive: true });
      writeFileSync(join(checkout, name), text);
    }
    copyFileSync(join(root, 'biome.json'), join(checkout, 'biome.json'));
    return complaints('biome', ['lint', '--colors=off', '.'], checkout);
  }

  const value = 'export const value = 1;\n';
  const importing = (path: string): string => `import { value } from '${path}';\n\nexport const other = value;\n`;

  it('accept imports that point down', async () => {
    expect(
      await said({
        'src/runtime/low.ts': value,
        'src/ops/sum/middle.ts': importing('../../runtime/low.js'),
        'src/rfm/high.ts': `${importing('../ops/sum/middle.js').replaceAll('value', 'other').replace('const other', 'const top')}`,
        'src/platform/node/files.ts': "import { readFileSync } from 'node:fs';\n\nexport const read = readFileSync;\n",
      }),
    ).toBe('');
  });

  it.each([
    ['src/runtime/low.ts', '../ops/high.js', 'The runtime imports nothing above it'],
    ['src/rfm/layer.ts', '../cli/flags.js', 'The method imports operations and the runtime'],
    ['src/nn/samples.ts', '../rfm/rows.js', 'Networks import operations and the runtime'],
    ['src/model/files.ts', '../data/npy.js', 'Saved models import what they are made of'],
    ['src/rfm/kept.ts', '../model/files.js', 'The method imports operations and the runtime'],
    ['src/data/npy.ts', '../rfm/types.js', 'Readers of data stand beside the method'],
    ['src/report/page.ts', '../cli/terminal.js', 'Reports are made of results'],
    ['src/platform/node/gpu.ts', '../../rfm/rfm.js', 'A platform implements what the runtime declares'],
    ['src/api/arrays.ts', '../data/npy.js', 'The library imports what computes'],
  ])('refuse that %s imports %s', async (file, path, words) => {
    const found = await said({ [file]: importing(path) });
    expect(found).toContain('noRestrictedImports');
    expect(found).toContain(words);
  });

  it('refuse that types point up, too', async () => {
    const found = await said({ 'src/runtime/low.ts': "import type { T } from '../nn/t.js';\n\nexport type U = T;\n" });
    expect(found).toContain('The runtime imports nothing above it');
  });

  it('refuse a cycle, of types as well', async () => {
    const found = await said({
      'src/ops/a.ts': "import type { B } from './b.js';\n\nexport interface A {\n  b: B;\n}\n",
      'src/ops/b.ts': "import type { A } from './a.js';\n\nexport interface B {\n  a: A;\n}\n",
    });
    expect(found).toContain('noImportCycles');
    expect(found).toContain('This import is part of a cycle');
  });

  it.each([
    ['ops', "import { readFileSync } from 'node:fs';\n\nexport const read = readFileSync;\n", 'noNodejsModules'],
    ['ops', 'export const home = process.env.HOME;\n', 'what only Node has belongs in src/platform/node'],
    ['ops', 'export const usage = GPUBufferUsage.STORAGE;\n', 'import it from src/runtime/constants.ts'],
    [
      'nn',
      "import { create } from 'webgpu';\n\nexport const gpu = create;\n",
      'Dawn is opened in src/platform/node alone',
    ],
  ])('refuse in src/%s: %s', async (folder, text, words) => {
    expect(await said({ [`src/${folder}/node.ts`]: text })).toContain(words);
  });
});
