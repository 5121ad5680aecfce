/**
 * Entry of the command line. The exit code is set and the event loop left to end, by which time the device is closed and
 * all output is written.
 */

import './standard-streams.js';

import { execute, fail } from './execute.js';
import { watchSignals } from './interrupt.js';
import { watchOutput } from './terminal.js';

const interruption = watchSignals();
watchOutput((error) => fail(error, interruption));
// Node would end the process at once, with a device that may be alive.
process.on('unhandledRejection', (error) => fail(error, interruption));
// Without an explicit exit Node would tear down Dawn's instance, and wait for its threads one after the other: each wakes
// every tenth of a second. There is no work left, and no device.
process.once('beforeExit', () => process.exit());
void execute(process.argv.slice(2), interruption);
