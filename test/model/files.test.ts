import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { folderFiles, moveFolder, refuseForeignFolder, stageFolder } from '../../src/data/folder-files.js';
import { decide } from '../../src/model/decide.js';
import { MODEL_SCHEMA, type ModelDocument, parseModelDocument, type RfmDocument } from '../../src/model/document.js';
import {
  copyModel,
  foreignFile,
  memoryFiles,
  openModel,
  writeModelDocument,
  writeModelTensors,
} from '../../src/model/files.js';

const folder = mkdtempSync(join(tmpdir(), 'deep-rfm-files-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A model of two centres, as files. */
async function smallModel() {
  const files = memoryFiles();
  const record = await writeModelTensors(files, 'weights.safetensors', [
    { name: 'centers', dtype: 'F32', shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
    { name: 'alpha', dtype: 'F32', shape: [1, 2], data: Float32Array.of(1, -1) },
    { name: 'alpha_low', dtype: 'F32', shape: [1, 2], data: new Float32Array(2) },
    { name: 'mean', dtype: 'F64', shape: [3], data: new Float64Array(3) },
  ]);
  const document: RfmDocument = {
    ...{ schema: MODEL_SCHEMA, kind: 'rfm', version: '0.2.0', columns: 3, outputs: 1, code: 'values', classes: null },
    settings: { ridge: 1e-3 },
    data: { features: 'abc', targets: null },
    adapter: { vendor: 'v', architecture: 'a', device: 'd', description: 'e', type: 'software' },
    ...{ lanes: 8, choices: [['gemm', 'packed']], kernel: { kernel: 'laplace', bandwidth: 0.1 + 0.2 } },
    ...{ centers: 2, tileRows: 2, targetUnit: 0.5, unit: 1, rank: null, metricUnit: 1 },
    ...{ weights: 'weights.safetensors', files: [record] },
  };
  await writeModelDocument(files, document);
  return { files, document };
}

const text = (document: unknown): string => JSON.stringify(document);
const wrong = (document: unknown): string => {
  try {
    parseModelDocument(typeof document === 'string' ? document : text(document), 'm/model.json');
  } catch (error) {
    expect(error).toMatchObject({ name: 'RfmError', kind: 'input' });
    const { message } = error as Error;
    expect(message.startsWith('m/model.json: ')).toBe(true);
    expect(message).not.toContain('\n');
    return message;
  }
  throw new Error('expected an input error, but nothing was thrown');
};

describe('model.json', () => {
  it('is read as it was written, numbers to the bit', async () => {
    const { document } = await smallModel();
    expect(parseModelDocument(text(document), 'a')).toEqual(document);
  });

  it('is refused wherever it is cut', async () => {
    const whole = text((await smallModel()).document);
    for (let end = 0; end < whole.length; end++) {
      expect(wrong(whole.slice(0, end))).toContain('is no JSON, so that it was cut short or changed');
    }
  });

  it('is refused where an entry is of another type or is not there', async () => {
    const { document } = await smallModel();
    for (const name of Object.keys(document)) {
      for (const value of [undefined, {}, -1, 'x', [], true, Number.MAX_VALUE]) {
        const changed = { ...document, [name]: value };
        // Words may be any, and settings and checksums are only kept.
        if (typeof value === 'string' && (name === 'version' || name === 'weights')) continue;
        if ((name === 'settings' || name === 'data') && text(value) === '{}') continue;
        if (name === 'choices' && text(value) === '[]') continue;
        if (['targetUnit', 'unit', 'metricUnit'].includes(name) && value === Number.MAX_VALUE) continue;
        const message = wrong(changed);
        expect(message, `${name} = ${String(value)}`).toContain(
          name === 'kind' || name === 'schema' ? '' : name.slice(0, 4),
        );
      }
    }
  });

  it('of another version or program is refused by its name', async () => {
    const { document } = await smallModel();
    expect(wrong({ ...document, schema: 'deep-rfm/model/2' })).toBe(
      'm/model.json: has the schema "deep-rfm/model/2", this version reads deep-rfm/model/1; use the version of deep-rfm that wrote it',
    );
    expect(wrong({ ...document, schema: 'deep-rfm/metrics/1' })).toContain(
      'expected deep-rfm/model/1; give a folder that --save-model wrote',
    );
    for (const other of ['null', '3', '[]', '{}', '"x"']) expect(wrong(other)).toContain('expected deep-rfm/model/1');
    expect(wrong({ ...document, kind: 'forest' })).toContain('kind');
  });

  it.each<[change: Partial<RfmDocument>, message: string]>([
    [{ classes: ['a'] }, 'classes are 1, but 1 outputs of values need null'],
    [{ code: 'sign', classes: ['a'] }, 'classes are 1, but 1 outputs of sign need 2'],
    [{ code: 'one-hot', outputs: 3, classes: null }, 'classes are null, but 3 outputs of one-hot need 3'],
    [{ weights: 'other.safetensors' }, 'files has no other.safetensors, which the model needs'],
    [{ weights: '../weights.safetensors' }, 'weights'],
    [{ kernel: { kernel: 'cauchy' as 'laplace', bandwidth: 1 } }, 'kernel.kernel'],
    [{ kernel: { kernel: 'laplace', bandwidth: 0 } }, 'kernel.bandwidth'],
  ])('is refused where entries disagree: %o', async (change, message) => {
    expect(wrong({ ...(await smallModel()).document, ...change })).toContain(message);
  });

  it('is refused with an entry twice', async () => {
    const { document } = await smallModel();
    expect(wrong(text(document).replace('"columns":3', '"columns":3,"columns":4'))).toContain('has "columns" twice');
  });

  it('of a Deep RFM has layers that follow each other', async () => {
    const { document } = await smallModel();
    const { kernel, ...rest } = document;
    const layers = [
      { file: 'weights.safetensors', inputs: 3, width: 5 },
      { file: 'weights.safetensors', inputs: 4, width: 5 },
    ];
    const deep = {
      ...rest,
      kind: 'deep-rfm',
      kernel,
      activation: 'relu',
      standardization: 'weights.safetensors',
      layers,
    };
    expect(wrong(deep)).toContain('layers.1.inputs is 4, but what it gets has 5 columns');
    layers[1].inputs = 5;
    expect(parseModelDocument(text(deep), 'a')).toMatchObject({ kind: 'deep-rfm' });
    expect(wrong({ ...deep, layers: [] })).toContain('layers');
  });

  it('of a network has the columns of its images', async () => {
    const { document } = await smallModel();
    const network = {
      ...document,
      kind: 'network',
      model: 'mlp',
      depth: 1,
      width: 4,
      input: { channels: 2, height: 1, width: 1 },
    };
    expect(wrong(network)).toContain('input makes 2 columns, but columns is 3');
  });
});

describe('the files of a model', () => {
  it('are refused wherever one is cut, changed, longer or missing', async () => {
    const { files } = await smallModel();
    const whole = files.bytes.get('weights.safetensors')!;
    const with_ = (bytes: Uint8Array) => openModel(memoryFiles([...files.bytes, ['weights.safetensors', bytes]], 'm'));
    for (let end = 0; end < whole.length; end += 7) {
      await expect(with_(whole.subarray(0, end))).rejects.toThrow(
        `m: weights.safetensors: is cut short: ${end} bytes, expected ${whole.length}; copy the folder again`,
      );
    }
    await expect(with_(Uint8Array.of(...whole, 0))).rejects.toThrow('has trailing bytes');
    const flipped = whole.slice();
    flipped[whole.length - 1] ^= 1;
    await expect(with_(flipped)).rejects.toThrow('m: weights.safetensors: was changed: its SHA-256 begins with ');
    const { 'model.json': json } = Object.fromEntries(files.bytes);
    await expect(openModel(memoryFiles([['model.json', json]], 'm'))).rejects.toThrow(
      'm: has no weights.safetensors, which belongs to the model; copy the folder again',
    );
    await expect(openModel(memoryFiles([['weights.safetensors', whole]], 'm'))).rejects.toThrow(
      'm: has no model.json; give a folder that --save-model wrote',
    );
  });

  it('are copied whole into a folder, and read from it', async () => {
    const { files, document } = await smallModel();
    const dir = join(folder, 'copied');
    const staged = stageFolder(dir);
    await copyModel(await openModel(files), staged);
    expect(existsSync(dir)).toBe(false);
    staged.commit();
    staged.discard();
    expect(readdirSync(dir).sort()).toEqual(['model.json', 'weights.safetensors']);
    expect((await openModel(folderFiles(dir))).document).toEqual(document);
    for (const [name, bytes] of files.bytes) expect(new Uint8Array(readFileSync(join(dir, name)))).toEqual(bytes);
  });

  it('that cannot be written back are not written', async () => {
    const { document } = await smallModel();
    await expect(writeModelDocument(memoryFiles(), { ...document, columns: 0 } as ModelDocument)).rejects.toThrow(
      'columns',
    );
  });
});

describe('a folder', () => {
  const sink = async (dir: string, word: string) => {
    const staged = stageFolder(dir);
    const file = await staged.create('model.json');
    await file.write(Buffer.from(word));
    await file.close();
    return staged;
  };
  const hidden = (): string[] => readdirSync(folder).filter((name) => name.startsWith('.'));

  it('takes the place of another of its kind, or leaves no trace', async () => {
    const dir = join(folder, 'place');
    (await sink(dir, 'one')).commit();
    (await sink(dir, 'two')).commit();
    expect(readFileSync(join(dir, 'model.json'), 'utf8')).toBe('two');
    (await sink(dir, 'three')).discard();
    expect(readFileSync(join(dir, 'model.json'), 'utf8')).toBe('two');
    expect(hidden()).toEqual([]);
  });

  it('stays as it was where the new one cannot take its place', async () => {
    const dir = join(folder, 'kept');
    (await sink(dir, 'one')).commit();
    expect(() => moveFolder(join(folder, 'nothing'), dir)).toThrow(
      `${dir}: cannot be written: the directory does not exist`,
    );
    expect(readFileSync(join(dir, 'model.json'), 'utf8')).toBe('one');
    expect(hidden()).toEqual([]);
  });

  it('that holds anything else is refused', () => {
    const refuse = (name: string) => refuseForeignFolder(join(folder, name), '--save-model', foreignFile, 'a model');
    expect(() => refuse('none')).not.toThrow();
    mkdirSync(join(folder, 'foreign'));
    expect(() => refuse('foreign')).not.toThrow();
    const put = (name: string, text: string) => writeFileSync(join(folder, 'foreign', name), text);
    const holds = (name: string) =>
      expect(() => refuse('foreign')).toThrow(`holds ${name}, which is not of a model; choose another folder`);
    put('layer-01.safetensors', '');
    holds('layer-01.safetensors');
    for (const text of ['mine', '{}', '{"schema":"deep-rfm/run/1","files":[]}', 'null']) {
      put('model.json', text);
      holds('model.json');
    }
    put('model.json', '{"schema":"deep-rfm/model/1","files":[{"name":"layer-01.safetensors"}]}');
    expect(() => refuse('foreign')).not.toThrow();
    put('model.safetensors', '');
    holds('model.safetensors');
    rmSync(join(folder, 'foreign', 'model.safetensors'));
    writeFileSync(join(folder, 'foreign', 'X.npy'), '');
    expect(() => refuse('foreign')).toThrow(
      `--save-model ${join(folder, 'foreign')}: holds X.npy, which is not of a model; choose another folder`,
    );
    expect(() => refuse('foreign/X.npy')).toThrow('is a file, expected a folder');
  });

  it('that is none is refused by its name', () => {
    expect(() => folderFiles(join(folder, 'none'), '--model')).toThrow(
      `--model ${join(folder, 'none')}: no such folder; check the path`,
    );
    writeFileSync(join(folder, 'file'), '');
    expect(() => folderFiles(join(folder, 'file'), '--model')).toThrow('is a file, expected a folder');
  });
});

describe('classes and probabilities', () => {
  const found = (scores: number[], outputs: number, code: Parameters<typeof decide>[2]) => {
    const { labels, probabilities } = decide(Float32Array.from(scores), outputs, code);
    return [labels && [...labels], probabilities && [...probabilities].map((p) => Number(p.toFixed(4)))];
  };

  it('follow from what the outputs stand for', () => {
    expect(found([1, -1, 0.5, -0.5], 2, 'sign')).toEqual([
      [0, 0],
      [1, 0, 0.75, 0.25],
    ]);
    expect(found([1.4, -3, -1, -1.2, -2, -1], 3, 'sign')).toEqual([
      [0, 2],
      [1, 0, 0, 0.3333, 0.3333, 0.3333],
    ]);
    expect(found([0.2, 0.6, 0.4], 3, 'one-hot')).toEqual([[1], [0.1667, 0.5, 0.3333]]);
    expect(found([0, Math.log(3)], 2, 'logits')).toEqual([[1], [0.25, 0.75]]);
    expect(found([1000, 0], 2, 'logits')).toEqual([[0], [1, 0]]);
    expect(found([3, 4], 1, 'values')).toEqual([null, null]);
  });

  it('of one output are those of two classes', () => {
    expect(found([0.5, -2, 0], 1, 'sign')).toEqual([
      [1, 0, 0],
      [0.25, 0.75, 1, 0, 0.5, 0.5],
    ]);
    expect(found([0.7, 0.5], 1, 'one-hot')).toEqual([
      [1, 0],
      [0.3, 0.7, 0.5, 0.5],
    ]);
    expect(found([Math.log(3)], 1, 'logits')).toEqual([[1], [0.25, 0.75]]);
  });
});
