export interface Elf {
  libraries: string[];
  versions: { library: string; version: string; index: number; hashAt: number; nameAt: number }[];
  symbols: { name: string; index: number }[];
}
export function readElf(bytes: Buffer): Elf;
export function highest(elf: Elf, family: string): string | null;
export function bindOlder(bytes: Buffer, change: { symbol: string; from: string; to: string }): Buffer;
