// What a bundle's start scripts share: where the bundle is, and the driver to use on this machine.

import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { adapterChoice } from '../adapter-env.mjs';
import { chooseAdapter } from '../choose-adapter.mjs';

export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
process.env.DEEP_RFM_BUNDLE = ROOT;

export const note = (line) => process.stderr.write(`${line}\n`);

/** The driver decided on for this machine, asking Dawn on the first start; undefined, and a note, where there is none. */
export function driverHere() {
  const choice = adapterChoice();
  const { entry, tried } = chooseAdapter(choice, { note });
  if (entry) return entry;
  note(`adapter: none that Dawn accepts. Tried: ${tried.join('; ')}. README.txt says what the machine must have.`);
  return undefined;
}
