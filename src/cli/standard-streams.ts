/**
 * Makes stdout and stderr this program's own. Dawn and drivers write to the descriptors 1 and 2, whatever the user has
 * asked for; so the launcher keeps those two to itself and hands over the user's as two others, which DEEP_RFM_STREAMS
 * names. Imported before everything that may write.
 */

import { writeSync } from 'node:fs';
import { Writable } from 'node:stream';
import { isatty, WriteStream } from 'node:tty';
import { errorCode } from '../data/files.js';

const cell = new Int32Array(new SharedArrayBuffer(4));

/** Writes all of it, waiting where a pipe is full. */
function writeAll(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(fd, bytes, done);
    } catch (error) {
      if (errorCode(error) !== 'EAGAIN') throw error;
      Atomics.wait(cell, 0, 0, 1);
    }
  }
}

/** Written before `write` returns, as Node does for pipes and files: the process may be ended right after it. */
function synchronous(fd: number): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      try {
        writeAll(fd, chunk);
        done();
      } catch (error) {
        done(error as Error);
      }
    },
  });
}

const descriptors = process.env.DEEP_RFM_STREAMS?.split(' ').map(Number) ?? [];
delete process.env.DEEP_RFM_STREAMS;
(['stdout', 'stderr'] as const).forEach((name, i) => {
  const fd = descriptors[i];
  if (fd === undefined) return;
  const value = Object.assign(isatty(fd) ? new WriteStream(fd) : synchronous(fd), { fd });
  Object.defineProperty(process, name, { value, configurable: true, enumerable: true });
});
