/** In place of Node's module: files that were dropped on the page lie in memory, all in one folder. */

const files = new Map<string, Uint8Array>();
const open = new Map<number, Uint8Array>();
let next = 3;

/** The folder's name in paths. */
export const FOLDER = '/dropped';

/** Replaces what the folder holds. */
export function holdFiles(given: ReadonlyMap<string, Uint8Array>): void {
  files.clear();
  for (const [name, bytes] of given) files.set(`${FOLDER}/${name}`, bytes);
}

const missing = (path: string): Error => Object.assign(new Error(`${path}: no such file`), { code: 'ENOENT' });

function bytesOf(path: string): Uint8Array {
  const bytes = files.get(path);
  if (!bytes) throw missing(path);
  return bytes;
}

export const existsSync = (path: string): boolean => path === FOLDER || files.has(path);

export const statSync = (path: string) => {
  const size = path === FOLDER ? 0 : bytesOf(path).length;
  return { size, isDirectory: () => path === FOLDER, isFile: () => path !== FOLDER };
};

export function readdirSync(path: string) {
  if (path !== FOLDER) throw missing(path);
  return [...files.keys()].map((name) => ({ name: name.slice(FOLDER.length + 1), isDirectory: () => false }));
}

export function openSync(path: string): number {
  open.set(next, bytesOf(path));
  return next++;
}

export const fstatSync = (fd: number) => ({ size: open.get(fd)?.length ?? 0 });

export function readSync(fd: number, target: Uint8Array, offset: number, length: number, position: number): number {
  const part = open.get(fd)?.subarray(position, position + length) ?? new Uint8Array();
  target.set(part, offset);
  return part.length;
}

export const closeSync = (fd: number): void => void open.delete(fd);

/** A page writes no files: readers share their module with what does. */
function refuse(): never {
  throw new Error('a page writes no files');
}
export const fsyncSync = refuse;
export const renameSync = refuse;
export const rmSync = refuse;
export const writeSync = refuse;
export const readFileSync = refuse;
export const createWriteStream = refuse;
export const createReadStream = refuse;
export const mkdirSync = refuse;
