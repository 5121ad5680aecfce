/** Folders of PNG pictures by class: train/CLASS/NAME.png and test/CLASS/NAME.png, or CLASS/NAME.png for training rows alone. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PNG } from 'pngjs';
import { inputError } from '../errors.js';
import type { LabelledRows } from '../numbers.js';
import { errorCode } from './files.js';
import { recognize } from './recognize.js';
import { countFlag, type Dataset, type ImageShape, type Part, UNIT } from './rows.js';
import { pickOf, type Selection } from './select.js';

export interface ImagesRequest extends Selection {
  /** --data-dir. */
  dataDir: string;
  /** Training rows; all unless told. */
  n?: number | undefined;
  /** Test rows; all unless told, and none where there is no folder test. */
  testN?: number | undefined;
}

/** A picture's file and the number of its class. */
interface Picture {
  path: string;
  label: number;
}

/** Names in the order of their characters' numbers, the same everywhere. */
const byName = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function namesIn(dir: string, kind: 'folders' | 'pictures'): string[] {
  try {
    return readdirSync(dir, { withFileTypes: true })
      .filter((entry) =>
        kind === 'folders' ? entry.isDirectory() && !entry.name.startsWith('.') : /\.png$/i.test(entry.name),
      )
      .map(({ name }) => name)
      .sort(byName);
  } catch (error) {
    const code = errorCode(error);
    const why = code === 'ENOENT' ? 'no such folder' : code === 'ENOTDIR' ? 'a file, expected a folder' : code;
    throw inputError(`--data-dir ${dir}: ${why}; it should hold a folder of PNG pictures for each class`);
  }
}

/** The pictures of a part: the first of each class, then the second of each, and so on. */
function picturesOf(dir: string, classes: readonly string[]): Picture[] {
  const files = classes.map((name) => (existsSync(join(dir, name)) ? namesIn(join(dir, name), 'pictures') : []));
  const longest = Math.max(0, ...files.map((names) => names.length));
  const pictures: Picture[] = [];
  for (let round = 0; round < longest; round++) {
    files.forEach((names, label) => {
      if (round < names.length) pictures.push({ path: join(dir, classes[label], names[round]), label });
    });
  }
  return pictures;
}

/** What is in folders of pictures and no PNG file, for people; null: nothing. */
function leftOut(dirs: readonly string[]): string | null {
  const others = dirs.flatMap((dir) =>
    readdirSync(dir)
      .filter((name) => !/\.png$/i.test(name) && !name.startsWith('.'))
      .map((name) => join(dir, name)),
  );
  if (others.length === 0) return null;
  return `${others.length} of what lies in the folders is no PNG picture and left out, such as ${others[0]}`;
}

/** PNG's colour types without colours: grey, and grey with transparency. */
const GREY = new Set([0, 4]);

interface Decoded {
  png: PNG;
  channels: number;
}

function decode(path: string): Decoded {
  const bytes = readFileSync(path);
  const known = recognize(bytes.subarray(0, 512).toString('latin1'));
  if (known) throw inputError(`${path}: is no PNG picture but ${known.what}; ${known.remedy}`);
  let png: PNG;
  try {
    png = PNG.sync.read(bytes);
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw inputError(`${path}: cannot be read as PNG (${why}); write it again`);
  }
  for (let at = 3; at < png.data.length; at += 4) {
    if (png.data[at] === 255) continue;
    throw inputError(`${path}: has transparent pixels, which have no one value; save it without transparency`);
  }
  // The header's colour type, at its place in the first chunk.
  return { png, channels: GREY.has(bytes[25]) ? 1 : 3 };
}

const sizeText = ({ channels, height, width }: ImageShape): string =>
  `${height} × ${width} ${channels === 1 ? 'grey' : 'colour'}`;

/** Rows of channel planes, each row-major, from 0 to 1. */
function decodeAll(pictures: readonly Picture[], shape: ImageShape | null): { rows: LabelledRows; shape: ImageShape } {
  let common = shape;
  let x = new Float32Array(0);
  pictures.forEach(({ path }, row) => {
    const { png, channels } = decode(path);
    const found = { channels, height: png.height, width: png.width };
    common ??= found;
    if (sizeText(found) !== sizeText(common)) {
      throw inputError(
        `${path}: is ${sizeText(found)}, expected ${sizeText(common)} as the first picture; make all pictures alike`,
      );
    }
    const pixels = png.width * png.height;
    if (row === 0) x = new Float32Array(pictures.length * channels * pixels);
    for (let channel = 0; channel < channels; channel++) {
      const plane = (row * channels + channel) * pixels;
      for (let p = 0; p < pixels; p++) x[plane + p] = UNIT[png.data[4 * p + channel]];
    }
  });
  const { channels, height, width } = common!;
  const labels = Int32Array.from(pictures, ({ label }) => label);
  return { rows: { x, labels, rows: pictures.length, cols: channels * height * width }, shape: common! };
}

/** The first pictures, or those that are picked. */
function choose(all: readonly Picture[], part: Part, wanted: number | undefined, selection: Selection): Picture[] {
  const { classes } = selection;
  const own = classes ? all.filter(({ label }) => classes.includes(label)).length : all.length;
  const rows = wanted ?? own;
  if (rows > own) {
    const flag = countFlag(part);
    throw inputError(`${flag} ${rows}: there are only ${own} ${part} pictures; use ${flag} ${own} or less`);
  }
  const pick = pickOf(selection, part, rows);
  const labels = all.map(({ label }) => label);
  return pick ? Array.from(pick(labels), (row) => all[row]) : all.slice(0, rows);
}

/**
 * Loads pictures. Classes are the names of the folders, numbered from 0 in the order of their names. Rows go round the
 * classes, so that any number of rows holds each about equally often. Only pictures that are taken are read.
 * @throws input error for what is no picture, pictures that differ in size or colour, and more rows than there are.
 */
export function loadImages({ dataDir, n, testN, ...selection }: ImagesRequest): Dataset {
  const parts = existsSync(join(dataDir, 'train'));
  const trainDir = parts ? join(dataDir, 'train') : dataDir;
  const names = namesIn(trainDir, 'folders');
  const all = picturesOf(trainDir, names);
  if (names.length < 2 || all.length < 2) {
    throw inputError(
      `--data-dir ${trainDir}: has ${all.length} PNG pictures in ${names.length} folders, expected a folder of PNG pictures for each of at least two classes`,
    );
  }
  const empty = names.find((_, label) => all.every((picture) => picture.label !== label));
  if (empty !== undefined) {
    throw inputError(`--data-dir ${join(trainDir, empty)}: holds no PNG pictures; add some, or remove the folder`);
  }
  const testDir = join(dataDir, 'test');
  const strange = parts && existsSync(testDir) && namesIn(testDir, 'folders').find((name) => !names.includes(name));
  if (strange) {
    throw inputError(
      `--data-dir ${join(testDir, strange)}: is no class of ${trainDir} (${names.join(', ')}); rename or remove it`,
    );
  }
  const tests = parts && existsSync(testDir) ? picturesOf(testDir, names) : [];
  const { rows: train, shape } = decodeAll(choose(all, 'train', n, selection), null);
  const chosen = testN === 0 ? [] : choose(tests, 'test', testN, selection);
  const testDirs = names.map((name) => join(testDir, name)).filter((path) => parts && existsSync(path));
  const others = leftOut([...names.map((name) => join(trainDir, name)), ...testDirs]);
  const remarks = [
    `classes: ${names.map((name, label) => `${label} ${name}`).join(', ')}`,
    ...(others === null ? [] : [others]),
  ];
  return {
    train,
    test: chosen.length === 0 ? null : decodeAll(chosen, shape).rows,
    classes: names.length,
    classValues: names.map((_, label) => label),
    imageShape: shape,
    remarks,
  };
}
