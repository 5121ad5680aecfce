/** A saved model as files: model.json and the files of its tensors. */

import type { ByteSink, ByteSource, FileSet, FileSink } from '../bytes.js';
import { inputError, RfmError } from '../errors.js';
import { MODEL_FILE, type ModelDocument, parseModelDocument } from './document.js';
import { openTensors, type Tensors, type TensorToWrite, writeTensors } from './safetensors.js';

/** A model that was saved, or was made to be: its numbers are read as they are needed. */
export interface Model {
  readonly document: ModelDocument;
  readonly files: FileSet;
}

/** A file of a model, as model.json lists it. */
export type FileRecord = ModelDocument['files'][number];

/**
 * Which of the files in a folder is none of a model that is there; null: none, or the folder is empty.
 * @param read the text of a file.
 */
export function foreignFile(names: readonly string[], read: (name: string) => string): string | null {
  const [first] = names;
  if (first === undefined) return null;
  if (!names.includes(MODEL_FILE)) return first;
  let listed: string[];
  try {
    const { schema, files } = JSON.parse(read(MODEL_FILE));
    if (!String(schema).startsWith('deep-rfm/model/')) return MODEL_FILE;
    listed = files.map(({ name }: { name: unknown }) => String(name));
  } catch {
    return MODEL_FILE;
  }
  return names.find((name) => name !== MODEL_FILE && !listed.includes(name)) ?? null;
}

/** Larger ones are no model.json. */
const MOST_DOCUMENT_BYTES = 64 * 2 ** 20;

/**
 * Opens a model and checks that its files are whole: their lengths, checksums and headers.
 * @throws input error naming the file where one is missing, cut short, changed, of another version or not of this format.
 */
export async function openModel(files: FileSet): Promise<Model> {
  const source = files.open(MODEL_FILE);
  if (!source) throw inputError(`${files.at}: has no ${MODEL_FILE}; give a folder that --save-model wrote`);
  if (source.size > MOST_DOCUMENT_BYTES) {
    throw inputError(`${source.at}: has ${source.size} bytes, expected at most ${MOST_DOCUMENT_BYTES}`);
  }
  const text = new TextDecoder().decode(await source.read(0, source.size));
  const document = parseModelDocument(text, source.at);
  for (const record of document.files) await checkFile(files, record);
  return { document, files };
}

/**
 * Whether a file is as it was written.
 * @throws input error that names the file, and what to do, where it is not.
 */
export async function checkFile(
  files: FileSet,
  { name, bytes, sha256 }: FileRecord,
  remedy = 'copy the folder again',
): Promise<void> {
  const source = sourceOf(files, name, remedy);
  if (source.size !== bytes) {
    const what = source.size < bytes ? 'is cut short' : 'has trailing bytes';
    throw inputError(`${source.at}: ${what}: ${source.size} bytes, expected ${bytes}; ${remedy}`);
  }
  await openTensors(source);
  const found = await source.sha256();
  if (found === sha256) return;
  throw inputError(
    `${source.at}: was changed: its SHA-256 begins with ${found.slice(0, 12)}, expected ${sha256.slice(0, 12)}; ${remedy}`,
  );
}

function sourceOf(files: FileSet, name: string, remedy = 'copy the folder again'): ByteSource {
  const source = files.open(name);
  if (source) return source;
  throw inputError(`${files.at}: has no ${name}, which belongs to the model; ${remedy}`);
}

/** The tensors of one of a model's files. */
export const tensorsOf = ({ files }: Model, name: string): Promise<Tensors> => openTensors(sourceOf(files, name));

/** Writes a file of tensors of a model, piece by piece. */
export async function writeModelTensors(
  sink: FileSink,
  name: string,
  tensors: readonly TensorToWrite[],
): Promise<FileRecord> {
  const file = await sink.create(name);
  let closed: Awaited<ReturnType<ByteSink['close']>> | null = null;
  try {
    await writeTensors(file, tensors, { format: 'deep-rfm' });
  } finally {
    closed = await file.close();
  }
  return { name, ...closed };
}

/** Writes model.json, the last of a model's files. */
export async function writeModelDocument(sink: FileSink, document: ModelDocument): Promise<void> {
  const text = `${JSON.stringify(document, null, 2)}\n`;
  // What is not read back as it was written is found while the model is still there to be saved.
  parseModelDocument(text, MODEL_FILE);
  const file = await sink.create(MODEL_FILE);
  await file.write(new TextEncoder().encode(text));
  await file.close();
}

/** Copies all files of a model, in pieces. */
export async function copyModel({ document, files }: Model, sink: FileSink): Promise<void> {
  const sums = new Map(document.files.map(({ name, sha256 }) => [name, sha256]));
  for (const name of [...sums.keys(), MODEL_FILE]) {
    const [source, file] = [sourceOf(files, name), await sink.create(name)];
    for (let at = 0; at < source.size; at += COPY_BYTES) {
      await file.write(await source.read(at, Math.min(COPY_BYTES, source.size - at)));
    }
    const copied = await file.close();
    if (name === MODEL_FILE || copied.sha256 === sums.get(name)) continue;
    throw inputError(`${source.at}: was changed since it was loaded; load the model again`);
  }
}

const COPY_BYTES = 16 * 2 ** 20;

/** Files in memory, to write and to read. */
export interface MemoryFiles extends FileSet, FileSink {
  readonly bytes: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
}

/**
 * Files in memory.
 * @param given files that are there already, by name.
 */
export function memoryFiles(given: Iterable<readonly [string, Uint8Array]> = [], at = 'the model'): MemoryFiles {
  const bytes = new Map([...given].map(([name, data]) => [name, new Uint8Array(data)]));
  return {
    at,
    bytes,
    open(name) {
      const data = bytes.get(name);
      return data === undefined ? null : memorySource(`${at}: ${name}`, data);
    },
    async create(name) {
      const parts: Uint8Array[] = [];
      return {
        async write(part) {
          parts.push(part.slice());
        },
        async close() {
          const data = joined(parts);
          bytes.set(name, data);
          return { bytes: data.length, sha256: await digest(data) };
        },
      };
    },
  };
}

const memorySource = (at: string, data: Uint8Array<ArrayBuffer>): ByteSource => ({
  at,
  size: data.length,
  async read(position, length) {
    if (position + length > data.length) {
      throw inputError(`${at}: ends at byte ${data.length}, expected ${position + length - data.length} more`);
    }
    return data.slice(position, position + length);
  },
  sha256: () => digest(data),
});

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

async function digest(data: Uint8Array<ArrayBuffer>): Promise<string> {
  if (!globalThis.crypto?.subtle) {
    throw new RfmError(
      'input',
      'this page has no crypto.subtle, which checks models; load it over https or from localhost',
    );
  }
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', data));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
