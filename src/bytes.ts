/** Files as bytes, wherever they are: what reads and writes them does not know whether that is a disk or memory. */

/** Bytes that can be read in parts. */
export interface ByteSource {
  /** What messages call it. */
  readonly at: string;
  readonly size: number;
  /**
   * @returns `length` bytes from `position` on, in a buffer of their own.
   * @throws input error where the bytes end before, or cannot be read.
   */
  read(position: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Of all bytes, in hexadecimal digits. */
  sha256(): Promise<string>;
}

/** Takes bytes one after the other. */
export interface ByteSink {
  /** The bytes may be overwritten once the promise is settled. */
  write(bytes: Uint8Array): Promise<void>;
  /** @returns how many bytes were written, and their SHA-256 in hexadecimal digits. */
  close(): Promise<{ bytes: number; sha256: string }>;
}

/** Files by name, to read. */
export interface FileSet {
  /** What messages call them all. */
  readonly at: string;
  /** null where there is no file of this name. */
  open(name: string): ByteSource | null;
}

/** Files by name, to write. */
export interface FileSink {
  create(name: string): Promise<ByteSink>;
}
