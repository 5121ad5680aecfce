import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Download } from '../../../src/cli/data/catalog.js';
import { type DownloadOptions, download } from '../../../src/cli/data/download.js';
import { RfmError } from '../../../src/errors.js';
import { noise } from '../../data/helpers.js';
import { type Heard, lyingServer, proxy } from './lying-server.js';

const root = mkdtempSync(join(tmpdir(), 'deep-rfm-download-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const BYTES = Buffer.from(noise(200_000));
const sha256 = createHash('sha256').update(BYTES).digest('hex');
const QUICK = { patience: 300, backoff: 5 };

let url = '';
let heard: Heard[] = [];
let folders = 0;
beforeAll(async () => {
  ({ url, heard } = await lyingServer(() => BYTES));
});
afterEach(() => {
  heard.length = 0;
  vi.unstubAllEnvs();
});

/** A file in a folder of its own, from the server's answers to these ways, one after another. */
function wanted(...ways: string[]): { file: Download; target: string; folder: string } {
  const folder = join(root, String(folders++));
  const name = 'file.gz';
  const addresses = ways.map((way) => `${url}/${way}/${folders}-${name}`);
  return { file: { name, bytes: BYTES.length, sha256, addresses }, target: join(folder, name), folder };
}

const failure = async (file: Download, target: string, options: DownloadOptions = QUICK): Promise<string> => {
  const error = await download(file, target, options).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(RfmError);
  expect((error as RfmError).exitCode).toBe(2);
  expect((error as RfmError).message).not.toContain('\n');
  return (error as RfmError).message;
};

describe('a file is right in its place', () => {
  it.each([
    ['whole', 1],
    ['to/whole', 2],
    // Half of it, then the rest by a range.
    ['dies,ranges', 2],
    // Half of it, then all of it, since the server knows no ranges.
    ['dies,whole', 2],
    ['lies,ranges', 2],
    ['short,ranges', 2],
    ['broken,broken,whole', 3],
    ['stalls,ranges', 2],
    ['silent,whole', 2],
    // Another range than asked for is refused, and the third answer is the rest.
    ['dies,shifted,ranges', 3],
  ])('from a server that answers %s', async (way, requests) => {
    const { file, target, folder } = wanted(way);
    const seen: number[] = [];
    await download(file, target, { ...QUICK, onProgress: (done, total) => seen.push(done / total) });
    expect(readFileSync(target).equals(BYTES)).toBe(true);
    expect(readdirSync(folder)).toEqual(['file.gz']);
    expect(seen.at(-1)).toBe(1);
    expect(heard).toHaveLength(requests);
  });

  it('with only the rest asked for, of the same file', async () => {
    const { file, target } = wanted('dies,ranges');
    await download(file, target, QUICK);
    expect(heard.map(({ range, ifRange }) => [range, ifRange])).toEqual([
      [undefined, undefined],
      [`bytes=${BYTES.length / 2}-`, '"v1"'],
    ]);
  });

  it('from the second address where the first has it not', async () => {
    const { file, target } = wanted('missing', 'whole');
    await download(file, target, QUICK);
    expect(readFileSync(target).equals(BYTES)).toBe(true);
    expect(heard).toHaveLength(2);
  });

  it('with what an earlier command left of it, and without what it left of something else', async () => {
    const first = wanted('ranges');
    await failure({ ...first.file, addresses: [`${url}/dies/x`] }, first.target, { ...QUICK, attempts: 1 });
    expect(readdirSync(first.folder).sort()).toEqual(['file.gz.part', 'file.gz.part.json']);
    heard.length = 0;
    await download(first.file, first.target, QUICK);
    expect(heard.map(({ range }) => range)).toEqual([`bytes=${BYTES.length / 2}-`]);
    expect(readFileSync(first.target).equals(BYTES)).toBe(true);

    const second = wanted('ranges');
    await failure({ ...second.file, addresses: [`${url}/dies/x`] }, second.target, { ...QUICK, attempts: 1 });
    writeFileSync(`${second.target}.part`, Buffer.alloc(1000, 1));
    await download(second.file, second.target, QUICK);
    expect(readFileSync(second.target).equals(BYTES)).toBe(true);
    expect(readdirSync(second.folder)).toEqual(['file.gz']);
  });

  it('through the proxy of the environment, but for the hosts of NO_PROXY', async () => {
    const { url: by, asked } = await proxy(url);
    vi.stubEnv('HTTP_PROXY', by);
    const { file, target } = wanted('whole');
    const far = file.addresses[0].replace(/localhost:\d+/, 'data.invalid');
    await download({ ...file, addresses: [far] }, target, QUICK);
    expect(readFileSync(target).equals(BYTES)).toBe(true);
    expect(asked).toHaveLength(1);
    vi.stubEnv('NO_PROXY', 'localhost');
    const near = wanted('whole');
    await download(near.file, near.target, QUICK);
    expect(asked).toHaveLength(1);
  });
});

describe('nothing is in its place', () => {
  it.each([
    ['short', /ended after 100000 of 200000 bytes/],
    ['dies', /connection was closed/],
    ['lies', /connection was closed/],
    ['more', /sent more than 200000 bytes/],
    ['other', /offers 200007 bytes, expected 200000/],
    ['wrong', /sent another file \(SHA-256 [0-9a-f]{64}, expected /],
    ['page', /sent a web page in place of the file/],
    ['disguised', /sent a web page in place of the file/],
    ['encoded', /sent it encoded \(gzip\)/],
    ['missing', /answered with status 404/],
    ['broken', /answered with status 503/],
    ['stalls', /it stalled \(UND_ERR_BODY_TIMEOUT\)/],
    ['silent', /no answer in time \(UND_ERR_HEADERS_TIMEOUT\)/],
    ['loop', /status 302|redirect/i],
  ])('from a server that answers %s', async (way, words) => {
    const { file, target } = wanted(way);
    const message = await failure(file, target, { ...QUICK, attempts: 2 });
    expect(message).toMatch(words);
    expect(message).toContain(file.addresses[0]);
    expect(message).toContain(`put it at ${target} (200000 bytes, SHA-256 ${sha256})`);
    expect(existsSync(target)).toBe(false);
  });

  it('without a network, and all addresses are named', async () => {
    const { file, target } = wanted('whole');
    const addresses = ['http://data.invalid/a', 'http://localhost:1/b'];
    const message = await failure({ ...file, addresses }, target, { ...QUICK, attempts: 1 });
    expect(message).toMatch(/http:\/\/data\.invalid\/a: the host is not known/);
    expect(message).toMatch(/http:\/\/localhost:1\/b: the connection was refused \(ECONNREFUSED\)/);
  });

  it('where there is no place for it', async () => {
    const { file } = wanted('whole');
    const blocked = join(root, 'blocked');
    writeFileSync(blocked, '');
    const error = await download(file, join(blocked, 'file.gz'), QUICK).catch((thrown: unknown) => thrown);
    expect((error as RfmError).message).toMatch(/cannot write .*blocked/);
  });

  it('after an interruption, but the part stays for the next command', async () => {
    const { file, target, folder } = wanted('stalls');
    const controller = new AbortController();
    const halted = download(file, target, {
      ...QUICK,
      patience: 60_000,
      signal: controller.signal,
      onProgress: () => controller.abort(),
    });
    await expect(halted).rejects.toThrow(/abort/i);
    expect(readdirSync(folder).sort()).toEqual(['file.gz.part', 'file.gz.part.json']);
  });
});

it('a file that is wrong by one byte is asked for once an address: another attempt would give the same', async () => {
  const { file, target } = wanted('wrong', 'page', 'missing');
  await failure(file, target);
  expect(heard).toHaveLength(3);
});
