/** `deep-rfm data`: the datasets' files, from their publishers. */

import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { SingleBar } from 'cli-progress';
import type { Command } from 'commander';
import { DATA_VARIABLE, EMNIST_SPLITS, type EmnistSplit, foldersOf } from '../../data/dataset.js';
import { inputError } from '../../errors.js';
import { writeError } from '../../report/atomic.js';
import { formatBytes } from '../../report/format.js';
import { tableText } from '../../report/text-table.js';
import { type CommonFlags, commonOptions, path, valued } from '../flags.js';
import { setInterruptOutcome } from '../interrupt.js';
import { acquireLock, holderText } from '../lock.js';
import { type Terminal, terminalFor } from '../terminal.js';
import { VERSION } from '../version.js';
import { CATALOG, type CatalogEntry, filesOf } from './catalog.js';
import type { FileState } from './verify.js';

const NAMES = CATALOG.map(({ name }) => name);

const entryOf = (name: string): CatalogEntry => {
  const entry = CATALOG.find((known) => known.name === name);
  if (entry) return entry;
  throw inputError(`${name}: no such dataset, expected ${NAMES.join(', ')}`);
};

const bytesOf = ({ downloads }: CatalogEntry): number => downloads.reduce((sum, { bytes }) => sum + bytes, 0);

const sumText = ({ sha256, md5 }: { sha256?: string; md5?: string }): string =>
  sha256 === undefined ? `MD5 ${md5}` : `SHA-256 ${sha256}`;

interface GetFlags extends CommonFlags {
  dataDir?: string;
  split?: EmnistSplit[];
  mirror?: string;
}

/** `deep-rfm data list|get|verify`. */
export function addData(program: Command, signal: AbortSignal): void {
  const data = program
    .command('data')
    .summary("get datasets from their publishers, and check one's files")
    .description(
      'The datasets that `run` and `train` read: where they come from and under which licence, their files from there, and ' +
        'whether the files that are here are the published ones. Needs no adapter.',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  $ deep-rfm data list\n  $ deep-rfm data get mnist --data-dir data\n  $ deep-rfm data verify data',
    );
  addList(data);
  addGet(data, signal);
  addVerify(data);
}

function addList(data: Command): void {
  const command = data
    .command('list')
    .summary('list the datasets with size, licence and source')
    .argument('[dataset...]', 'list files, checksums and addresses of these')
    .addHelpText('after', '\nExamples:\n  $ deep-rfm data list\n  $ deep-rfm data list mnist');
  for (const option of commonOptions()) command.addOption(option);
  command.action((names: string[], flags: CommonFlags) => {
    const terminal = terminalFor(flags);
    const entries = names.length === 0 ? CATALOG : names.map(entryOf);
    if (names.length === 0) {
      const rows = entries.map((entry) => [entry.name, formatBytes(bytesOf(entry)), entry.licence, entry.home]);
      for (const line of tableText({ header: ['dataset', 'download', 'licence', 'from'], rows, left: 4 })) {
        terminal.print(line);
      }
    } else for (const entry of entries) describe(entry, terminal);
    terminal.document({ schema: 'deep-rfm/data-list/1', version: VERSION, datasets: entries });
  });
}

function describe({ name, title, home, licence, folder, downloads }: CatalogEntry, terminal: Terminal): void {
  for (const line of [`${name}: ${title}`, `  from     ${home}`, `  licence  ${licence}`, `  folder   ${folder}`]) {
    terminal.print(line);
  }
  for (const { members = [], addresses, ...file } of downloads) {
    terminal.print(`  ${file.name}  ${file.bytes} bytes  ${sumText(file)}`);
    for (const address of addresses) terminal.print(`    ${address}`);
    for (const member of members) terminal.print(`    in it: ${member.name}  ${sumText(member)}`);
  }
}

function addGet(data: Command, signal: AbortSignal): void {
  const command = data
    .command('get')
    .summary('download datasets, and unpack them')
    .description(
      'Downloads the files of datasets into a folder each. A file takes its place when it is whole and has the published ' +
        'checksum; one that is there already stays. After an interruption the same command goes on where it stopped. ' +
        'HTTP_PROXY, HTTPS_PROXY and NO_PROXY count.',
    )
    .argument('<dataset...>', NAMES.join(', '))
    .addOption(valued('--data-dir <folder>', `data folder (default: $${DATA_VARIABLE}, else data)`, path('--data-dir')))
    .addOption(
      valued('--split <list>', `of emnist: ${EMNIST_SPLITS.join(', ')} (default: all)`, (value) => splits(value)),
    )
    .addOption(
      valued('--mirror <address>', 'folder on a server that has the files, asked first', (value) => address(value)),
    )
    .addHelpText(
      'after',
      '\nExamples:\n  $ deep-rfm data get mnist cifar10 --data-dir data\n  $ deep-rfm data get emnist --split letters\n' +
        '  $ deep-rfm data get mnist --mirror https://mirror.example.org/mnist',
    );
  for (const option of commonOptions()) command.addOption(option);
  command.action((names: string[], flags: GetFlags) => get(names.map(entryOf), flags, signal));
}

function splits(value: string): EmnistSplit[] {
  return value.split(',').map((part) => {
    const found = EMNIST_SPLITS.find((split) => split === part.trim());
    if (found) return found;
    throw inputError(`--split ${value}: expected ${EMNIST_SPLITS.join(', ')}, with commas between`);
  });
}

function address(value: string): string {
  if (URL.canParse(value) && /^https?:/.test(value)) return value;
  throw inputError(`--mirror ${value}: expected an address that begins with http:// or https://`);
}

async function get(entries: CatalogEntry[], flags: GetFlags, signal: AbortSignal): Promise<void> {
  const terminal = terminalFor(flags);
  const { split, mirror } = flags;
  if (split && !entries.some(({ name }) => name === 'emnist')) {
    throw inputError(`--split ${split.join(',')}: only emnist has splits; drop it`);
  }
  setInterruptOutcome('what has come so far stays beside its place; the same command goes on with it');
  const root = flags.dataDir ?? (process.env[DATA_VARIABLE] || 'data');
  const { getDataset } = await import('./get.js');
  const datasets = [];
  for (const entry of entries) {
    const folder = join(root, entry.folder);
    const release = lockFolder(folder);
    const progress = downloadProgress(terminal);
    try {
      const files = await getDataset(entry, folder, {
        signal,
        note: terminal.note,
        onDownload: progress.onDownload,
        onProgress: progress.onProgress,
        ...(mirror !== undefined && { mirrors: [mirror] }),
        ...(split && { wanted: ({ name }) => split.some((one) => name.startsWith(`emnist-${one}-`)) }),
      });
      datasets.push({ name: entry.name, folder, files });
      const fresh = files.filter(({ how }) => how !== 'was there').length;
      terminal.print(
        `${entry.name}: ${files.length} files in ${folder}, ${fresh} of them new; licence: ${entry.licence}`,
      );
    } finally {
      progress.stop();
      release();
    }
  }
  terminal.print(`use: deep-rfm run --dataset ${entries[0].name} --data-dir ${root}`);
  terminal.document({ schema: 'deep-rfm/data-get/1', version: VERSION, datasets });
}

/** Two commands that write the same part would mix it. */
function lockFolder(folder: string): () => void {
  try {
    const made = mkdirSync(folder, { recursive: true });
    const acquired = acquireLock(join(folder, '.deep-rfm-get.lock'), 'data get');
    if (acquired.lock) {
      const { release } = acquired.lock;
      return () => {
        release();
        if (made !== undefined) removeEmpty(folder, made);
      };
    }
    const by = acquired.holder ? `by ${holderText(acquired.holder)}` : 'by another command';
    throw inputError(`${folder}: is being written ${by}; wait for it, or end it`);
  } catch (error) {
    throw writeError(folder, error) ?? error;
  }
}

/** Removes a folder in which nothing came to lie, and those around it up to the first that was made for it. */
function removeEmpty(folder: string, first: string): void {
  try {
    for (let dir = resolve(folder); dir.startsWith(resolve(first)); dir = dirname(dir)) rmdirSync(dir);
  } catch {
    // Something lies there.
  }
}

/** Seconds between two lines about a download. */
const LINE_SECONDS = 5;

/** A bar where stderr is a terminal, else a line every few seconds. */
function downloadProgress(terminal: Terminal) {
  const bar =
    terminal.quiet || !process.stderr.isTTY
      ? null
      : new SingleBar({
          stream: process.stderr,
          format: '{bar} {percentage} %  {what}',
          barCompleteChar: '█',
          barIncompleteChar: '░',
          barsize: 24,
          hideCursor: true,
          clearOnComplete: true,
          gracefulExit: false,
        });
  let what = '';
  let said = performance.now();
  return {
    onDownload({ name, bytes }: { name: string; bytes: number }): void {
      what = name;
      said = performance.now();
      bar?.stop();
      terminal.note(`downloading ${name} (${formatBytes(bytes)})`);
      bar?.start(bytes, 0, { what });
    },
    onProgress(done: number): void {
      bar?.update(done, { what });
      if (bar || performance.now() - said < 1000 * LINE_SECONDS) return;
      said = performance.now();
      terminal.note(`${what}: ${formatBytes(done)}`);
    },
    stop: () => bar?.stop(),
  };
}

function addVerify(data: Command): void {
  const command = data
    .command('verify')
    .summary('say which files are the published ones')
    .description(
      'Reads the files of datasets in a folder, or in the folders that `data get` makes in it, and compares their checksums ' +
        'with the published ones. Ends with code 2 where a file is wrong, or missing from a dataset that is there.',
    )
    .argument('<folder>', 'data folder, or the folder of one dataset', path('<folder>'))
    .argument('[dataset...]', `which must be there (default: those that are): ${NAMES.join(', ')}`)
    .addHelpText('after', '\nExamples:\n  $ deep-rfm data verify data\n  $ deep-rfm data verify data/mnist mnist');
  for (const option of commonOptions()) command.addOption(option);
  command.action((folder: string, names: string[], flags: CommonFlags) => verify(folder, names, flags));
}

interface Verified {
  name: string;
  folder: string;
  files: FileState[];
}

async function verify(root: string, names: string[], flags: CommonFlags): Promise<void> {
  const terminal = terminalFor(flags);
  if (!existsSync(root)) throw inputError(`${root}: no such folder; check the path`);
  const { fileState } = await import('./verify.js');
  const all: Verified[] = [];
  for (const entry of names.length === 0 ? CATALOG : names.map(entryOf)) {
    // MNIST's names are those of others, too: without a name only a folder that is called so counts.
    const own = names.length > 0 || !entry.downloads.some(({ name }) => name.startsWith('train-images'));
    const folders = [...new Set([entry.folder, ...foldersOf(entry.name)])].filter((sub) => own || sub !== '');
    const found = folders
      .map((sub) => join(root, sub))
      .find((dir) => filesOf(entry).some(({ name }) => isHere(dir, name)));
    if (found === undefined) {
      if (names.length > 0) throw inputError(`${root}: has no file of ${entry.name}; \`deep-rfm data get\` gets it`);
      continue;
    }
    const files: FileState[] = [];
    for (const file of expectedOf(entry, found)) files.push(await fileState(found, file));
    all.push({ name: entry.name, folder: found, files });
  }
  if (all.length === 0) {
    throw inputError(`${root}: has no dataset in it; name the one that it is: deep-rfm data verify ${root} mnist`);
  }
  for (const { name, folder, files } of all) {
    for (const { name: file, state, remark } of files) {
      terminal.print(`${name}  ${state.padEnd(7)}  ${join(folder, file)}${remark === null ? '' : `  (${remark})`}`);
    }
  }
  terminal.document({ schema: 'deep-rfm/data-verify/1', version: VERSION, datasets: all });
  const bad = all.flatMap(({ name, files }) =>
    files
      .filter(({ state }) => state === 'wrong' || state === 'missing')
      .map((file) => `${name} ${file.name} ${file.state}`),
  );
  if (bad.length > 0) {
    throw inputError(`${root}: ${bad.length} files are wrong or missing (${bad[0]}); get them with deep-rfm data get`);
  }
}

const isHere = (dir: string, name: string): boolean =>
  existsSync(join(dir, name)) || existsSync(join(dir, name.replace(/\.gz$/, '')));

/** All files of a dataset; of EMNIST those of the splits that are there. */
function expectedOf(entry: CatalogEntry, dir: string) {
  const files = filesOf(entry);
  if (entry.name !== 'emnist') return files;
  const splitOf = (name: string): string => name.split('-')[1];
  const here = new Set(files.filter(({ name }) => isHere(dir, name)).map(({ name }) => splitOf(name)));
  return files.filter(({ name }) => here.has(splitOf(name)));
}
