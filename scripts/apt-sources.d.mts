export interface Source {
  file: string;
  uris: string[];
  suites: string[];
  components: string[];
  options: Record<string, string>;
}
export interface AptPlan {
  reason?: string;
  suite?: string | null;
  addSource?: string | null;
}
export function parseOsRelease(text: string): Record<string, string>;
export function parseSources(file: string, text: string): Source[];
export function readSources(root?: string): Source[];
export function distributionSource(sources: Source[], codename: string): Source | null;
export function backportsSource(source: Source, codename: string): string;
export function aptPlan(machine: {
  platform: string;
  uid: number | undefined;
  env: Record<string, string | undefined>;
  osRelease: Record<string, string>;
  hasApt: boolean;
  sources: Source[];
}): AptPlan;
