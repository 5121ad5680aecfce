// `./deep-rfm` of a bundle: what bin/deep-rfm.mjs does in a checkout after setup.

import { launch, refuse } from '../launch.mjs';
import { driverHere } from './carried.mjs';

// Help and the drawing of a finished run need no adapter, and the first question to Dawn takes a moment.
const [command] = process.argv.slice(2);
const offline =
  !command ||
  command === 'report' ||
  command === 'help' ||
  process.argv.some((arg) => /^(-h|--help|--version)$/.test(arg));

async function start() {
  let driver;
  try {
    driver = offline ? undefined : driverHere();
  } catch (error) {
    return refuse(error.message, 2);
  }
  await launch({ driver });
}

await start();
