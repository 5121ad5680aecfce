/** --save-model of the commands that make models. */

import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Option } from 'commander';
import { errorCode } from '../data/files.js';
import { folderFiles, refuseForeignFolder, type StagedFolder, stageFolder } from '../data/folder-files.js';
import { inputError } from '../errors.js';
import { MODEL_FILE } from '../model/document.js';
import { foreignFile, openModel } from '../model/files.js';
import { path, valued } from './flags.js';
import { atForcedEnd } from './interrupt.js';

export const saveModelOption = (): Option =>
  valued('--save-model <folder>', 'keep the model there, for deep-rfm predict', path('--save-model'));

/** Takes the files of a model, which is put in its place by `commit`. What is there of it is removed where the process is ended by force. */
export function stageModel(dir: string): StagedFolder {
  const staged = stageFolder(dir);
  const forget = atForcedEnd(staged.discard);
  return {
    ...staged,
    discard() {
      forget();
      staged.discard();
    },
  };
}

/** Folders of the models of several seeds. */
export const seedModel = (dir: string, seed: number): string => join(dir, `seed-${seed}`);

/** Whether `below` is `dir`, or in it. */
function isWithin(dir: string, below: string): boolean {
  const way = relative(resolve(dir), resolve(below));
  return way === '' || (way !== '..' && !way.startsWith('../') && resolve(dir, way) === resolve(below));
}

/**
 * Whether a model can be written there, before one is computed.
 * @param out where the command's other results go.
 * @throws input error where the folder holds what is no model, is that of the other results, or cannot be made.
 */
export function checkModelPlace(dir: string, out: string): void {
  if (isWithin(dir, out)) {
    throw inputError(
      `--save-model ${dir}: ${resolve(dir) === resolve(out) ? 'is' : 'holds'} --out ${out}, and a model needs a folder of its own; use for example --save-model ${join(out, 'model')}`,
    );
  }
  refuseForeignFolder(dir, '--save-model', foreignFile, 'a model');
  checkPlace(dirname(resolve(dir)), `--save-model ${dir}`);
}

/**
 * Whether the model of a finished command is in its place.
 * @param about settings and data of the command, as its model has them.
 * @param out where its other results are.
 * @throws input error where it is not, or is another's.
 */
export async function expectModel(
  dir: string,
  about: { settings: unknown; data: unknown },
  out: string,
): Promise<void> {
  const found = existsSync(join(dir, MODEL_FILE)) ? await openModel(folderFiles(dir, '--save-model')) : null;
  const { settings, data } = JSON.parse(JSON.stringify(about));
  if (found && isDeepStrictEqual(found.document.settings, settings) && isDeepStrictEqual(found.document.data, data))
    return;
  throw inputError(
    `--resume ${out}: is finished, and ${dir} does not hold its model; drop --save-model, or run again without --resume`,
  );
}

/**
 * Whether files can be written into a folder that may have to be made.
 * @param at starts the message.
 * @throws input error where they cannot.
 */
export function checkPlace(folder: string, at: string): void {
  let above = folder;
  while (!existsSync(above)) above = dirname(above);
  if (!statSync(above).isDirectory()) {
    throw inputError(`${at}: ${above} is a file, expected a folder; choose another path`);
  }
  try {
    accessSync(above, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw inputError(`${at}: no permission to write in ${above} (${errorCode(error)}); choose another folder`);
  }
}
