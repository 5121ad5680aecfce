import type { Driver } from './adapter-env.mjs';
export interface Found {
  kind: string;
  name: string;
  software: boolean;
}
export type Probe = (driver: Driver) => { found: Found | null; error: string | null };
export function nvidiaManifests(icds?: string[], hasDevice?: boolean): string[];
export function findAdapter(
  choice: string,
  tried: string[],
  options?: {
    install?: { lavapipe?(): string | null; swiftshader?(): string | null };
    probe?: Probe;
    platform?: string;
    icds?: string[];
    nvidia?: string[];
  },
): { driver: Driver; found: Found } | null;
