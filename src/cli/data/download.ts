/**
 * Downloads that end whole and right, or not at all: bytes go to NAME.part beside their place, which a later attempt goes
 * on with; what has the published size and checksum takes its place, in one step.
 *
 * undici is the client that Node's own fetch is made of. It is used by itself since fetch unpacks what a server calls
 * encoded, so that no sum would fit, and since fetch takes no proxies from the environment before Node 24.
 */

import { createHash } from 'node:crypto';
import {
  closeSync,
  createReadStream,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type Dispatcher, EnvHttpProxyAgent, interceptors, request } from 'undici';
import { errorCode } from '../../data/files.js';
import { recognize } from '../../data/recognize.js';
import { inputError, type RfmError } from '../../errors.js';
import { writeError } from '../../report/atomic.js';
import type { Download, Sums } from './catalog.js';

export interface DownloadOptions {
  /** Hears of every piece: bytes there so far, of all. */
  onProgress?(done: number, total: number): void;
  /** Hears of every attempt that failed. */
  note?(line: string): void;
  signal?: AbortSignal;
  /** Milliseconds without a connection, an answer, or a further byte. */
  patience?: number;
  /** Attempts with each address. */
  attempts?: number;
  /** Milliseconds before the second attempt; doubled before each further one. */
  backoff?: number;
}

const PATIENCE = 30_000;
const ATTEMPTS = 3;
const BACKOFF = 1000;
const REDIRECTS = 5;

/** What went wrong with an attempt; `final`: another attempt at this address would go the same way. */
class Failure extends Error {
  constructor(
    message: string,
    readonly final: boolean,
  ) {
    super(message);
  }
}

/** Of a file, by the sum that is published: SHA-256, or MD5 where there is no other. */
export async function sumOf(path: string, kind: 'sha256' | 'md5' = 'sha256'): Promise<string> {
  const hash = createHash(kind);
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** Why a file is not the one that was published, or null. */
export async function whyWrong(path: string, sums: Sums): Promise<string | null> {
  const { size } = statSync(path);
  if (sums.bytes !== null && size !== sums.bytes) return `${size} bytes, expected ${sums.bytes}`;
  const kind = sums.sha256 === undefined ? 'md5' : 'sha256';
  const found = await sumOf(path, kind);
  const expected = sums.sha256 ?? sums.md5;
  return found === expected ? null : `${kind === 'md5' ? 'MD5' : 'SHA-256'} ${found}, expected ${expected}`;
}

/** What is known of a part: which answer it is the beginning of. */
interface PartOf {
  address: string;
  /** A strong ETag, or the date of the last change. */
  validator: string | null;
}

const noteOf = (part: string): string => `${part}.json`;

function readPart(part: string): { size: number; of: PartOf | null } {
  const size = statSync(part, { throwIfNoEntry: false })?.size ?? 0;
  try {
    return { size, of: JSON.parse(readFileSync(noteOf(part), 'utf8')) as PartOf };
  } catch {
    return { size, of: null };
  }
}

const removePart = (part: string): void => {
  for (const path of [part, noteOf(part)]) rmSync(path, { force: true });
};

/**
 * Gets a file to `target`, from the first of its addresses that has it. HTTP_PROXY, HTTPS_PROXY and NO_PROXY count.
 * @throws input error with every address and what came of it, and how to put the file there by hand; of what signal says.
 */
export async function download(file: Download, target: string, options: DownloadOptions = {}): Promise<void> {
  const { patience = PATIENCE, signal } = options;
  const agent = new EnvHttpProxyAgent({
    connect: { timeout: patience },
    headersTimeout: patience,
    bodyTimeout: patience,
  });
  const client = agent.compose(interceptors.redirect({ maxRedirections: REDIRECTS }));
  const failures: string[] = [];
  try {
    makeFolder(dirname(target));
    for (const address of file.addresses) {
      const failure = await fromAddress({ client, address, file, target }, options);
      if (failure === null) return;
      failures.push(`${address}: ${failure}`);
    }
  } finally {
    await agent.destroy();
  }
  signal?.throwIfAborted();
  throw notDownloaded(file, target, failures);
}

function notDownloaded(file: Download, target: string, failures: readonly string[]): RfmError {
  return inputError(
    `${file.name} could not be downloaded: ${failures.join('; ')}`,
    `check the network and HTTPS_PROXY, or get the file elsewhere, put it at ${target} (${file.bytes} bytes, SHA-256 ${file.sha256}) and run the command again`,
  );
}

function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw writeError(folder, error) ?? error;
  }
}

interface Source {
  client: Dispatcher;
  address: string;
  file: Download;
  target: string;
}

/** null where the file is in its place, else what came of the last attempt. */
async function fromAddress(source: Source, options: DownloadOptions): Promise<string | null> {
  const { attempts = ATTEMPTS, backoff = BACKOFF, note = () => {}, signal } = options;
  for (let attempt = 1; ; attempt++) {
    try {
      await attemptOnce(source, options);
      return null;
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof Failure)) throw error;
      if (error.final || attempt >= attempts) return error.message;
      const wait = backoff * 2 ** (attempt - 1);
      note(`${source.address}: ${error.message}; again in ${wait / 1000} s`);
      await pause(wait, undefined, { signal }).catch(() => signal?.throwIfAborted());
    }
  }
}

async function attemptOnce(source: Source, options: DownloadOptions): Promise<void> {
  const { file, target } = source;
  const part = `${target}.part`;
  const before = readPart(part);
  if (before.size > file.bytes) removePart(part);
  const from = before.size > file.bytes ? 0 : before.size;
  if (from < file.bytes) await receive(source, part, { from, of: before.of }, options);
  const wrong = await whyWrong(part, file);
  if (wrong !== null) {
    removePart(part);
    // What was gone on with may have been the beginning of something else.
    throw new Failure(`sent another file (${wrong})`, from === 0);
  }
  rmSync(noteOf(part), { force: true });
  renameSync(part, target);
}

type Answer = Dispatcher.ResponseData;

/** Writes the answer to the part, behind the bytes that are there. */
async function receive(
  { client, address, file }: Source,
  part: string,
  { from, of }: { from: number; of: PartOf | null },
  { onProgress, signal }: DownloadOptions,
): Promise<void> {
  const headers: Record<string, string> = { 'accept-encoding': 'identity', 'user-agent': 'deep-rfm' };
  if (from > 0) {
    headers.range = `bytes=${from}-`;
    // Of another address the sum will tell.
    if (of?.address === address && of.validator !== null) headers['if-range'] = of.validator;
  }
  try {
    const answer = await request(address, { dispatcher: client, headers, ...(signal && { signal }) });
    const start = checkAnswer(answer, file, from);
    writeFileSync(noteOf(part), JSON.stringify({ address, validator: validatorOf(answer) } satisfies PartOf));
    await write(answer, file, part, start, onProgress);
  } catch (error) {
    if (error instanceof Failure || errorCode(error) === '') throw error;
    const failed = writeError(part, error);
    if (failed) throw failed;
    // A host that is not known will not be in a second.
    throw new Failure(whatFailed(error), errorCode(error) === 'ENOTFOUND');
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'the host is not known (no network, or no name service)',
  EAI_AGAIN: 'the host is not known (no network, or no name service)',
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection was closed',
  UND_ERR_SOCKET: 'the connection was closed',
  UND_ERR_CONNECT_TIMEOUT: 'no connection in time',
  UND_ERR_HEADERS_TIMEOUT: 'no answer in time',
  UND_ERR_BODY_TIMEOUT: 'it stalled',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'it sent fewer or more bytes than it said',
};

function whatFailed(error: unknown): string {
  const code = errorCode(error);
  const message = error instanceof Error ? error.message.replace(/\s*\n\s*/g, ' ') : String(error);
  return REASONS[code] ? `${REASONS[code]} (${code})` : `${message} (${code})`;
}

const header = ({ headers }: Answer, name: string): string => String(headers[name] ?? '');

/** The validator of an answer that a later one can be compared by; weak ETags do not tell bytes. */
function validatorOf(answer: Answer): string | null {
  const etag = header(answer, 'etag');
  return (etag.startsWith('"') ? etag : header(answer, 'last-modified')) || null;
}

/** Where the bytes of an answer belong. @throws Failure for what is not the file. */
function checkAnswer(answer: Answer, file: Download, from: number): number {
  const { statusCode } = answer;
  const refuse = (message: string, final: boolean): never => {
    answer.body.on('error', () => {}).destroy();
    throw new Failure(message, final);
  };
  if (statusCode === 416) {
    // The part is no beginning of what is there.
    return refuse('has nothing beyond what is here (status 416)', false);
  }
  if (statusCode !== 200 && statusCode !== 206) {
    return refuse(`answered with status ${statusCode}`, ![408, 425, 429].includes(statusCode) && statusCode < 500);
  }
  if (/^text\/html|^application\/xhtml/i.test(header(answer, 'content-type'))) {
    return refuse('sent a web page in place of the file', true);
  }
  const encoding = header(answer, 'content-encoding');
  if (!['', 'identity'].includes(encoding)) return refuse(`sent it encoded (${encoding})`, true);
  const start = statusCode === 206 ? rangeStart(answer, file) : 0;
  if (start !== 0 && start !== from) return refuse(`sent bytes from ${start} on, asked for ${from}`, false);
  const length = header(answer, 'content-length');
  if (length !== '' && Number(length) !== file.bytes - start) {
    return refuse(`offers ${Number(length) + start} bytes, expected ${file.bytes}`, true);
  }
  return start;
}

/** NaN for a range that is not of this file. */
function rangeStart(answer: Answer, { bytes }: Download): number {
  const [, start, all] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(header(answer, 'content-range')) ?? [];
  return start !== undefined && (all === '*' || Number(all) === bytes) ? Number(start) : Number.NaN;
}

async function write(
  answer: Answer,
  file: Download,
  part: string,
  start: number,
  onProgress: DownloadOptions['onProgress'],
): Promise<void> {
  const fd = openSync(part, start === 0 ? 'w' : 'r+');
  let position = start;
  try {
    for await (const chunk of answer.body) {
      const bytes = chunk as Buffer;
      if (position === 0 && recognize(bytes.subarray(0, 512).toString('latin1'))?.what === 'a web page') {
        throw new Failure('sent a web page in place of the file', true);
      }
      if (position + bytes.length > file.bytes) throw new Failure(`sent more than ${file.bytes} bytes`, true);
      for (let done = 0; done < bytes.length; )
        done += writeSync(fd, bytes, done, bytes.length - done, position + done);
      position += bytes.length;
      onProgress?.(position, file.bytes);
    }
    fsyncSync(fd);
  } catch (error) {
    answer.body.on('error', () => {}).destroy();
    // Where it failed after the first byte, what came is kept, unless it was no part of the file.
    if (error instanceof Failure) removePart(part);
    throw error;
  } finally {
    closeSync(fd);
  }
  if (position < file.bytes) {
    throw new Failure(`ended after ${position} of ${file.bytes} bytes`, false);
  }
}
