import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { readClasses } from '../../src/data/labels.js';
import { readMatrix, readNpy, toFloat32, writeNpy } from '../../src/data/npy.js';
import type { NpyData } from '../../src/data/npy-dtypes.js';
import { inputMessage, npyBytes, npyHeader, put, shared, temporaryFolder } from './helpers.js';
import { fixtureBytes, NPY_FIXTURES } from './npy-fixtures.js';

const dir = temporaryFolder();
const bytesOf = ({ buffer, byteOffset, byteLength }: NpyData): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

describe('files made by NumPy', () => {
  for (const fixture of NPY_FIXTURES) {
    it(`reads ${fixture.name}`, () => {
      const found = readNpy(put(dir, 'fixture.npy', fixtureBytes(fixture)));
      expect(found.shape).toEqual(fixture.shape);
      expect(found.dtype).toBe(fixture.dtype);
      expect(Array.from(found.data, Number)).toEqual(fixture.values);
    });
  }

  const written = NPY_FIXTURES.filter(
    (f) => f.version === 1 && !f.fortranOrder && ['<f4', '<f8', '<i4'].includes(f.dtype),
  );
  it.each(written)('writes the same bytes as NumPy: $name', (fixture) => {
    const path = join(dir, 'written.npy');
    const make = { '<f4': Float32Array, '<f8': Float64Array }[fixture.dtype] ?? Int32Array;
    writeNpy(path, fixture.shape, new make(fixture.values));
    expect(readFileSync(path).toString('hex')).toBe(fixtureBytes(fixture).toString('hex'));
  });
});

describe('round trips', () => {
  const shapes = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 });
  const values = fc.infiniteStream(fc.integer({ min: -1000, max: 1000 }));

  it('writes and reads float32, float64 and int32 of any shape', () => {
    const path = join(dir, 'round.npy');
    fc.assert(
      fc.property(shapes, values, fc.constantFrom(Float32Array, Float64Array, Int32Array), (shape, stream, make) => {
        const length = shape.reduce((a, b) => a * b, 1);
        const data = make.from([...stream.take(length)].map((v) => v / 8));
        writeNpy(path, shape, data);
        expect(readFileSync(path).readUInt16LE(8) % 64).toBe(54);
        const found = readNpy(path, { maxDims: 4 });
        expect(found.shape).toEqual(shape);
        expect(found.data).toEqual(data);
      }),
      { numRuns: 60 },
    );
  });

  it('reads every dtype, version, order, key order, quote and spacing', () => {
    const types = fc.constantFrom<[string, (v: number[]) => NpyData]>(
      ['f4', (v) => Float32Array.from(v)],
      ['f8', (v) => Float64Array.from(v)],
      ['i1', (v) => Int8Array.from(v)],
      ['i2', (v) => Int16Array.from(v)],
      ['i4', (v) => Int32Array.from(v)],
      ['i8', (v) => BigInt64Array.from(v, BigInt)],
      ['u1', (v) => Uint8Array.from(v)],
      ['u2', (v) => Uint16Array.from(v)],
      ['u4', (v) => Uint32Array.from(v)],
      ['u8', (v) => BigUint64Array.from(v, (value) => BigInt(Math.abs(value)))],
      ['b1', (v) => Uint8Array.from(v, (value) => value & 1)],
    );
    const style = fc.record({
      version: fc.constantFrom(1, 2, 3),
      byteOrder: fc.constantFrom('<', '>', '=', '|', ''),
      quote: fc.constantFrom("'", '"'),
      space: fc.constantFrom('', ' ', '\t', '  \n'),
      comma: fc.constantFrom('', ','),
      order: fc.shuffledSubarray([0, 1, 2], { minLength: 3 }),
      fortran: fc.boolean(),
    });
    fc.assert(
      fc.property(types, shapes, values, style, ([kind, make], shape, stream, s) => {
        const descr = s.byteOrder + kind;
        const length = shape.reduce((a, b) => a * b, 1);
        const data = make([...stream.take(length)]);
        const q = (text: string) => `${s.quote}${text}${s.quote}`;
        const tuple = `(${shape.map((extent) => `${s.space}${extent}${s.space}`).join(',')}${shape.length === 1 ? ',' : s.comma})`;
        const entries = [
          `${q('descr')}${s.space}:${s.space}${q(descr)}`,
          `${q('fortran_order')}:${s.space}${s.fortran ? 'True' : 'False'}`,
          `${q('shape')}:${tuple}`,
        ];
        const dict = `${s.space}{${s.space}${s.order.map((i) => entries[i]).join(`${s.space},${s.space}`)}${s.comma}${s.space}}\n`;
        // Element (i, j, …) of a Fortran file lies where (…, j, i) of a C file would.
        const stored = make(Array.from({ length }, (_, i) => Number(data[s.fortran ? cIndex(i, shape) : i])));
        const bytes = bytesOf(stored);
        if (s.byteOrder === '>') {
          for (let i = 0; i < bytes.length; i += stored.BYTES_PER_ELEMENT) {
            bytes.subarray(i, i + stored.BYTES_PER_ELEMENT).reverse();
          }
        }
        const path = put(dir, 'style.npy', npyBytes(dict, bytes, s.version));
        const found = readNpy(path, { maxDims: 4 });
        expect(found.shape).toEqual(shape);
        expect(found.dtype).toBe(descr);
        expect(found.data).toEqual(data);
      }),
      { numRuns: 200 },
    );
  });

  it('reads half floats, denormal, infinite and not a number, in either byte order', () => {
    // By numpy.float16(values).tobytes().
    const bits = [0x3c00, 0xc000, 0x3555, 0x0001, 0x03ff, 0x0400, 0x7bff, 0x8000, 0x7c00, 0xfc00, 0x7e00];
    const expected = [
      1,
      -2,
      0.333251953125,
      2 ** -24,
      1023 * 2 ** -24,
      2 ** -14,
      65504,
      -0,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      Number.NaN,
    ];
    const little = Buffer.from(bytesOf(Uint16Array.from(bits)));
    for (const [descr, bytes] of [
      ['<f2', little],
      ['>f2', Buffer.from(little).swap16()],
    ] as const) {
      const { data } = readNpy(put(dir, 'half.npy', npyBytes(npyHeader(descr, `(${bits.length},)`), bytes)));
      expect(data).toEqual(Float32Array.from(expected));
    }
  });

  /** C-order index of the element at Fortran-order index f. */
  function cIndex(f: number, shape: number[]): number {
    let rest = f;
    const index = shape.map((extent) => {
      const i = rest % extent;
      rest = Math.floor(rest / extent);
      return i;
    });
    return index.reduce((c, i, axis) => c * shape[axis] + i, 0);
  }
});

describe('malformed files', () => {
  const eight = new Uint8Array(8);
  const cases: [string, Uint8Array | string, RegExp][] = [
    ['an empty file', '', /not a \.npy file: it is empty/],
    ['text', 'a,b\n1,2\n', /not a \.npy file: it starts with the bytes 612c620a312c, expected 934e554d5059/],
    ['an archive without a directory', 'PK\x03\x04............', /damaged \.npz archive: it has no directory/],
    ['a page', '<!DOCTYPE html><html>404', /bytes 3c21444f4354, a web page, expected 934e554d5059; download it again/],
    ['a pointer', 'version https://git-lfs.github.com/spec/v1\n', /a Git LFS pointer.*git lfs pull/],
    ['a pickle', '\x80\x04\x95.....', /a Python pickle.*numpy\.save/],
    ['gzip data', '\x1f\x8b\x08......', /gzip data.*gunzip/],
    ['a part of the magic', '\x93NU', /not a \.npy file/],
    ['version 4', npyBytes(npyHeader('<f4', '(2,)'), eight, 4), /version 4\.0, expected 1\.0, 2\.0 or 3\.0/],
    ['only the magic', Buffer.from('934e554d5059', 'hex'), /truncated: 6 bytes end inside/],
    ['a version 2 file of 11 bytes', Buffer.from('934e554d50590200ffffff', 'hex'), /truncated: 11 bytes end inside/],
    [
      'half a header',
      npyBytes(npyHeader('<f4', '(2,)'), eight).subarray(0, 30),
      /truncated: claims a header of \d+ bytes, but only 20/,
    ],
    [
      'a header of 4 GB',
      Buffer.from('934e554d50590200ffffffff7b7d', 'hex'),
      /claims a header of 4294967295 bytes, but only 2 follow/,
    ],
    [
      'a header longer than needed',
      npyBytes(npyHeader('<f4', '(2,)') + ' '.repeat(70000), eight, 3),
      /expected at most 65535/,
    ],
    ['no dict', npyBytes('[1, 2]\n', eight), /expected a Python dict/],
    ['an empty dict', npyBytes('{}\n', eight), /expected the keys descr, fortran_order and shape/],
    ['a missing key', npyBytes("{'descr': '<f4', 'shape': (2,)}", eight), /expected the keys descr/],
    ['an unknown key', npyBytes("{'descr': '<f4', 'colour': (2,)}", eight), /"'colour'.*expected the keys/],
    ['a repeated key', npyBytes("{'shape': (2,), 'shape': (2,)}", eight), /each once/],
    ['no comma between keys', npyBytes("{'shape': (2,) 'descr': '<f4'}", eight), /expected a comma or "}"/],
    ['two commas', npyBytes("{'shape': (2,),, 'descr': '<f4'}", eight), /expected a quoted key/],
    ['text after the dict', npyBytes(`${npyHeader('<f4', '(2,)')}x`, eight), /expected nothing after the dict/],
    ['a code in the shape', npyBytes(npyHeader('<f4', '(__import__,)'), eight), /expected an integer/],
    ['a list as the shape', npyBytes(npyHeader('<f4', '[2]'), eight), /expected a tuple/],
    [
      'a number as the shape',
      npyBytes(npyHeader('<f4', '(2)'), eight),
      /expected a comma inside the one-element tuple/,
    ],
    ['two numbers without a comma', npyBytes(npyHeader('<f4', '(2 1)'), eight), /expected a comma or "\)"/],
    ['fortran_order 0', npyBytes(npyHeader('<f4', '(2,)', '0'), eight), /expected True or False/],
    ['an unclosed string', npyBytes("{'descr", eight), /expected a quoted key/],
    ['complex', npyBytes(npyHeader('<c8', '(1,)'), eight), /"<c8" \(complex numbers\) is not supported.*a\.real/],
    ['objects', npyBytes(npyHeader('|O', '(1,)'), eight), /\(Python objects\).*np\.unique\(a, return_inverse=True\)/],
    ['text', npyBytes(npyHeader('<U2', '(1,)'), eight), /"<U2" \(text\).*np\.unique\(a, return_inverse=True\)/],
    ['bytes', npyBytes(npyHeader('|S8', '(1,)'), eight), /"\|S8" \(text\).*np\.unique/],
    ['times', npyBytes(npyHeader('<M8[ns]', '(1,)'), eight), /\(times\).*astype\('<i8'\)/],
    ['long double', npyBytes(npyHeader('<f16', '(1,)'), eight), /\(extended precision\).*astype\('<f8'\)/],
    ['bfloat16', npyBytes(npyHeader('<V2', '(4,)'), eight), /raw bytes, as bfloat16 is saved.*astype\('<f4'\)/],
    [
      'an unknown size',
      npyBytes(npyHeader('<f1', '(8,)'), eight),
      /"<f1" is not supported, expected numbers or booleans/,
    ],
    ['a name from Object.prototype', npyBytes(npyHeader('toString', '(1,)'), eight), /not supported/],
    ['a boolean of 2', npyBytes(npyHeader('|b1', '(3,)'), Uint8Array.of(1, 2, 0)), /byte 2 at element 1 .*boolean/],
    [
      'a structured dtype',
      npyBytes("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", eight),
      /structured dtype.*structured_to_unstructured/,
    ],
    ['0-d', npyBytes(npyHeader('<f8', '()'), eight), /a scalar \(0-d\), expected an array of 1 to 2/],
    ['3-d', npyBytes(npyHeader('<f4', '(1, 1, 2)'), eight), /has 3 dimensions, expected 1 to 2/],
    ['a negative extent', npyBytes(npyHeader('<f4', '(-2, -1)'), eight), /shape \(-2, -1\), expected positive/],
    ['no rows', npyBytes(npyHeader('<f4', '(0, 5)'), new Uint8Array(0)), /shape \(0, 5\), so no elements/],
    [
      'a product that wraps at 64 bits',
      npyBytes(npyHeader('<f4', '(4294967296, 4294967296)'), new Uint8Array(0)),
      /takes 73786976294838206464 bytes of data, found 0/,
    ],
    ['a product that rounds', npyBytes(npyHeader('|u1', `(${'9'.repeat(30)}, 2)`), eight), /cut short/],
    ['an absurd extent', npyBytes(npyHeader('|u1', `(${'9'.repeat(31)},)`), eight), /an integer of at most 30 digits/],
    [
      'missing data',
      npyBytes(npyHeader('<f8', '(2, 3)'), eight),
      /cut short: the shape \(2, 3\) of <f8 takes 48 bytes of data, found 8/,
    ],
    [
      'trailing bytes',
      npyBytes(npyHeader('<f4', '(1,)'), eight),
      /trailing bytes: the shape \(1,\) of <f4 takes 4 bytes of data, found 8/,
    ],
  ];
  it.each(cases)('refuses %s', (_, bytes, message) => {
    const path = put(dir, 'bad.npy', typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
    const found = inputMessage(() => readNpy(path, { flag: '--x' }));
    expect(found).toMatch(message);
    expect(found.startsWith(`--x ${path}: `)).toBe(true);
  });

  it('refuses a missing file, a directory and a path through a file', () => {
    const file = put(dir, 'plain', 'x');
    expect(inputMessage(() => readNpy(join(dir, 'absent.npy'), { flag: '--x' }))).toMatch(
      /^--x .*absent\.npy: no such file/,
    );
    expect(inputMessage(() => readNpy(join(file, 'a.npy')))).toMatch(/no such file/);
    expect(inputMessage(() => readNpy(dir))).toMatch(/is a directory, expected a file/);
    expect(inputMessage(() => readNpy('/dev/null'))).toMatch(/not a regular file/);
  });

  it.skipIf(process.getuid?.() === 0)('refuses an unreadable file (skipped for root, who may read all)', () => {
    const path = put(dir, 'locked.npy', 'x');
    chmodSync(path, 0);
    expect(inputMessage(() => readNpy(path))).toMatch(/no permission/);
  });

  it('never fails otherwise, whatever single byte of a good file is changed or cut', () => {
    const good = fixtureBytes(NPY_FIXTURES[0]);
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(255), fc.boolean(), (place, value, cut) => {
        const bytes = Buffer.from(cut ? good.subarray(0, place) : good);
        if (!cut) bytes[place] = value;
        const path = put(dir, 'fuzz.npy', bytes);
        try {
          readNpy(path);
        } catch {
          inputMessage(() => readNpy(path));
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('readMatrix', () => {
  const write = (shape: number[], values: number[]) => {
    const path = join(dir, 'matrix.npy');
    writeNpy(path, shape, Float64Array.from(values));
    return path;
  };

  it('gives float32 rows where those hold the numbers, else float64; a 1-d array as a column', () => {
    const matrix = (data: Float32Array | Float64Array) => ({ rows: 2, cols: 2, data });
    expect(readMatrix(write([2, 2], [0.5, 2, 3, -4]), '--x')).toEqual(matrix(Float32Array.of(0.5, 2, 3, -4)));
    expect(readMatrix(write([2, 2], [0.1, 2, 3, 1e39]), '--x')).toEqual(matrix(Float64Array.of(0.1, 2, 3, 1e39)));
    const seconds = put(
      dir,
      'time.npy',
      npyBytes(npyHeader('<i8', '(1, 2)'), bytesOf(BigInt64Array.of(1700000001n, 5n))),
    );
    expect(readMatrix(seconds, '--x').data).toEqual(Float64Array.of(1700000001, 5));
    expect(readMatrix(write([3], [1, 2, 3]), '--x')).toMatchObject({ rows: 3, cols: 1 });
  });

  it('converts integers', () => {
    const path = put(dir, 'int.npy', npyBytes(npyHeader('<i8', '(1, 2)'), bytesOf(BigInt64Array.of(-3n, 5n))));
    expect(readMatrix(path, '--x').data).toEqual(Float32Array.of(-3, 5));
  });

  it('refuses digits beyond float64 where a column varies in just these', () => {
    const write = (values: bigint[]) =>
      put(dir, 'ns.npy', npyBytes(npyHeader('<i8', `(${values.length / 2}, 2)`), bytesOf(BigInt64Array.from(values))));
    const now = 1_700_000_000_000_000_001n;
    // Seconds apart, the 128 ns that are lost do not show; a constant column has nothing to lose.
    const second = 1_000_000_000n;
    const apart = write([now, now, now + 7n * second, now]);
    expect(readMatrix(apart, '--x').data).toEqual(Float64Array.from([now, now, now + 7n * second, now], Number));
    expect(inputMessage(() => readMatrix(write([1n, now, 2n, now + 300n]), '--x'))).toMatch(
      /^--x .*: 1700000000000000301 in row 1, column 1 .*more digits than float64.*a - a\.min\(axis=0\)/,
    );
  });

  it('names row and column of what is not finite or too large', () => {
    expect(inputMessage(() => readMatrix(write([2, 2], [0, 1, 2, Number.NaN]), '--x'))).toMatch(
      /^--x .*: NaN in row 1, column 1 \(counted from 0\), expected finite numbers/,
    );
    expect(inputMessage(() => readMatrix(write([2, 2], [0, 1, -Infinity, 3]), '--x'))).toMatch(
      /-Infinity in row 1, column 0/,
    );
    expect(inputMessage(() => toFloat32(readMatrix(write([1, 2], [0, 1e39]), '--x'), '--x'))).toMatch(
      /1e\+39 in row 0, column 1 .*beyond the float32 range/,
    );
    const path = join(dir, 'nan32.npy');
    writeNpy(path, [2], Float32Array.of(1, Number.NaN));
    expect(inputMessage(() => readMatrix(path, '--y'))).toMatch(/^--y .*NaN in row 1, column 0/);
  });
});

describe('writeNpy', () => {
  it('replaces a file in one step and leaves nothing behind', () => {
    const folder = join(dir, 'out');
    mkdirSync(folder);
    const path = join(folder, 'a.npy');
    writeNpy(path, [2], Float32Array.of(1, 2));
    writeNpy(path, [1], Float32Array.of(3));
    expect(readNpy(path).data).toEqual(Float32Array.of(3));
    expect(readdirSync(folder)).toEqual(['a.npy']);
  });

  it('writes the part of a buffer that it is given', () => {
    const path = join(dir, 'part.npy');
    writeNpy(path, [2], Float32Array.of(1, 2, 3, 4).subarray(1, 3));
    expect(readNpy(path).data).toEqual(Float32Array.of(2, 3));
  });

  it('removes the temporary file when it fails', () => {
    const folder = join(dir, 'fails');
    mkdirSync(join(folder, 'taken', 'inner'), { recursive: true });
    expect(inputMessage(() => writeNpy(join(folder, 'taken'), [1], Float32Array.of(1)))).toMatch(/cannot be written/);
    expect(readdirSync(folder)).toEqual(['taken']);
    expect(inputMessage(() => writeNpy(join(folder, 'no', 'a.npy'), [1], Float32Array.of(1)))).toMatch(
      /directory does not exist/,
    );
    expect(existsSync(join(folder, 'no'))).toBe(false);
  });

  it('refuses a shape that does not fit', () => {
    expect(() => writeNpy(join(dir, 'x.npy'), [2, 2], Float32Array.of(1))).toThrow(/does not hold 1 elements/);
  });
});

describe('golden files', () => {
  const golden = shared('golden');
  it.skipIf(golden.absent)(`reads matrices and labels written by NumPy${golden.why}`, () => {
    const folder = join(golden.path, 'layer', 'laplace-relu');
    const x = readMatrix(join(folder, 'X.npy'), '--x');
    const kernel = readMatrix(join(folder, 'kernel_matrix.npy'), '');
    const { values: labels } = readClasses(join(folder, 'labels.npy'), '--y', x.rows);
    expect([labels.length, kernel.rows, kernel.cols]).toEqual([x.rows, x.rows, x.rows]);
    expect(kernel.data[0]).toBe(1);
    expect(kernel.data[1]).toBe(kernel.data[x.rows]);
    // What NumPy wrote in version 1.0 and C order comes back byte for byte.
    const { shape, data } = readNpy(join(folder, 'X.npy'));
    const path = join(dir, 'golden.npy');
    writeNpy(path, shape, data as Float64Array);
    expect(readFileSync(path).equals(readFileSync(join(folder, 'X.npy')))).toBe(true);
  });
});
