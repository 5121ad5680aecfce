import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { readMatrix, readNpy } from '../../src/data/npy.js';
import { inputMessage, npyBytes, npyHeader, put, temporaryFolder } from './helpers.js';

const dir = temporaryFolder();
const array = (values: number[]): Buffer =>
  npyBytes(npyHeader('<f4', `(${values.length}, 1)`), new Uint8Array(Float32Array.from(values).buffer));
const X = array([1, 2, 3]);
const y = array([0, 1, 0]);
const read = (path: string) => readMatrix(path, '--x').data;
const message = (path: string) => inputMessage(() => read(path));

/** An archive of one entry in the form of numpy.savez: sizes of the local header in a 64-bit field. */
function savez(name: string, file: Uint8Array, { deflate = false, zip64 = false } = {}): Buffer {
  const plain = Buffer.from(zipSync({ [name]: [file, { level: 0 }] }));
  const crc = plain.readUInt32LE(14);
  const data = deflate ? deflateRawSync(file) : file;
  const wide = (...values: number[]): Buffer => {
    const field = Buffer.alloc(4 + 8 * values.length);
    field.writeUInt16LE(1);
    field.writeUInt16LE(8 * values.length, 2);
    values.forEach((value, i) => {
      field.writeBigUInt64LE(BigInt(value), 4 + 8 * i);
    });
    return field;
  };
  const local = Buffer.alloc(30);
  local.writeUInt32LE(0x04034b50);
  local.writeUInt16LE(deflate ? 8 : 0, 8);
  local.writeUInt32LE(crc, 14);
  local.fill(0xff, 18, 26);
  local.writeUInt16LE(name.length, 26);
  local.writeUInt16LE(20, 28);
  const head = Buffer.concat([local, Buffer.from(name), wide(file.length, data.length), data]);
  const central = Buffer.alloc(46);
  central.writeUInt32LE(0x02014b50);
  central.writeUInt16LE(deflate ? 8 : 0, 10);
  central.writeUInt32LE(crc, 16);
  central.writeUInt32LE(zip64 ? 0xffffffff : data.length, 20);
  central.writeUInt32LE(zip64 ? 0xffffffff : file.length, 24);
  central.writeUInt16LE(name.length, 28);
  central.writeUInt32LE(zip64 ? 0xffffffff : 0, 42);
  // Another field comes first, as times do.
  const extra = zip64
    ? Buffer.concat([Buffer.from('5554010003', 'hex'), wide(file.length, data.length, 0)])
    : Buffer.alloc(0);
  central.writeUInt16LE(extra.length, 30);
  const directory = Buffer.concat([central, Buffer.from(name), extra]);
  const end64 = Buffer.alloc(56 + 20);
  end64.writeUInt32LE(0x06064b50);
  end64.writeBigUInt64LE(1n, 32);
  end64.writeBigUInt64LE(BigInt(directory.length), 40);
  end64.writeBigUInt64LE(BigInt(head.length), 48);
  end64.writeUInt32LE(0x07064b50, 56);
  end64.writeBigUInt64LE(BigInt(head.length + directory.length), 64);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50);
  end.writeUInt16LE(zip64 ? 0xffff : 1, 10);
  end.writeUInt32LE(zip64 ? 0xffffffff : directory.length, 12);
  end.writeUInt32LE(zip64 ? 0xffffffff : head.length, 16);
  return Buffer.concat([head, directory, ...(zip64 ? [end64] : []), end]);
}

describe('arrays in .npz archives', () => {
  it('reads the only one, and a named one, stored and deflated', () => {
    for (const level of [0, 6] as const) {
      const one = put(dir, 'one.npz', zipSync({ 'arr_0.npy': X }, { level }));
      const two = put(dir, 'two.npz', zipSync({ 'X.npy': X, 'y.npy': y, 'notes.txt': Buffer.from('a') }, { level }));
      expect(read(one)).toEqual(Float32Array.of(1, 2, 3));
      expect(read(`${one}:arr_0`)).toEqual(Float32Array.of(1, 2, 3));
      expect(read(`${two}:X`)).toEqual(Float32Array.of(1, 2, 3));
      expect(read(`${two}:y.npy`)).toEqual(Float32Array.of(0, 1, 0));
      expect(readNpy(`${two}:y`).shape).toEqual([3, 1]);
    }
  });

  it.each([{}, { deflate: true }, { zip64: true }, { deflate: true, zip64: true }])(
    'reads what numpy.savez writes, and 64-bit sizes, %o',
    (options) => {
      expect(read(put(dir, 'savez.npz', savez('arr_0.npy', X, options)))).toEqual(Float32Array.of(1, 2, 3));
    },
  );

  it('reads a file whose own name has a colon, and goes by content, not by name', () => {
    expect(read(put(dir, 'a.npz:X', X))).toEqual(Float32Array.of(1, 2, 3));
    expect(read(put(dir, 'zip.npy', zipSync({ 'X.npy': X })))).toEqual(Float32Array.of(1, 2, 3));
    expect(read(put(dir, 'plain.npz', X))).toEqual(Float32Array.of(1, 2, 3));
    expect(message(`${put(dir, 'plain.npz', X)}:X`)).toMatch(/plain\.npz is no \.npz archive; drop :X/);
  });

  it('lists the names where one has to be given', () => {
    const path = put(dir, 'two.npz', zipSync({ 'X.npy': X, 'y.npy': y }));
    expect(message(path)).toBe(`--x ${path}: holds 2 arrays, X, y; name one: --x ${path}:X`);
    expect(message(`${path}:Z`)).toBe(`--x ${path}:Z: has no array of this name, found X, y; name one of these`);
    expect(message(`${dir}/absent.npz:X`)).toMatch(/absent\.npz: no such file/);
    const many = Object.fromEntries(Array.from({ length: 14 }, (_, i) => [`a${i}\n.npy`, X]));
    expect(message(put(dir, 'many.npz', zipSync(many)))).toMatch(/holds 14 arrays, a0\?, a1\?, .*a11\?, …; name one/);
  });

  it('names archives of other programs', () => {
    const torch = put(dir, 'model.pt', zipSync({ 'archive/data.pkl': X, 'archive/data/0': X }));
    expect(message(torch)).toMatch(/holds no \.npy arrays \(it is a PyTorch file\); .*numpy\.save/);
    const sparse = zipSync({ 'indices.npy': y, 'indptr.npy': y, 'format.npy': y, 'shape.npy': y, 'data.npy': X });
    expect(message(put(dir, 'sparse.npz', sparse))).toMatch(/sparse matrix of SciPy; .*a\.toarray\(\)/);
    expect(message(put(dir, 'text.npz', zipSync({ 'a.npy': npyBytes(npyHeader('<U1', '(1,)'), y) })))).toMatch(
      /text\.npz:a: dtype "<U1" \(text\)/,
    );
  });

  it('refuses other compressions and encryption', () => {
    const at = (offset: number, value: number) => {
      const bytes = Buffer.from(zipSync({ 'X.npy': X }));
      bytes[bytes.indexOf('PK\x01\x02', 0, 'latin1') + offset] = value;
      return message(put(dir, 'odd.npz', bytes));
    };
    expect(at(10, 14)).toMatch(/compressed by method 14, expected none or deflate; .*numpy\.savez/);
    expect(at(8, 1)).toMatch(/is encrypted/);
  });

  it('gives the right numbers or an error, whatever byte is changed or cut', () => {
    for (const [level, zip64] of [
      [0, false],
      [6, false],
      [6, true],
    ] as const) {
      const good = zip64
        ? savez('X.npy', X, { deflate: true, zip64 })
        : Buffer.from(zipSync({ 'X.npy': X }, { level }));
      fc.assert(
        fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), fc.boolean(), (place, flip, cut) => {
          const bytes = Buffer.from(cut ? good.subarray(0, place) : good);
          if (!cut) bytes[place] ^= flip;
          const path = put(dir, 'fuzz.npz', bytes);
          let found: unknown;
          try {
            found = read(path);
          } catch {
            inputMessage(() => read(path));
            return;
          }
          expect(found).toEqual(Float32Array.of(1, 2, 3));
        }),
        { numRuns: 150 },
      );
    }
  });
});
