/** The part of the package lz4js that is used: it has no declarations. */
declare module 'lz4js' {
  /** Bytes at most that an LZ4 frame holds: as many as it says, or those of full blocks. */
  export function decompressBound(frame: Uint8Array): number;
  /** The bytes of an LZ4 frame, of which there are at most so many. */
  export function decompress(frame: Uint8Array, most: number): Uint8Array;
  /** Writes the bytes of an LZ4 block, `length` bytes from `start` on, into `target` from `at` on. @returns where they end. */
  export function decompressBlock(
    packed: Uint8Array,
    target: Uint8Array,
    start: number,
    length: number,
    at: number,
  ): number;
}
