import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readMat } from '../../src/data/mat.js';
import { inputMessage, noise, put, temporaryFolder } from './helpers.js';
import { type MatOptions, type MatVariable, matElement, matFile, matHeader } from './mat-writer.js';

const dir = temporaryFolder();
const LAYOUTS: [string, MatOptions][] = [
  ['little-endian', {}],
  ['big-endian', { bigEndian: true }],
  ['compressed', { compress: true }],
  ['compressed big-endian', { compress: true, bigEndian: true }],
];
const bytes: MatVariable = { name: 'X', classCode: 9, shape: [3, 4, 2], storage: 2, values: noise(24) };
const doubles: MatVariable = { name: 'weights', classCode: 6, shape: [2, 2], storage: 9, values: [1.5, -2, 1e300, 0] };
const read = (file: Uint8Array, ...names: string[]) => readMat(put(dir, 'a.mat', file), names, '--data-dir');

describe.each(LAYOUTS)('readMat, %s', (_, options) => {
  it('reads arrays in any order and skips the others', () => {
    const other: MatVariable = { name: 'text', classCode: 4, shape: [1, 2], storage: 4, values: [72, 105] };
    const object: MatVariable = { name: 'f', classCode: 17, shape: [1, 1], storage: 2, values: [1] };
    const sparse: MatVariable = { name: 's', classCode: 5, shape: [2, 2], storage: 9, values: [1] };
    const arrays = read(matFile([object, other, doubles, sparse, bytes], options), 'X', 'weights');
    expect(arrays.get('X')).toEqual({ shape: [3, 4, 2], className: 'uint8', data: bytes.values });
    expect(arrays.get('weights')).toEqual({
      shape: [2, 2],
      className: 'double',
      data: Float64Array.of(1.5, -2, 1e300, 0),
    });
    expect([...arrays.keys()].sort()).toEqual(['X', 'weights']);
  });

  it('reads every storage type, short data in the small form', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(1, 2, 3, 4, 5, 6, 7, 9, 12, 13),
        fc.array(fc.integer({ min: 0, max: 127 }), { minLength: 1, maxLength: 9 }),
        (storage, values) => {
          const found = read(
            matFile([{ name: 'y', classCode: 6, shape: [values.length, 1], storage, values }], options),
            'y',
          ).get('y');
          expect(found?.shape).toEqual([values.length, 1]);
          expect([...(found?.data ?? [])]).toEqual(values);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('reads negative and fractional values', () => {
    const values = [-1, -100];
    for (const storage of [1, 3, 5, 7, 9, 12]) {
      const file = matFile([{ name: 'y', classCode: 6, shape: [2, 1], storage, values }], options);
      expect(read(file, 'y').get('y')?.data).toEqual(Float64Array.from(values));
    }
  });

  it('refuses a file cut anywhere', () => {
    const file = matFile([bytes], options);
    for (let length = 0; length < file.length; length++) {
      expect(inputMessage(() => read(file.subarray(0, length), 'X'))).toMatch(/MAT-file|MATLAB v5|no variable/);
    }
  });

  it('answers any damaged byte with data or an input error', () => {
    const file = matFile([bytes, doubles], options);
    fc.assert(
      fc.property(fc.integer({ min: 124, max: file.length - 1 }), fc.nat(255), (place, value) => {
        const damaged = Buffer.from(file);
        damaged[place] = value;
        try {
          read(damaged, 'X', 'weights');
        } catch {
          inputMessage(() => read(damaged, 'X', 'weights'));
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe('readMat refuses', () => {
  it('other formats', () => {
    const v73 = matHeader({ version: 0x0200 });
    v73.write('MATLAB 7.3 MAT-file');
    const remedy = 'expected MATLAB v5 to v7; load it there and write it with save -v7 a.mat X y';
    const cases: [Uint8Array, string][] = [
      [v73, 'a MATLAB v7.3 (HDF5) file'],
      [Buffer.from('\x89HDF\r\n\x1a\n', 'latin1'), "an HDF5 file, as MATLAB's -v7.3 and Octave's -hdf5 write"],
      [Buffer.from('# Created by Octave 7.3.0, Sat Nov 28\n# name: X\n'), "a file in Octave's text format"],
      [Buffer.from('# name: X\n# type: uint8 matrix\n'), "a file in Octave's text format"],
      [Buffer.from('Octave-1-L\0\x01'), "a file in Octave's binary format"],
      [Buffer.from('1f8b0800', 'hex'), "gzip data, as Octave's -zip writes"],
      // A double matrix y of 4 × 1, and the same from a big-endian machine.
      [Buffer.from('0000000004000000010000000000000002000000', 'hex'), 'a MATLAB v4 file'],
      [Buffer.from('000003e800000004000000010000000000000002', 'hex'), 'a MATLAB v4 file'],
    ];
    for (const [file, what] of cases) {
      expect(inputMessage(() => read(file, 'X', 'y'))).toMatch(`${what}, ${remedy}`);
    }
    expect(inputMessage(() => read(Buffer.from('<html>404'), 'X'))).toMatch(
      /"<html>404", a web page; download it again/,
    );
    expect(inputMessage(() => read(Buffer.from('PK'), 'X'))).toMatch(
      /not a MATLAB v5 file: it starts with "PK"; download it again/,
    );
    expect(inputMessage(() => read(matHeader({ version: 0x0400 }), 'X'))).toMatch(/not a MATLAB v5 file/);
  });

  it('a file without the variable', () => {
    expect(inputMessage(() => read(matFile([doubles]), 'X'))).toMatch(
      /^--data-dir .*: has no variable X, found the variables weights/,
    );
    expect(inputMessage(() => read(matFile([]), 'X'))).toMatch(/found no variables/);
    expect(inputMessage(() => read(matFile([{ ...doubles, name: 'a\nb' }]), 'X'))).toMatch(/found the variables a\?b;/);
  });

  it('arrays that are not full, real and numeric', () => {
    expect(inputMessage(() => read(matFile([{ ...doubles, complex: true }]), 'weights'))).toMatch(
      /variable weights: not a full real/,
    );
    expect(inputMessage(() => read(matFile([{ ...doubles, classCode: 5 }]), 'weights'))).toMatch(/class 5/);
  });

  it('a shape that does not agree with the data', () => {
    for (const shape of [[3, 4, 3], [-3, -8], [0x7fffffff, 0x7fffffff, 0x7fffffff], [24]]) {
      expect(inputMessage(() => read(matFile([{ ...bytes, shape }]), 'X'))).toMatch(/damaged MAT-file/);
    }
  });

  it('an element that claims more than the file or the compressed data hold', () => {
    const huge = matElement(bytes);
    huge.writeUInt32LE(0xfffffff0, 4);
    expect(inputMessage(() => read(Buffer.concat([matHeader(), huge]), 'X'))).toMatch(
      /claims 4294967280 bytes, \d+ follow/,
    );
    const packed = matElement(bytes, { compress: true });
    packed[packed.length - 1] ^= 1;
    expect(inputMessage(() => read(Buffer.concat([matHeader(), packed]), 'X'))).toMatch(/compressed data \(/);
  });
});
