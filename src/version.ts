import { version } from '../package.json';

/** Version of the program, as in package.json. */
export const VERSION: string = version;
