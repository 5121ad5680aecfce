/** Where a Redis or Valkey is. A password is taken out of everything that other people may see. */

import { readFileSync, statSync } from 'node:fs';
import { errorCode } from '../../data/files.js';
import { inputError } from '../../errors.js';

/** Name of the variable that holds the URL where `--redis` is not given; the launcher puts the flag's value there, too. */
export const REDIS_VARIABLE = 'DEEP_RFM_REDIS';

/** How to reach a server. */
export interface RedisAddress {
  host: string;
  port: number;
  username?: string;
  password?: string;
  db: number;
  /** Present for `rediss:`. */
  tls?: { servername: string };
}

/** Address for people, without what is secret. */
export const describeRedis = ({ host, port, db, tls }: RedisAddress): string =>
  `redis${tls ? 's' : ''}://${host.includes(':') ? `[${host}]` : host}:${port}/${db}`;

/** A URL with its password left out. */
const masked = (url: string): string => url.replace(/\/\/.*@/s, '//***@').slice(0, 80);

const EXPECTED = 'expected redis://host:port or, for TLS, rediss://user:password@host:port/database';

/**
 * Reads a URL as `redis://:password@host:6379/0`.
 * @param source what the URL came from, for messages.
 * @throws input error for anything else; the message has no password.
 */
export function parseRedisUrl(text: string, source: string): RedisAddress {
  const wrong = (why: string) => inputError(`${source} ${masked(text)}: ${why}; ${EXPECTED}`);
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw wrong('is no URL');
  }
  if (!['redis:', 'rediss:'].includes(url.protocol)) throw wrong(`found the scheme ${url.protocol.slice(0, -1)}`);
  if (url.hostname === '') throw wrong('has no host');
  if (url.search !== '' || url.hash !== '') throw wrong('has more than a database behind the host');
  const database = /^\/?(\d{0,4})$/.exec(url.pathname)?.[1];
  if (database === undefined) throw wrong('names no database by a number');
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const [username, password] = [url.username, url.password].map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      throw wrong('has a % in the password that is not written as %25');
    }
  });
  return {
    host,
    port: url.port === '' ? 6379 : Number(url.port),
    ...(username && { username }),
    ...(password && { password }),
    db: Number(database),
    ...(url.protocol === 'rediss:' && { tls: { servername: host } }),
  };
}

/** The URL in a file, for `--redis FILE`. */
function urlIn(path: string, note: (line: string) => void): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
    if ((statSync(path).mode & 0o077) !== 0 && /\/\/.*@/.test(text)) {
      note(`note: ${path} holds a password and can be read by others; \`chmod 600 ${path}\``);
    }
  } catch (error) {
    throw inputError(`--redis ${path}: cannot be read (${errorCode(error)}); give a URL, or a file that holds one`);
  }
  if (text === '') throw inputError(`--redis ${path}: the file is empty; write the URL into it`);
  return text;
}

/** Whether a value of `--redis` is a URL; otherwise it is a file. */
const isUrl = (value: string): boolean => value.includes('://');

/**
 * Takes the value of `--redis`, and lets it be seen no more where it is a URL with a password: neither in the list of
 * processes nor in what this program says of its own command.
 */
export function takeRedisFlag(value: string): string {
  if (value === '') throw inputError(`--redis: its value is empty; ${EXPECTED}`);
  if (!isUrl(value) || masked(value) === value.slice(0, 80)) return value;
  process.argv = process.argv.map((word) => (word.includes(value) ? word.replace(value, masked(value)) : word));
  process.title = 'deep-rfm sweep';
  return value;
}

/**
 * The server that `--redis`, or DEEP_RFM_REDIS, names. The variable is removed: the runs that this process starts need no
 * access to it.
 * @throws input error where neither is given, and for a wrong URL.
 */
export function redisAddress(flag: string | undefined, note: (line: string) => void): RedisAddress {
  const variable = process.env[REDIS_VARIABLE];
  delete process.env[REDIS_VARIABLE];
  const value = flag ?? variable;
  if (value === undefined || value === '') {
    throw inputError(
      `--redis is missing: where Redis is; give a URL, a file that holds it, or set ${REDIS_VARIABLE}; ${EXPECTED}`,
    );
  }
  const source = flag === undefined ? REDIS_VARIABLE : '--redis';
  return isUrl(value) ? parseRedisUrl(value, source) : parseRedisUrl(urlIn(value, note), source);
}
