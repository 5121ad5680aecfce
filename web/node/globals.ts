/** Node's globals that readers of data name. */

export { Buffer } from 'buffer';

export const process = { env: {} as Record<string, string | undefined>, pid: 0 };
