// Types for the tests; the program is plain JavaScript because setup runs before any package is there.
type Env = Record<string, string | undefined>;
export interface Driver {
  icds?: string[];
  libraryDir?: string;
}
export interface State {
  schema: number;
  choices: Record<string, Driver & { kind: string; name: string; software: boolean; fingerprint: string }>;
}
export const SWIFTSHADER: { version: string; files: { name: string; size: number; sha256: string }[] };
/** The command that installs a driver. */
export const SETUP: string;
/** Without the driver that a launcher above this process selected. */
export function withoutDriver(env?: Env): Env;
/** Whether VK_DRIVER_FILES or VK_ICD_FILENAMES is set, and not by a launcher. */
export function userSetVulkan(env?: Env): boolean;
export function adapterChoice(env?: Env): string;
export function cacheDirs(
  env?: Env,
  where?: { platform?: string; homeDir?: string; tmp?: string; uid?: number | string },
): string[];
export function writableCacheDir(dirs?: string[]): string | null;
export function systemIcds(env?: Env, homeDir?: string): string[];
export function isLavapipeIcd(path: string): boolean;
export function isSoftwareIcd(path: string): boolean;
export function swiftshaderDir(cacheDir: string): string;
export function installedSwiftshader(dirs?: string[]): Driver | null;
/** The SwiftShader that a bundle carries. */
export function carriedSwiftshader(env?: Env): Driver | null;
export function driverEnv(driver: Driver, env?: Env): Env;
export function stateFile(cacheDir: string): string;
export function readState(dirs?: string[]): State;
export function launchEnv(
  env?: Env,
  options?: { platform?: string; dirs?: string[]; icds?: string[]; avx512?: boolean },
): { set: Env; problem: string | null };
export function fingerprint(choice: string, env?: Env): string;
export function adapterKind(info: {
  vendor?: string;
  architecture?: string;
  description?: string;
  isFallbackAdapter?: boolean;
}): 'hardware' | 'lavapipe' | 'swiftshader' | 'software';
