/** What errors say at the command line: settings by their flags. */

import type { RfmError, SettingName } from '../errors.js';

/** The flag of an option: memoryLimit is --memory-limit. */
export const flagOf = (name: string): string => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

export const messageOf = (error: RfmError): string => error.messageWith((setting: SettingName) => flagOf(setting));
