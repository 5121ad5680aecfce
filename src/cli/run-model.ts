/** --save-model of `run`: layers are kept in the checkpoint's folder as they come, and take their place at the end. */

import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { FileSink } from '../bytes.js';
import { folderFiles, folderSink, moveFolder } from '../data/folder-files.js';
import { inputError } from '../errors.js';
import type { deepRfmWriter, WrittenLayers } from '../model/deep-rfm.js';
import { checkFile, writeModelDocument } from '../model/files.js';
import { type About, deepRfmDocument, type MadeOn } from '../model/make.js';
import { kernelOf } from '../ops/kernels/kernels.js';
import type { RunConfig } from '../rfm/types.js';
import { fingerprintsOf } from './run-checkpoint.js';
import type { RunRequest } from './run-request.js';
import { checkModelPlace } from './save-model.js';

/** Where layers wait. */
const stagingOf = (out: string): string => join(out, 'checkpoint', 'model');

export function removeStagedModel(out: string): void {
  // Where checkpoint is a file, or nothing, there is no such folder.
  if (existsSync(stagingOf(out))) rmSync(stagingOf(out), { recursive: true, force: true });
}

export type RunModelWriter = ReturnType<typeof deepRfmWriter>;

/** Takes the files of layers. */
export const stagedModel = (out: string): FileSink => folderSink(stagingOf(out));

/**
 * Whether the layers that a checkpoint speaks of are there as they were written.
 * @throws input error naming the file that is not.
 */
export async function checkStagedModel(out: string, { files }: WrittenLayers): Promise<void> {
  const remedy = 'start again without --resume';
  if (!existsSync(stagingOf(out)))
    throw inputError(`--resume ${stagingOf(out)}: is gone, with the layers of the model; ${remedy}`);
  const staged = folderFiles(stagingOf(out), '--resume');
  for (const record of files) await checkFile(staged, record, remedy);
}

const settingsOf = (config: RunConfig): Record<string, unknown> => ({ ...config });

/** What a model says of the run that made it. */
export const aboutRun = (request: RunRequest): About => ({
  columns: request.d,
  outputs: request.dataset.classes,
  code: 'sign',
  classes: request.dataset.classValues.map(String),
  settings: settingsOf(request.config),
  data: fingerprintsOf(request),
});

/** A model that is whole but for its document, and the device that it was made on. */
export interface StagedRunModel {
  written: WrittenLayers;
  device: MadeOn;
}

/** Writes model.json beside the layers and moves them all to their place. */
export async function publishRunModel(
  dir: string,
  request: RunRequest,
  { written, device }: StagedRunModel,
): Promise<void> {
  const { config, out } = request;
  const method = { kernel: kernelOf(config), activation: config.activation };
  await writeModelDocument(folderSink(stagingOf(out)), deepRfmDocument(device, aboutRun(request), method, written));
  moveFolder(stagingOf(out), dir);
}

/**
 * Checks what `run` can know of its model before it computes.
 * @throws input error where none can be made, or not there.
 */
export function checkRunModel(dir: string, { config, out }: Pick<RunRequest, 'config' | 'out'>): void {
  if (config.width === 'inf') {
    throw inputError(
      `--save-model ${dir}: features of infinite width are known as inner products of the given rows alone, so that there is no model for other rows; give --width as a number, or drop --save-model`,
    );
  }
  checkModelPlace(dir, out);
}
