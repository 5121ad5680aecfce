/** What a file is that is not the one expected: downloads that failed and other programs' formats, by their first bytes. */

import type { InputFile } from './files.js';

interface Recognized {
  /** `a web page`. */
  what: string;
  /** What to do about it. */
  remedy: string;
}

const ARRAYS = 'save plain arrays with numpy.save';

const FORMATS: readonly (readonly [starts: RegExp | readonly string[], what: string, remedy: string])[] = [
  // Also what servers answer in place of a file: "403 Forbidden", or the XML of a storage service.
  [
    /^(\xef\xbb\xbf)?\s*<(!doctype|html|head|body|title|\?xml|!--|error)/i,
    'a web page',
    'download it again, from an address that works',
  ],
  [['version https://git-lfs'], 'a Git LFS pointer, not the file', 'fetch the file with git lfs pull'],
  [['\x1f\x8b'], 'gzip data', 'unpack it with gunzip'],
  [['BZh', '\xfd7zXZ'], 'bzip2 or xz data', 'unpack it'],
  [['PK\x03\x04'], 'a zip archive', 'unpack it'],
  [/^[\s\S]{257}ustar/, 'a tar archive', 'unpack it with tar xf'],
  [['\x93NUMPY'], 'a .npy array', 'give it with --dataset npy'],
  [['\x89HDF'], 'an HDF5 file', ARRAYS],
  [['\x80\x02', '\x80\x03', '\x80\x04', '\x80\x05'], 'a Python pickle', ARRAYS],
  [/^MATLAB \d/, 'a MATLAB file', ARRAYS],
  [['# Created by Octave', 'Octave-1-'], 'an Octave file', ARRAYS],
  [['PAR1'], 'a Parquet file', ARRAYS],
  [['ARROW1', 'FEA1'], 'an Arrow file', ARRAYS],
];

/** The first bytes of a file, one character each. */
export function startOf(file: InputFile): string {
  const start = Buffer.alloc(Math.min(512, file.size));
  file.read(start, 0);
  return start.toString('latin1');
}

/** What begins so, or null. */
export function recognize(start: string): Recognized | null {
  const found = FORMATS.find(([starts]) =>
    starts instanceof RegExp ? starts.test(start) : starts.some((signature) => start.startsWith(signature)),
  );
  return found ? { what: found[1], remedy: found[2] } : null;
}
