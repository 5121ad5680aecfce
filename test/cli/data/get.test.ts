import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { zipSync } from 'fflate';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { CATALOG, type CatalogEntry, type DataFile, filesOf } from '../../../src/cli/data/catalog.js';
import { getDataset } from '../../../src/cli/data/get.js';
import { fileState } from '../../../src/cli/data/verify.js';
import { buildProgram } from '../../../src/cli/program.js';
import { DATASET_NAMES, EMNIST_SPLITS, foldersOf } from '../../../src/data/dataset.js';
import { RfmError } from '../../../src/errors.js';
import { noise, put, shared } from '../../data/helpers.js';
import { type Heard, lyingServer } from './lying-server.js';

const root = mkdtempSync(join(tmpdir(), 'deep-rfm-get-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const sum = (bytes: Uint8Array, kind: 'sha256' | 'md5' = 'sha256'): string =>
  createHash(kind).update(bytes).digest('hex');

/** A tar archive of regular files. */
function tar(files: Readonly<Record<string, Uint8Array>>): Buffer {
  const blocks = Object.entries(files).flatMap(([name, data]) => {
    const header = Buffer.alloc(512);
    header.write(name);
    header.write('0000644\0', 100);
    header.write(`${data.length.toString(8).padStart(11, '0')}\0`, 124);
    header.write('        0', 148);
    header.write('ustar\x0000', 257);
    header.write(
      `${header
        .reduce((total, byte) => total + byte, 0)
        .toString(8)
        .padStart(6, '0')}\0 `,
      148,
    );
    return [header, data, Buffer.alloc((512 - (data.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

const [one, two, plain] = [noise(5000, 1), noise(7000, 2), noise(3000, 3)].map((bytes) => Buffer.from(bytes));
const archives: Readonly<Record<string, Buffer>> = {
  'both.zip': Buffer.from(zipSync({ gzip: { 'one.gz': [one, { level: 0 }], 'two.gz': two, 'more.txt': plain } })),
  'both.tar.gz': gzipSync(tar({ 'folder/one.gz': one, 'folder/two.gz': two, 'folder/more.txt': plain })),
  'plain.gz': gzipSync(plain),
};

let url = '';
let heard: Heard[] = [];
beforeAll(async () => {
  ({ url, heard } = await lyingServer((name) => archives[name.replace(/^\d+-/, '')]));
});
afterEach(() => {
  heard.length = 0;
  vi.restoreAllMocks();
});

const members: DataFile[] = [
  { name: 'one.gz', bytes: null, md5: sum(one, 'md5') },
  { name: 'two.gz', bytes: two.length, sha256: sum(two) },
];

/** A dataset of one download. */
const entryOf = (name: string, more: { members?: DataFile[]; content?: string } = {}): CatalogEntry => ({
  ...{ name: 'made', title: 'Made', home: url, licence: 'none', folder: 'made' },
  downloads: [
    {
      ...{ name, bytes: archives[name].length, sha256: sum(archives[name]), addresses: [`${url}/whole/${name}`] },
      ...more,
    },
  ],
});

const folderOf = (name: string): string => {
  const folder = join(root, name);
  mkdirSync(folder);
  return folder;
};

describe('getDataset', () => {
  it.each(['both.zip', 'both.tar.gz'])('unpacks the members of %s, once, and leaves no archive', async (name) => {
    const folder = folderOf(`unpacked-${name}`);
    const entry = entryOf(name, { members });
    const how = (files: { how: string }[]) => files.map((file) => file.how);
    expect(how(await getDataset(entry, folder))).toEqual(['unpacked', 'unpacked']);
    expect(readdirSync(folder).sort()).toEqual(['one.gz', 'two.gz']);
    expect(readFileSync(join(folder, 'one.gz')).equals(one)).toBe(true);
    expect(how(await getDataset(entry, folder))).toEqual(['was there', 'was there']);
    expect(heard).toHaveLength(1);
    // A member that was damaged since is unpacked again.
    put(folder, 'two.gz', two.subarray(0, 10));
    const notes: string[] = [];
    expect(how(await getDataset(entry, folder, { note: (line) => notes.push(line) }))).toEqual([
      'was there',
      'unpacked',
    ]);
    expect(notes[0]).toMatch(/two\.gz is not the published file \(10 bytes, expected 7000\); it is replaced/);
    expect(readFileSync(join(folder, 'two.gz')).equals(two)).toBe(true);
  });

  it('takes an archive that was put there by hand, without a network, and leaves it there', async () => {
    const folder = folderOf('by-hand');
    put(folder, 'both.zip', archives['both.zip']);
    await getDataset(entryOf('both.zip', { members }), folder, { wanted: ({ name }) => name === 'one.gz' });
    expect(readdirSync(folder).sort()).toEqual(['both.zip', 'one.gz']);
    expect(heard).toEqual([]);
  });

  it('refuses an archive whose members are not the published ones', async () => {
    const folder = folderOf('other-members');
    const other = [members[0], { ...members[1], sha256: sum(one) }];
    await expect(getDataset(entryOf('both.zip', { members: other }), folder)).rejects.toThrow(
      /its two\.gz is not the published one \(SHA-256 .*; get the archive again/,
    );
    expect(existsSync(join(folder, 'two.gz'))).toBe(false);
    const more = [{ name: 'three.gz', bytes: null, md5: '' }];
    await expect(getDataset(entryOf('both.tar.gz', { members: more }), folder)).rejects.toThrow(/has no three\.gz/);
  });

  it('asks a mirror first, and the publisher where it has not got the file', async () => {
    const folder = folderOf('mirror');
    await getDataset(entryOf('plain.gz'), folder, { mirrors: [`${url}/missing/`] });
    expect(heard.map((request) => request.url)).toEqual(['/missing/plain.gz', '/whole/plain.gz']);
  });
});

it('fileState knows a file, what it unpacks to, and a copy that was packed again', async () => {
  const folder = folderOf('states');
  const file = { name: 'plain.gz', bytes: archives['plain.gz'].length, sha256: sum(archives['plain.gz']) };
  const known = { ...file, content: sum(plain) };
  expect(await fileState(folder, file)).toEqual({ name: 'plain.gz', state: 'missing', remark: null });
  put(folder, 'plain', plain);
  expect(await fileState(folder, known)).toMatchObject({ state: 'right', remark: 'unpacked' });
  expect(await fileState(folder, file)).toMatchObject({
    state: 'unknown',
    remark: expect.stringContaining('no checksum'),
  });
  put(folder, 'plain', one);
  expect(await fileState(folder, known)).toMatchObject({ state: 'wrong' });
  put(folder, 'plain.gz', gzipSync(plain, { level: 1 }));
  expect(await fileState(folder, known)).toMatchObject({ state: 'right', remark: 'packed again' });
  expect(await fileState(folder, file)).toMatchObject({ state: 'wrong' });
  put(folder, 'plain.gz', archives['plain.gz']);
  expect(await fileState(folder, known)).toEqual({ name: 'plain.gz', state: 'right', remark: null });
  put(folder, 'one.gz', one);
  expect(await fileState(folder, members[0])).toMatchObject({ state: 'right', remark: expect.stringContaining('MD5') });
});

describe('the catalogue', () => {
  it('has checksums, sizes and addresses of every download, and files under names that the readers look for', () => {
    expect(CATALOG).toHaveLength(7);
    for (const { name, folder, home, downloads } of CATALOG) {
      expect(DATASET_NAMES).toContain(name);
      expect(foldersOf(name)).toContain(folder);
      expect(new URL(home).protocol).toMatch(/^https?:$/);
      for (const { sha256, bytes, addresses, content } of downloads) {
        expect(sha256).toMatch(/^[0-9a-f]{64}$/);
        if (content !== undefined) expect(content).toMatch(/^[0-9a-f]{64}$/);
        expect(bytes).toBeGreaterThan(1000);
        expect(addresses.every((address) => /^https?:\/\/[^/]+\/.*\.(gz|zip|mat)$/.test(address))).toBe(true);
      }
    }
    const all = CATALOG.flatMap((entry) => filesOf(entry).map((file) => file.sha256 ?? file.md5));
    expect(new Set(all).size).toBe(all.length);
    expect(filesOf(CATALOG[3])).toHaveLength(4 * EMNIST_SPLITS.length);
  });
});

/** What a command prints, in this process. */
async function command(...args: string[]): Promise<{ out: string; notes: string; error: RfmError | null }> {
  const text = { out: '', notes: '' };
  vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    text.out += chunk;
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((chunk) => {
    text.notes += chunk;
    return true;
  });
  const program = buildProgram(new AbortController().signal);
  const error = await program.parseAsync(['data', ...args], { from: 'user' }).then(
    () => null,
    (thrown: unknown) => thrown as RfmError,
  );
  vi.restoreAllMocks();
  if (error !== null) expect(error).toBeInstanceOf(RfmError);
  return { ...text, error };
}

const mnist = shared('data', 'mnist');

describe('data', () => {
  it('list says where datasets come from, and of one its files', async () => {
    const { out } = await command('list');
    expect(out).toMatch(/^kmnist +20\.\d MiB +CC BY-SA 4\.0 \(CODH\) +https:\/\/codh\.rois\.ac\.jp\/kmnist\//m);
    expect((await command('list', 'svhn')).out).toContain('http://ufldl.stanford.edu/housenumbers/train_32x32.mat');
    const { datasets } = JSON.parse((await command('list', '--json')).out);
    expect(datasets).toEqual(JSON.parse(JSON.stringify(CATALOG)));
    expect((await command('list', 'imagenet')).error?.message).toMatch(/^imagenet: no such dataset, expected mnist, /);
  });

  it('get without a network ends with 2, and says which file to put where', async () => {
    vi.stubEnv('HTTPS_PROXY', 'http://localhost:1');
    vi.stubEnv('HTTP_PROXY', 'http://localhost:1');
    const { error, notes } = await command('get', 'svhn', '--data-dir', join(root, 'offline'));
    vi.unstubAllEnvs();
    expect(error?.exitCode).toBe(2);
    const place = join(root, 'offline', 'svhn', 'train_32x32.mat');
    // No folders are left for what did not come.
    expect(existsSync(join(root, 'offline'))).toBe(false);
    expect(error?.message).toContain(
      'http://ufldl.stanford.edu/housenumbers/train_32x32.mat: the connection was refused',
    );
    expect(error?.message).toContain(`put it at ${place} (182040794 bytes, SHA-256 435e94d6`);
    expect(notes).toContain('downloading train_32x32.mat (173.6 MiB)');
    expect(existsSync(place)).toBe(false);
  }, 20_000);

  it('get refuses what it does not know', async () => {
    const messages = [
      ['get', 'mnist', '--split', 'letters'],
      ['get', 'emnist', '--split', 'greek'],
      ['get', 'mnist', '--mirror', 'file:///tmp'],
      ['verify', join(root, 'nowhere')],
      ['verify', folderOf('empty')],
      ['verify', join(root, 'empty'), 'kmnist'],
    ];
    const found: (string | undefined)[] = [];
    for (const args of messages) found.push((await command(...args)).error?.message);
    expect(found).toEqual([
      expect.stringMatching(/^--split letters: only emnist has splits/),
      expect.stringMatching(/^--split greek: expected balanced, byclass/),
      expect.stringMatching(/^--mirror file:\/\/\/tmp: expected an address/),
      expect.stringMatching(/nowhere: no such folder/),
      expect.stringMatching(/empty: has no dataset in it/),
      expect.stringMatching(/empty: has no file of kmnist/),
    ]);
  });

  it.skipIf(mnist.absent)(`get and verify of MNIST itself, from a mirror${mnist.why}`, async () => {
    const { url: mirror } = await lyingServer((name) => readFileSync(join(mnist.path, name)));
    const dir = join(root, 'real');
    const first = await command('get', 'mnist', '--data-dir', dir, '--mirror', `${mirror}/whole`);
    expect(first.error).toBeNull();
    expect(first.out).toMatch(/^mnist: 4 files in .*, 4 of them new; licence: CC BY-SA 3\.0/);
    const right = await command('verify', dir, '--json');
    expect(right.error).toBeNull();
    expect(JSON.parse(right.out).datasets[0].files.map(({ state }: { state: string }) => state)).toEqual(
      Array(4).fill('right'),
    );
    // Unpacked, packed again, cut off, and gone.
    const [images, labels, tests, testLabels] = filesOf(CATALOG[0]).map(({ name }) => join(dir, 'mnist', name));
    writeFileSync(labels.slice(0, -3), gunzipSync(readFileSync(labels)));
    writeFileSync(testLabels, gzipSync(gunzipSync(readFileSync(testLabels))));
    writeFileSync(tests, readFileSync(tests).subarray(0, 1000));
    for (const path of [images, labels]) rmSync(path);
    const { out, error } = await command('verify', dir);
    expect(out.match(/^mnist {2}\w+/gm)).toEqual(
      ['missing', 'right', 'wrong', 'right'].map((state) => `mnist  ${state}`),
    );
    expect(out).toContain('(unpacked)');
    expect(out).toContain('(packed again)');
    expect(error?.message).toMatch(/2 files are wrong or missing \(mnist train-images-idx3-ubyte\.gz missing\)/);
  });
});
