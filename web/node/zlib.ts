/** In place of Node's module, by pako: what the readers of data unpack with. */

import { Inflate, type InflateOptions } from 'pako';

export const constants = { Z_SYNC_FLUSH: 2, Z_FINISH: 4 };

/** Of zlib: the input ends before its end. */
const Z_BUF_ERROR = -5;

interface Options {
  maxOutputLength?: number;
  finishFlush?: number;
}

/** Unpacks as far as there is input; what is cut short is an error unless a flush was asked for. */
function unpacked(packed: Uint8Array, options: InflateOptions, { maxOutputLength, finishFlush }: Options): Uint8Array {
  const inflate = new Inflate({ chunkSize: 1 << 20, ...options });
  const parts: Uint8Array[] = [];
  let length = 0;
  inflate.onData = (part) => {
    const bytes = part as Uint8Array;
    length += bytes.length;
    if (maxOutputLength !== undefined && length > maxOutputLength) {
      throw Object.assign(new RangeError('larger than allowed'), { code: 'ERR_BUFFER_TOO_LARGE' });
    }
    parts.push(bytes);
  };
  const partial = finishFlush === constants.Z_SYNC_FLUSH;
  inflate.push(packed, partial ? 2 : true);
  if (inflate.err && inflate.err !== Z_BUF_ERROR) throw new Error(inflate.msg || `code ${inflate.err}`);
  const whole = inflate.err === 0 && (inflate as unknown as { ended: boolean }).ended;
  if (!whole && !partial) throw new Error('unexpected end of file');
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export const gunzipSync = (packed: Uint8Array, options: Options = {}): Uint8Array =>
  unpacked(packed, { windowBits: 31 }, options);
export const inflateSync = (packed: Uint8Array, options: Options = {}): Uint8Array => unpacked(packed, {}, options);
export const inflateRawSync = (packed: Uint8Array, options: Options = {}): Uint8Array =>
  unpacked(packed, { raw: true }, options);

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c;
});

export function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 255]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
