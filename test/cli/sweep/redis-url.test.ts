import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { describeRedis, parseRedisUrl, redisAddress, takeRedisFlag } from '../../../src/cli/sweep/redis-url.js';
import { workFolder } from '../program.js';

const cwd = workFolder();

describe('a URL of Redis', () => {
  it.each([
    ['redis://queue', { host: 'queue', port: 6379, db: 0 }],
    ['redis://:p%40ss@127.0.0.1:7391/3', { host: '127.0.0.1', port: 7391, password: 'p@ss', db: 3 }],
    [
      'rediss://me:secret@queue.lab',
      { host: 'queue.lab', port: 6379, username: 'me', password: 'secret', db: 0, tls: { servername: 'queue.lab' } },
    ],
    ['redis://[::1]:7/', { host: '::1', port: 7, db: 0 }],
  ])('%s', (text, address) => expect(parseRedisUrl(text, '--redis')).toEqual(address));

  it('is described without its password', () => {
    expect(describeRedis(parseRedisUrl('rediss://me:secret@queue.lab/2', ''))).toBe('rediss://queue.lab:6379/2');
    expect(describeRedis(parseRedisUrl('redis://[::1]:7', ''))).toBe('redis://[::1]:7/0');
  });

  it.each([
    'http://:secret@queue',
    'redis://:secret@queue:port',
    'redis://:secret@queue/name',
    'redis://:secret@queue?x=1',
    'redis://:sec/ret@secret@queue:99999',
    'redis://:%secret@queue',
    'redis://',
  ])('%s is refused without a word of the password', (text) => {
    let message = '';
    try {
      parseRedisUrl(text, '--redis');
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toMatch(/^--redis .*expected redis:\/\/host:port/);
    expect(message.split('; expected')[0]).not.toMatch(/sec/);
  });
});

describe('--redis', () => {
  const [argv, title] = [process.argv, process.title];
  afterEach(() => {
    [process.argv, process.title] = [argv, title];
    delete process.env.DEEP_RFM_REDIS;
  });

  it('leaves no password in the words of the command', () => {
    process.argv = ['node', 'x', '--redis', 'redis://:secret@q', '--redis=redis://:secret@q'];
    takeRedisFlag('redis://:secret@q');
    expect(process.argv).toEqual(['node', 'x', '--redis', 'redis://***@q', '--redis=redis://***@q']);
  });

  it('is a URL, a file, or left to the variable, which runs do not get', () => {
    const file = join(cwd, 'url');
    writeFileSync(file, 'redis://:secret@q\n', { mode: 0o644 });
    const notes: string[] = [];
    expect(redisAddress(file, (line) => notes.push(line)).password).toBe('secret');
    expect(notes).toEqual([expect.stringContaining('can be read by others')]);
    process.env.DEEP_RFM_REDIS = 'redis://other';
    expect(redisAddress('redis://q', () => {}).host).toBe('q');
    expect(process.env.DEEP_RFM_REDIS).toBeUndefined();
    process.env.DEEP_RFM_REDIS = 'redis://other';
    expect(redisAddress(undefined, () => {}).host).toBe('other');
    expect(() => redisAddress(undefined, () => {})).toThrow('--redis is missing');
    expect(() => redisAddress(join(cwd, 'none'), () => {})).toThrow('cannot be read (ENOENT)');
    writeFileSync(file, '');
    expect(() => redisAddress(file, () => {})).toThrow('the file is empty');
  });
});
