import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { memoryFiles } from '../../src/model/files.js';
import { expectNames, openTensors, type TensorToWrite, writeTensors } from '../../src/model/safetensors.js';

/** The file of these tensors. */
async function written(tensors: readonly TensorToWrite[], metadata = {}): Promise<Uint8Array<ArrayBuffer>> {
  const files = memoryFiles();
  const sink = await files.create('a.safetensors');
  await writeTensors(sink, tensors, metadata);
  await sink.close();
  return files.bytes.get('a.safetensors')!;
}

const opened = (bytes: Uint8Array) => openTensors(memoryFiles([['a.safetensors', bytes]], 'm').open('a.safetensors')!);

/** A file with this header and as many zero bytes of data. */
function fileOf(header: string | object, dataBytes: number, claimed?: bigint): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const out = new Uint8Array(8 + json.length + dataBytes);
  new DataView(out.buffer).setBigUint64(0, claimed ?? BigInt(json.length), true);
  out.set(json, 8);
  return out;
}

const tensors: TensorToWrite[] = [
  { name: 'u8', dtype: 'U8', shape: [3], data: Uint8Array.of(1, 2, 255) },
  { name: 'weights', dtype: 'F32', shape: [2, 3], data: Float32Array.of(0.5, -1, 2, 3, 4, 1e-40) },
  { name: '7', dtype: 'F64', shape: [], data: Float64Array.of(Math.PI) },
  { name: 'ids', dtype: 'I64', shape: [2], data: BigInt64Array.of(-1n, 2n ** 40n) },
  { name: 'none', dtype: 'I32', shape: [0, 4], data: new Int32Array(0) },
  { name: 'Größe', dtype: 'I32', shape: [1], data: Int32Array.of(-7) },
];

describe('a file of tensors', () => {
  it('has the layout of the format', async () => {
    const bytes = await written(tensors, { format: 'x' });
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    expect(length % 8).toBe(0);
    const text = new TextDecoder().decode(bytes.subarray(8, 8 + length));
    // Wide numbers first: every tensor begins at a multiple of its numbers' size, and so does the data.
    expect(text.trimEnd()).toBe(
      '{"__metadata__":{"format":"x"},"7":{"dtype":"F64","shape":[],"data_offsets":[0,8]},' +
        '"ids":{"dtype":"I64","shape":[2],"data_offsets":[8,24]},' +
        '"Größe":{"dtype":"I32","shape":[1],"data_offsets":[24,28]},' +
        '"none":{"dtype":"I32","shape":[0,4],"data_offsets":[28,28]},' +
        '"weights":{"dtype":"F32","shape":[2,3],"data_offsets":[28,52]},' +
        '"u8":{"dtype":"U8","shape":[3],"data_offsets":[52,55]}}',
    );
    expect(bytes.length).toBe(8 + length + 55);
    expect([...new Float32Array(bytes.slice(8 + length + 28, 8 + length + 52).buffer)]).toEqual([
      ...(tensors[1].data as Float32Array),
    ]);
  });

  it('is read back as it was written, in parts, too', async () => {
    const file = await opened(await written(tensors, { format: 'x' }));
    expect(file.metadata).toEqual({ format: 'x' });
    for (const { name, dtype, shape, data } of tensors) expect(await file.read(name, dtype, shape)).toEqual(data);
    expect([...(await file.read('weights', 'F32', [2, 3], { first: 1, count: 1 }))]).toEqual([
      3,
      4,
      Math.fround(1e-40),
    ]);
  });

  it('is read back whatever its shapes, written in one piece or in several', () =>
    fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.tuple(fc.string(), fc.array(fc.nat(4), { maxLength: 3 }), fc.boolean()), {
          selector: ([name]) => name,
          maxLength: 5,
        }),
        async (list) => {
          const some = list
            .filter(([name]) => name !== '__metadata__')
            .map(([name, shape, double], i): TensorToWrite & { numbers: Float32Array | Float64Array } => {
              const count = shape.reduce((all, extent) => all * extent, 1);
              const values = Array.from({ length: count }, (_, e) => i + e / 8);
              const numbers = double ? Float64Array.from(values) : Float32Array.from(values);
              const pieces = async function* () {
                for (let e = 0; e < count; e += 3) yield numbers.subarray(e, e + 3);
              };
              return { name, dtype: double ? 'F64' : 'F32', shape, data: i % 2 === 0 ? numbers : pieces, numbers };
            });
          const file = await opened(await written(some));
          expect([...file.infos.keys()].sort()).toEqual(some.map(({ name }) => name).sort());
          for (const { name, dtype, shape, numbers } of some)
            expect(await file.read(name, dtype, shape)).toEqual(numbers);
        },
      ),
      { numRuns: 60, seed: 20240613 },
    ));

  it('refuses to write what would not be read', async () => {
    const one = { name: 'a', dtype: 'F32', shape: [2], data: new Float32Array(2) } as const;
    await expect(written([one, one])).rejects.toThrow('two tensors are named a');
    await expect(written([{ ...one, shape: [3] }])).rejects.toThrow('tensor a has 2 numbers, its shape is 3');
    await expect(written([{ ...one, data: Float32Array.of(0, Number.NaN) }])).rejects.toThrow('tensor a holds NaN');
    await expect(written([{ ...one, data: new Float64Array(2) }])).rejects.toThrow('tensor a is not of type F32');
  });
});

describe('a damaged file of tensors', () => {
  it('is refused wherever it is cut', async () => {
    const bytes = await written(tensors);
    for (let end = 0; end < bytes.length; end++) {
      await expect(opened(bytes.subarray(0, end)), `cut at ${end}`).rejects.toMatchObject({ kind: 'input' });
    }
    await expect(opened(bytes.subarray(0, 4))).rejects.toThrow(
      'm: a.safetensors: is cut short: 4 bytes, expected at least 8',
    );
    await expect(opened(bytes.subarray(0, 40))).rejects.toThrow(/claims a header of \d+ bytes, but only 32 follow/);
    await expect(opened(bytes.subarray(0, -1))).rejects.toThrow(
      'tensor u8 ends at byte 55 of the data, found 54 bytes',
    );
  });

  const a = { dtype: 'F32', shape: [2], data_offsets: [0, 8] };
  it.each<[what: string, file: Uint8Array, message: string | RegExp]>([
    ['trailing bytes', fileOf({ a }, 9), 'has 1 bytes that belong to no tensor, after byte 8'],
    [
      'a gap',
      fileOf({ a, b: { ...a, data_offsets: [12, 20] } }, 20),
      'tensor b leaves a gap of 4 bytes before it: it begins at byte 12, expected 8',
    ],
    ['an overlap', fileOf({ a, b: { ...a, data_offsets: [4, 12] } }, 12), 'tensor b overlaps the one before it'],
    ['two at one place', fileOf({ a, b: a }, 8), 'tensor b overlaps the one before it'],
    ['one that begins late', fileOf({ a: { ...a, data_offsets: [8, 16] } }, 16), 'tensor a leaves a gap of 8 bytes'],
    [
      'bytes beyond the end',
      fileOf({ a: { ...a, shape: [4], data_offsets: [0, 16] } }, 8),
      'ends at byte 16 of the data, found 8',
    ],
    ['a shape of other bytes', fileOf({ a: { ...a, shape: [3] } }, 8), 'expected 12 bytes, as F32 of shape (3,) takes'],
    [
      'a shape beyond numbers',
      fileOf({ a: { ...a, shape: [2 ** 52, 2 ** 52] } }, 8),
      /expected 8112963841460668169578900514406[45]\d* bytes/,
    ],
    ['a negative extent', fileOf({ a: { ...a, shape: [-2] } }, 8), 'shape is [-2], expected numbers from 0 on'],
    ['a fraction', fileOf({ a: { ...a, shape: [1.5] } }, 8), 'shape is [1.5]'],
    ['a shape that is none', fileOf({ a: { ...a, shape: 'x' } }, 8), 'shape is "x"'],
    ['offsets in a wrong order', fileOf({ a: { ...a, data_offsets: [8, 0] } }, 8), 'data_offsets is [8,0]'],
    ['one offset', fileOf({ a: { ...a, data_offsets: [0] } }, 8), 'data_offsets is [0]'],
    ['no offsets', fileOf({ a: { dtype: 'F32', shape: [2] } }, 8), 'tensor a: data_offsets is undefined'],
    ['an unknown type', fileOf({ a: { ...a, dtype: 'F31' } }, 8), 'tensor a: dtype is "F31", expected F64'],
    ['the name of an inherited member', fileOf({ a: { ...a, dtype: 'constructor' } }, 8), 'dtype is "constructor"'],
    ['an entry that is none', fileOf({ a: 3 }, 8), 'its entry is 3, expected an object'],
    ['a name twice', fileOf(`{"a":${JSON.stringify(a)},"a":${JSON.stringify(a)}}`, 8), 'its header has "a" twice'],
    [
      'a name twice, written in two ways',
      fileOf(`{"a":${JSON.stringify(a)},"\\u0061":${JSON.stringify(a)}}`, 8),
      'its header has "a" twice',
    ],
    [
      'an entry twice',
      fileOf('{"a":{"dtype":"F32","dtype":"I32","shape":[2],"data_offsets":[0,8]}}', 8),
      'has "dtype" twice',
    ],
    [
      'metadata that are no words',
      fileOf({ __metadata__: { a: 1 }, a }, 8),
      '__metadata__ is not an object of strings',
    ],
    ['a header that is a list', fileOf('[1]', 0), 'its header is not JSON that begins with {'],
    ['a header that is no JSON', fileOf('{"a":', 0), 'its header is no JSON'],
    ['a header that is no UTF-8', fileOf('{', 1, 2n).fill(0xff, 9), 'its header is not JSON'],
    [
      'a header of many bytes',
      fileOf('{}', 0, 2n ** 63n),
      'claims a header of 9223372036854775808 bytes, expected at most 100000000',
    ],
    ['a header beyond the end', fileOf('{}', 0, 3n), 'claims a header of 3 bytes, but only 2 follow'],
  ])('is refused for %s', async (_, file, message) => {
    await expect(opened(file)).rejects.toThrow(message);
  });

  it('is refused for numbers that are none, and for a tensor that is another', async () => {
    const bytes = await written([
      { name: 'a', dtype: 'F32', shape: [2, 2], data: Float32Array.of(0, 1, 2, 3) },
      { name: 'b', dtype: 'F64', shape: [1], data: Float64Array.of(5) },
    ]);
    new DataView(bytes.buffer).setFloat32(bytes.length - 4, Number.NaN, true);
    new DataView(bytes.buffer).setFloat64(bytes.length - 24, Number.NEGATIVE_INFINITY, true);
    const file = await opened(bytes);
    await expect(file.read('a', 'F32', [2, 2])).rejects.toThrow(
      'm: a.safetensors: tensor a holds NaN at number 3 (from 0)',
    );
    await expect(file.read('a', 'F32', [2, 2], { first: 1, count: 1 })).rejects.toThrow('holds NaN at number 3');
    await expect(file.read('a', 'F32', [2, 2], { first: 0, count: 1 })).resolves.toHaveLength(2);
    await expect(file.read('b', 'F64', [1])).rejects.toThrow('tensor b holds -Infinity');
    await expect(file.read('c', 'F32', [1])).rejects.toThrow(
      'has no tensor c, expected one of type F32 and shape (1,)',
    );
    expectNames(file, ['b', 'a']);
    expect(() => expectNames(file, ['a'])).toThrow('has a tensor b, expected a alone');
    await expect(file.read('a', 'F32', [4])).rejects.toThrow('is of type F32 and shape (2, 2), expected F32 and (4,)');
    await expect(file.read('b', 'F32', [1])).rejects.toThrow('is of type F64 and shape (1,), expected F32 and (1,)');
  });
});

/** Reads a file as the format's description says, with NumPy; with the format's own package where it is installed. */
const READER = `
import json, struct, sys
import numpy as np
try:
    from safetensors.numpy import load_file
    found = load_file(sys.argv[1])
except ImportError:
    data = open(sys.argv[1], 'rb').read()
    size, = struct.unpack('<Q', data[:8])
    header = json.loads(data[8:8 + size])
    header.pop('__metadata__', None)
    types = {'F64': '<f8', 'F32': '<f4', 'I64': '<i8', 'I32': '<i4', 'U8': '|u1'}
    found = {}
    for name, entry in header.items():
        begin, end = entry['data_offsets']
        found[name] = np.frombuffer(data[8 + size + begin:8 + size + end], types[entry['dtype']]).reshape(entry['shape'])
print(json.dumps({name: [str(a.dtype), list(a.shape), a.ravel().tolist()] for name, a in found.items()}))
`;

function python(): string | null {
  for (const name of ['python3', 'python']) {
    try {
      execFileSync(name, ['-c', 'import numpy'], { stdio: 'ignore' });
      return name;
    } catch {}
  }
  return null;
}

describe('Python', () => {
  const folder = mkdtempSync(join(tmpdir(), 'deep-rfm-safetensors-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const interpreter = python();
  it.skipIf(interpreter === null)(
    `reads the file${interpreter === null ? ' (skipped: Python with NumPy is not installed)' : ''}`,
    async () => {
      const path = join(folder, 'a.safetensors');
      writeFileSync(path, await written(tensors, { format: 'x' }));
      const found = JSON.parse(execFileSync(interpreter!, ['-c', READER, path], { encoding: 'utf8' }));
      expect(found).toEqual({
        u8: ['uint8', [3], [1, 2, 255]],
        weights: ['float32', [2, 3], [...(tensors[1].data as Float32Array)]],
        7: ['float64', [], [Math.PI]],
        ids: ['int64', [2], [-1, 2 ** 40]],
        none: ['int32', [0, 4], []],
        Größe: ['int32', [1], [-7]],
      });
    },
  );
});
