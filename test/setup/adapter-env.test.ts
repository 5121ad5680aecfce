import { chmodSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import {
  adapterChoice,
  adapterKind,
  cacheDirs,
  driverEnv,
  installedSwiftshader,
  isLavapipeIcd,
  isSoftwareIcd,
  launchEnv,
  readState,
  SWIFTSHADER,
  stateFile,
  swiftshaderDir,
  systemIcds,
  userSetVulkan,
  withoutDriver,
  writableCacheDir,
} from '../../scripts/adapter-env.mjs';

const root = mkdtempSync(join(tmpdir(), 'deep-rfm-env-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let cache: string;
beforeEach(() => {
  cache = join(mkdtempSync(join(root, 'cache-')), 'deep-rfm');
  mkdirSync(cache);
});

/** Files of the right names and sizes, without contents. */
function fakeSwiftshader(): string {
  const dir = swiftshaderDir(cache);
  mkdirSync(dir);
  for (const { name, size } of SWIFTSHADER.files) {
    writeFileSync(join(dir, name), '');
    truncateSync(join(dir, name), size);
  }
  return dir;
}

const decide = (choices: object) => writeFileSync(stateFile(cache), JSON.stringify({ schema: 1, choices }));
const LVP = '/usr/share/vulkan/icd.d/lvp_icd.x86_64.json';
const NVIDIA = '/usr/share/vulkan/icd.d/nvidia_icd.json';
const launch = (env: Record<string, string>, icds: string[] = []) =>
  launchEnv(env, { platform: 'linux', dirs: [cache], icds, avx512: false });

describe('cacheDirs', () => {
  const where = { platform: 'linux', homeDir: '/users/me', tmp: '/scratch', uid: 7 };
  it('prefers XDG_CACHE_HOME, then ~/.cache, and ends under the temporary directory', () => {
    expect(cacheDirs({ XDG_CACHE_HOME: '/x' }, where)).toEqual(['/x/deep-rfm', '/scratch/deep-rfm-7']);
    expect(cacheDirs({}, where)).toEqual(['/users/me/.cache/deep-rfm', '/scratch/deep-rfm-7']);
    expect(cacheDirs({}, { ...where, homeDir: '' })).toEqual(['/scratch/deep-rfm-7']);
  });
  it('ignores a relative XDG_CACHE_HOME, as its specification says', () => {
    expect(cacheDirs({ XDG_CACHE_HOME: 'x' }, where)[0]).toBe('/users/me/.cache/deep-rfm');
  });
  it('takes the first directory that can be made', () => {
    writeFileSync(join(root, 'file'), '');
    const good = join(cache, 'sub', 'deep-rfm');
    expect(writableCacheDir([join(root, 'file', 'deep-rfm'), good])).toBe(good);
    expect(writableCacheDir([join(root, 'file', 'deep-rfm')])).toBeNull();
  });
  it.skipIf(process.platform === 'win32')('does not trust a shared directory that others may write to', () => {
    const shared = join(root, 'deep-rfm-1');
    mkdirSync(shared);
    chmodSync(shared, 0o777);
    expect(writableCacheDir([shared])).toBeNull();
    chmodSync(shared, 0o700);
    expect(writableCacheDir([shared])).toBe(shared);
  });
});

describe('drivers', () => {
  it('finds manifests where the loader does', () => {
    const dir = join(cache, 'vulkan', 'icd.d');
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, 'b_icd.json'), '{}');
    writeFileSync(join(dir, 'lvp_icd.json'), '{}');
    writeFileSync(join(dir, 'readme'), '');
    const nowhere = join(root, 'nowhere');
    const env = { XDG_DATA_DIRS: cache, XDG_CONFIG_HOME: nowhere, XDG_CONFIG_DIRS: nowhere, XDG_DATA_HOME: nowhere };
    expect(systemIcds(env, '').filter((path) => path.startsWith(cache))).toEqual([
      join(dir, 'b_icd.json'),
      join(dir, 'lvp_icd.json'),
    ]);
  });
  it('tells software from hardware', () => {
    expect([LVP, NVIDIA].map(isLavapipeIcd)).toEqual([true, false]);
    expect([LVP, NVIDIA, '/x/vk_swiftshader_icd.json'].map(isSoftwareIcd)).toEqual([true, false, true]);
    expect(adapterKind({ vendor: 'mesa', architecture: 'software', description: 'llvmpipe: Mesa 25' })).toBe(
      'lavapipe',
    );
    expect(adapterKind({ vendor: 'google', architecture: 'swiftshader' })).toBe('swiftshader');
    expect(adapterKind({ vendor: 'microsoft', architecture: 'warp' })).toBe('software');
    expect(adapterKind({ vendor: 'x', isFallbackAdapter: true })).toBe('software');
    expect(adapterKind({ vendor: 'nvidia', architecture: 'hopper', description: 'NVIDIA H200' })).toBe('hardware');
  });
  it('keeps an existing library path behind its own', () => {
    expect(driverEnv({ icds: ['/s/i.json'], libraryDir: '/s' }, { LD_LIBRARY_PATH: '/old' })).toEqual({
      VK_DRIVER_FILES: '/s/i.json',
      VK_ICD_FILENAMES: '/s/i.json',
      LD_LIBRARY_PATH: '/s:/old',
      DEEP_RFM_DRIVER: '{"icds":["/s/i.json"],"libraryDir":"/s"}',
    });
    expect(driverEnv({}, {})).toEqual({});
  });
  it('tells a driver that a launcher selected from one that the user set', () => {
    const driver = { icds: ['/s/i.json'], libraryDir: '/s' };
    for (const env of [{ LD_LIBRARY_PATH: '/old' }, {}, { PATH: '/bin' }]) {
      const selected = { ...env, ...driverEnv(driver, env) };
      expect(userSetVulkan(selected)).toBe(false);
      expect(withoutDriver(selected)).toEqual(env);
    }
    const mine = { ...driverEnv(driver, {}), VK_DRIVER_FILES: '/mine.json' };
    expect(userSetVulkan(mine)).toBe(true);
    expect(withoutDriver(mine)).toEqual({ VK_DRIVER_FILES: '/mine.json' });
    expect(userSetVulkan({ VK_ICD_FILENAMES: '/mine.json' })).toBe(true);
    expect(withoutDriver({ DEEP_RFM_DRIVER: '{', VK_DRIVER_FILES: '/mine.json' })).toHaveProperty('VK_DRIVER_FILES');
  });
  it('selects the same again in a command that another one started', () => {
    fakeSwiftshader();
    const first = launch({ DEEP_RFM_ADAPTER: 'swiftshader' }).set;
    expect(launch({ DEEP_RFM_ADAPTER: 'swiftshader', ...first }).set).toEqual(first);
    expect(launch({ DEEP_RFM_ADAPTER: 'lavapipe', ...first }, [LVP]).set.VK_DRIVER_FILES).toBe(LVP);
  });
  it('takes SwiftShader only when it is complete', () => {
    expect(installedSwiftshader([cache])).toBeNull();
    const dir = fakeSwiftshader();
    expect(installedSwiftshader([cache])?.libraryDir).toBe(dir);
    truncateSync(join(dir, 'libvulkan.so.1'), 5);
    expect(installedSwiftshader([cache])).toBeNull();
  });
});

describe('launchEnv', () => {
  it('sets nothing where the system’s drivers do', () => {
    decide({ auto: { kind: 'lavapipe' } });
    expect(launch({}, [LVP])).toEqual({ set: {}, problem: null });
  });
  it('sets the library path for SwiftShader, decided by setup or the only one there', () => {
    const dir = fakeSwiftshader();
    const icd = join(dir, 'vk_swiftshader_icd.json');
    expect(launch({})).toMatchObject({ set: { VK_DRIVER_FILES: icd, LD_LIBRARY_PATH: dir } });
    expect(launch({}, [LVP]).set).not.toHaveProperty('LD_LIBRARY_PATH');
    decide({ auto: { kind: 'swiftshader', icds: [icd], libraryDir: dir } });
    expect(launch({}, [LVP]).set).toHaveProperty('LD_LIBRARY_PATH');
    truncateSync(join(dir, 'libvulkan.so.1'), 5);
    expect(launch({}, [LVP]).set).not.toHaveProperty('LD_LIBRARY_PATH');
  });
  it('forgets a decision whose files are gone', () => {
    decide({ auto: { kind: 'swiftshader', icds: ['/gone.json'], libraryDir: '/gone' } });
    expect(launch({}, [LVP])).toMatchObject({ set: {} });
    writeFileSync(stateFile(cache), '{"schema":1,"choi');
    expect(readState([cache]).choices).toEqual({});
  });
  it('never overrides what the user set', () => {
    fakeSwiftshader();
    for (const name of ['VK_DRIVER_FILES', 'VK_ICD_FILENAMES']) {
      expect(launch({ [name]: '/mine.json', DEEP_RFM_ADAPTER: 'swiftshader' })).toMatchObject({
        set: {},
        problem: null,
      });
    }
  });
  it('obeys DEEP_RFM_ADAPTER', () => {
    expect(launch({ DEEP_RFM_ADAPTER: 'lavapipe' }, [LVP, NVIDIA]).set.VK_DRIVER_FILES).toBe(LVP);
    expect(launch({ DEEP_RFM_ADAPTER: 'hardware' }, [LVP, NVIDIA]).set.VK_DRIVER_FILES).toBe(NVIDIA);
    expect(launch({ DEEP_RFM_ADAPTER: 'hardware' }, [LVP]).problem).toContain('DEEP_RFM_ADAPTER=hardware');
    expect(launch({ DEEP_RFM_ADAPTER: 'swiftshader' }, [LVP]).problem).toContain('npm run setup');
    expect(() => adapterChoice({ DEEP_RFM_ADAPTER: 'gpu' })).toThrow('expected one of auto, hardware');
  });
  it('asks lavapipe for 16 lanes where the CPU has them', () => {
    const options = { platform: 'linux', dirs: [cache], icds: [LVP], avx512: true };
    const shaders = (width: number) => join(cache, `mesa-${width}`);
    expect(launchEnv({}, options).set).toEqual({
      LP_NATIVE_VECTOR_WIDTH: '512',
      MESA_SHADER_CACHE_DIR: shaders(512),
    });
    expect(launchEnv({ LP_NATIVE_VECTOR_WIDTH: '256' }, options).set).toEqual({ MESA_SHADER_CACHE_DIR: shaders(256) });
    const mine = { LP_NATIVE_VECTOR_WIDTH: '256', MESA_SHADER_CACHE_DIR: '/mine' };
    expect(launchEnv(mine, options).set).toEqual({});
  });
  it('leaves other systems alone', () => {
    const dirs = [cache, dirname(cache)];
    expect(launchEnv({ DEEP_RFM_ADAPTER: 'hardware' }, { platform: 'darwin', dirs })).toMatchObject({
      set: {},
      problem: null,
    });
  });
});
