import { describe, expect, it } from 'vitest';
import {
  aptPlan,
  backportsSource,
  distributionSource,
  parseOsRelease,
  parseSources,
} from '../../scripts/apt-sources.mjs';

const DEB822 = `# the distribution
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
`;
const ONE_LINE = `# deb http://old.example/debian bookworm main
deb-src http://mirror.example/debian bookworm main
deb [arch=amd64 signed-by=/keys/debian.gpg] https://mirror.example/debian/ bookworm main contrib # comment
`;
const THIRD_PARTY = parseSources(
  '/etc/apt/sources.list.d/tool.list',
  'deb [signed-by=/keys/tool.gpg] https://packages.example/tool bookworm main\n',
);

describe('parseSources', () => {
  it('reads deb822 stanzas', () => {
    const sources = parseSources('/etc/apt/sources.list.d/debian.sources', DEB822);
    expect(sources).toHaveLength(2);
    expect(sources[0]).toMatchObject({
      uris: ['http://mirror.example/debian'],
      suites: ['bookworm', 'bookworm-updates'],
      components: ['main'],
      options: { 'Signed-By': ' /usr/share/keyrings/debian-archive-keyring.gpg' },
    });
  });

  it('leaves out disabled stanzas and sources of source code', () => {
    expect(parseSources('a.sources', DEB822.replace('Types: deb deb-src', 'Types: deb-src'))).toHaveLength(1);
    expect(parseSources('a.sources', DEB822.replace('Components', 'Enabled: no\nComponents'))).toHaveLength(1);
  });

  it('reads one-line sources with options and comments', () => {
    const sources = parseSources('/etc/apt/sources.list', ONE_LINE);
    expect(sources).toHaveLength(1);
    expect(sources[0]).toMatchObject({
      uris: ['https://mirror.example/debian/'],
      suites: ['bookworm'],
      components: ['main', 'contrib'],
      options: { 'Signed-By': ' /keys/debian.gpg', Architectures: ' amd64' },
    });
  });
});

describe('backportsSource', () => {
  it('takes mirror and key from the distribution, not from a third party with the same suite', () => {
    const sources = [...THIRD_PARTY, ...parseSources('/etc/apt/sources.list.d/debian.sources', DEB822)];
    const source = distributionSource(sources, 'bookworm');
    expect(source?.uris).toEqual(['http://mirror.example/debian']);
    const text = backportsSource(source!, 'bookworm');
    expect(parseSources('x.sources', text)).toMatchObject([
      {
        uris: ['http://mirror.example/debian'],
        suites: ['bookworm-backports'],
        components: ['main'],
        options: { 'Signed-By': ' /usr/share/keyrings/debian-archive-keyring.gpg' },
      },
    ]);
  });

  it('accepts a mirror with a path of its own where the file is the distribution’s', () => {
    const [source] = parseSources('/etc/apt/sources.list', 'deb http://proxy.example/repository/deb stable main\n');
    expect(distributionSource([source!], 'bookworm')).toBe(source);
  });

  it('finds nothing among third parties alone', () => {
    expect(distributionSource(THIRD_PARTY, 'bookworm')).toBeNull();
  });

  it('keeps a key that is given in place', () => {
    const key = '\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQIN\n -----END PGP PUBLIC KEY BLOCK-----';
    const text = `Types: deb\nURIs: http://m.example/debian\nSuites: bookworm\nComponents: main\nSigned-By:${key}\n`;
    const [source] = parseSources('/etc/apt/sources.list.d/debian.sources', text);
    expect(backportsSource(source!, 'bookworm')).toContain(`Signed-By:${key}\n`);
  });
});

describe('aptPlan', () => {
  const bookworm = parseOsRelease(
    'PRETTY_NAME="Debian GNU/Linux 12"\nID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n',
  );
  const machine = {
    platform: 'linux',
    uid: 0 as number | undefined,
    env: {},
    osRelease: bookworm,
    hasApt: true,
    sources: parseSources('/etc/apt/sources.list.d/debian.sources', DEB822),
  };

  it('adds backports on bookworm', () => {
    const plan = aptPlan(machine);
    expect(plan.suite).toBe('bookworm-backports');
    expect(plan.addSource).toContain('Suites: bookworm-backports');
  });

  it('uses a backports source that is there', () => {
    const own = parseSources('/etc/apt/sources.list.d/b.list', 'deb http://m.example/debian bookworm-backports main\n');
    expect(aptPlan({ ...machine, sources: [...machine.sources, ...own] })).toEqual({
      suite: 'bookworm-backports',
      addSource: null,
    });
  });

  it.each([
    ['debian', '13'],
    ['debian', undefined],
    ['ubuntu', '24.04'],
    ['ubuntu', '25.10'],
  ])('installs the own packages of %s %s', (ID, version) => {
    const osRelease: Record<string, string> = { ID };
    if (version) osRelease.VERSION_ID = version;
    expect(aptPlan({ ...machine, osRelease })).toEqual({ suite: null, addSource: null });
  });

  it.each([
    ['another distribution', { osRelease: { ID: 'fedora', VERSION_ID: '41' } }, 'fedora'],
    ['a forbidding variable', { env: { DEEP_RFM_NO_APT: '1' } }, 'DEEP_RFM_NO_APT'],
    ['a plain user', { uid: 1000 }, 'not root'],
    ['a machine without apt', { hasApt: false }, 'apt-get'],
    ['an old Ubuntu', { osRelease: { ID: 'ubuntu', VERSION_ID: '22.04' } }, '22.04'],
    ['an old Debian', { osRelease: { ID: 'debian', VERSION_ID: '11' } }, '11'],
    ['no source of its own', { sources: THIRD_PARTY }, '/etc/apt'],
    ['macOS', { platform: 'darwin' }, 'darwin'],
  ])('does nothing for %s', (_what, change, reason) => {
    expect(aptPlan({ ...machine, ...change }).reason).toContain(reason);
  });
});
