import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { buildNeeded } from '../../scripts/build.mjs';
import { packagesNeeded } from '../../scripts/packages.mjs';
import { countLine, countTests } from '../../scripts/test-counts.mjs';

const root = mkdtempSync(join(tmpdir(), 'deep-rfm-checkout-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let checkout: string;
beforeEach(() => {
  checkout = mkdtempSync(join(root, 'c-'));
});
const write = (path: string, content: string | object) => {
  mkdirSync(dirname(join(checkout, path)), { recursive: true });
  writeFileSync(join(checkout, path), typeof content === 'string' ? content : JSON.stringify(content));
};

describe('packagesNeeded', () => {
  const linux = { platform: 'linux', arch: 'x64' };
  const packages = {
    'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' },
    'node_modules/a-darwin': { version: '1.0.0', optional: true, os: ['darwin'], cpu: ['arm64'] },
    'node_modules/a-linux': { version: '1.0.0', optional: true, os: ['linux'], cpu: ['x64'] },
    'node_modules/a-musl': { version: '1.0.0', optional: true, os: ['linux'], cpu: ['x64'], libc: ['musl'] },
  };
  const installed = {
    'node_modules/a': packages['node_modules/a'],
    'node_modules/a-linux': packages['node_modules/a-linux'],
  };
  const install = (own: object) => {
    write('node_modules/.package-lock.json', { packages: own });
    for (const path of Object.keys(own)) write(`${path}/package.json`, '{}');
  };
  beforeEach(() => write('package-lock.json', { packages: { '': {}, ...packages } }));

  it('is content without packages for other systems', () => {
    install(installed);
    expect(packagesNeeded(checkout, linux)).toBeNull();
  });
  it('notices a missing, stale, deleted or foreign tree', () => {
    expect(packagesNeeded(checkout, linux)).toContain('missing');
    install({ ...installed, 'node_modules/a': { version: '0.9.0' } });
    expect(packagesNeeded(checkout, linux)).toBe('a is 0.9.0, package-lock.json has 1.0.0');
    install(installed);
    expect(packagesNeeded(checkout, { platform: 'darwin', arch: 'arm64' })).toBe('a-darwin is not installed');
    rmSync(join(checkout, 'node_modules/a'), { recursive: true });
    expect(packagesNeeded(checkout, linux)).toBe('a was deleted');
  });
});

describe('buildNeeded', () => {
  it('compares the bundle with sources, shaders and package.json', () => {
    const old = new Date(Date.now() - 60_000);
    write('src/cli/main.ts', '');
    write('shaders/gemm.wgsl', '');
    write('package.json', '{}');
    for (const path of ['src/cli/main.ts', 'src/cli', 'src', 'shaders/gemm.wgsl', 'shaders', 'package.json']) {
      utimesSync(join(checkout, path), old, old);
    }
    expect(buildNeeded(checkout)).toContain('missing');
    write('dist/deep-rfm.cjs', '');
    expect(buildNeeded(checkout)).toBeNull();
    const later = new Date(Date.now() + 60_000);
    utimesSync(join(checkout, 'shaders/gemm.wgsl'), later, later);
    expect(buildNeeded(checkout)).toContain('shaders');
  });
});

describe('the line of counts', () => {
  const report = { numPassedTests: 3, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0, testResults: [] };
  const line = (change: object, runFailed: boolean) => countLine(countTests({ ...report, ...change }, runFailed));
  it('names skipped tests only where there are any', () => {
    expect(line({}, false)).toBe('3 passed, 0 failed');
    expect(line({ numPendingTests: 1, numTodoTests: 1 }, false)).toBe('3 passed, 0 failed, 2 skipped');
  });
  it('counts what fails outside of tests', () => {
    const broken = [{ status: 'failed', assertionResults: [] }];
    expect(line({ testResults: broken }, true)).toBe('3 passed, 1 failed');
    expect(line({ numFailedTests: 2 }, true)).toBe('3 passed, 2 failed');
    expect(line({}, true)).toBe('3 passed, 1 failed');
    expect(countLine(countTests(null, true))).toBe('0 passed, 1 failed');
  });
});
