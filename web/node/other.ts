/** In place of those of Node's modules that readers of data import and a page never calls. */

export { Buffer } from 'buffer';

/** A page holds no larger array either. */
export const kMaxLength = 2 ** 31 - 1;

function refuse(): never {
  throw new Error('a page has no modules of Node');
}
export const randomBytes = refuse;
export const createHash = refuse;
export const createRequire = refuse;
