/**
 * Entry of the command line. The exit code is set and the event loop left to end: process.exit() with a live device
 * crashes.
 */

import './standard-streams.js';

import { execute, fail } from './execute.js';
import { watchSignals } from './interrupt.js';
import { watchOutput } from './terminal.js';

const interruption = watchSignals();
watchOutput((error) => fail(error, interruption));
// Node would end the process at once, with a device that may be alive.
process.on('unhandledRejection', (error) => fail(error, interruption));
void execute(process.argv.slice(2), interruption);
