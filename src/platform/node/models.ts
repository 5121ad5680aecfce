/** Models in folders: what Node has beside the library's functions on bytes. */

import { loadModel as loadBytes, type ModelBytes, saveModel as saveBytes } from '../../api/models.js';
import { folderFiles, refuseForeignFolder, stageFolder } from '../../data/folder-files.js';
import { copyModel, foreignFile, type Model, openModel } from '../../model/files.js';

/**
 * A model from the folder that holds it, or from its files in memory, checked: their lengths, checksums and headers. What is in a
 * folder is read as it is needed.
 * @throws `RfmError` of kind 'input' that names the file which is missing, cut short, changed or of another version.
 */
export const loadModel = (from: string | ModelBytes): Promise<Model> =>
  typeof from === 'string' ? openModel(folderFiles(from)) : loadBytes(from);

/** The files of a model in memory; see the other form. */
export function saveModel(model: Model): Promise<Map<string, Uint8Array<ArrayBuffer>>>;
/**
 * Writes a model into a folder, whole or not at all; of an earlier model there nothing is left.
 * @throws `RfmError` of kind 'input' where the folder holds anything but a model, or cannot be written; 'internal' where the disk
 * is full.
 */
export function saveModel(model: Model, folder: string): Promise<undefined>;
export async function saveModel(
  model: Model,
  folder?: string,
): Promise<Map<string, Uint8Array<ArrayBuffer>> | undefined> {
  if (folder === undefined) return saveBytes(model);
  refuseForeignFolder(folder, '', foreignFile, 'a model');
  const staged = stageFolder(folder);
  try {
    await copyModel(model, staged);
    staged.commit();
    return undefined;
  } finally {
    staged.discard();
  }
}
