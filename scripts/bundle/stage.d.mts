export interface Manifest {
  version: string;
  requires: { glibc: string; libstdcxx: string };
  softwareAdapter: string | null;
  testFiles: string[];
  files: Record<string, { bytes: number; sha256: string }>;
}
export function nodeObstacle(): string | null;
export function checkNeeds(name: string, bytes: Buffer): void;
export function compileTests(root: string, out: string, entries: Record<string, string>): Promise<unknown>;
export function stage(root: string, out: string, options?: { swiftshader?: string | null }): Promise<Manifest>;
