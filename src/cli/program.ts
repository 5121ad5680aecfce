import { Command, type CommanderError } from 'commander';
import { inputError } from '../errors.js';
import { addBench } from './bench.js';
import { addData } from './data/command.js';
import { addDoctor } from './doctor.js';
import { addFit } from './fit.js';
import { addLayer } from './layer.js';
import { addPredict } from './predict.js';
import { addPresets } from './presets.js';
import { addProfile } from './profile.js';
import { addReport } from './report.js';
import { addRfm } from './rfm.js';
import { addRun } from './run.js';
import { addSweep } from './sweep.js';
import { addTheory } from './theory.js';
import { addTrain } from './train.js';
import { VERSION } from './version.js';

/** Codes with which commander ends after it has printed help or the version. */
const PRINTED = new Set(['commander.helpDisplayed', 'commander.help', 'commander.version']);

const HELP = `
Examples:
  $ deep-rfm run --n 500 --depth 5
      a small run on the MNIST sample that comes with the program
  $ deep-rfm layer --x X.npy --y Y.npy --out out
      one layer on your own arrays
  $ deep-rfm fit houses.csv --target price
      an estimator for your own table
  $ deep-rfm doctor
      which adapters there are, and whether they work

Exit codes: 0 done, 1 internal error, 2 bad usage or input, 3 no adapter,
4 does not fit in device memory or limits, 5 device lost; 130 and 143 after
Ctrl-C and kill. DEEP_RFM_DEBUG=1 adds stack traces to errors.`;

/**
 * Commander's complaint as an input error on one line, with a suggestion or a word on where to look. Help and version
 * are passed on.
 */
function usageError(error: CommanderError, name: string): never {
  if (PRINTED.has(error.code)) throw error;
  const message = error.message
    .replace(/^error: /, '')
    .replace(/\s*\n\s*/g, ' ')
    .replace(/\. Expected (.*)\.$/, ', expected $1');
  const hint = message.includes('Did you mean') ? '' : `; see ${name} --help`;
  throw inputError(`${message}${hint}`);
}

/** For a command and all below it, at any depth. */
function overrideExits(command: Command, name: string): void {
  command.exitOverride((error) => usageError(error, name));
  for (const below of command.commands) overrideExits(below, `${name} ${below.name()}`);
}

/** The command line. Nothing is printed by commander itself but help and the version. */
export function buildProgram(signal: AbortSignal): Command {
  const program = new Command('deep-rfm')
    .description(
      'Deep Recursive Feature Machines on WebGPU: kernel ridge regression, average gradient outer products and random ' +
        'features, layer by layer, with the metrics of neural collapse.',
    )
    .version(VERSION, '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .showSuggestionAfterError(true)
    .configureOutput({ writeErr: (text) => process.stderr.write(text), outputError: () => {} })
    .addHelpText('after', HELP);
  addRun(program, signal);
  addTrain(program, signal);
  addLayer(program, signal);
  addRfm(program, signal);
  addFit(program, signal);
  addPredict(program, signal);
  addBench(program, signal);
  addDoctor(program);
  addProfile(program, signal, buildProgram);
  addReport(program);
  addPresets(program);
  addSweep(program, signal, buildProgram);
  addTheory(program, signal);
  addData(program, signal);
  overrideExits(program, 'deep-rfm');
  return program;
}
