import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Driver, SWIFTSHADER } from '../../scripts/adapter-env.mjs';
import { type Found, findAdapter, nvidiaManifests } from '../../scripts/choose-adapter.mjs';

const root = mkdtempSync(join(tmpdir(), 'deep-rfm-choose-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const carried = join(root, 'swiftshader');
mkdirSync(carried);
for (const { name, size } of SWIFTSHADER.files) {
  writeFileSync(join(carried, name), '');
  truncateSync(join(carried, name), size);
}

const LVP = '/usr/share/vulkan/icd.d/lvp_icd.json';
const NVIDIA = '/usr/share/vulkan/icd.d/nvidia_icd.json';
const HARDWARE: Found = { kind: 'hardware', name: 'GPU', software: false };
const LAVAPIPE: Found = { kind: 'lavapipe', name: 'llvmpipe', software: true };
const SWIFT: Found = { kind: 'swiftshader', name: 'SwiftShader', software: true };

/** Asks a machine on which `answer` says what each driver gives; returns the outcome and what was asked. */
function ask(choice: string, icds: string[], answer: (driver: Driver) => Found | null, nvidia: string[] = []) {
  const asked: Driver[] = [];
  const tried: string[] = [];
  const probe = (driver: Driver) => {
    asked.push(driver);
    const found = answer(driver);
    return { found, error: found ? null : 'Dawn found no adapter' };
  };
  return { result: findAdapter(choice, tried, { probe, platform: 'linux', icds, nvidia }), asked, tried };
}

beforeEach(() => {
  for (const name of ['VK_DRIVER_FILES', 'VK_ICD_FILENAMES', 'DEEP_RFM_BUNDLE']) vi.stubEnv(name, undefined);
  return () => vi.unstubAllEnvs();
});

describe('findAdapter', () => {
  it('takes the system’s drivers where they give hardware', () => {
    const { result, asked } = ask('auto', [NVIDIA, LVP], () => HARDWARE);
    expect(result).toEqual({ driver: {}, found: HARDWARE });
    expect(asked).toHaveLength(1);
  });

  it('gives hardware a chance alone where another driver spoils the system’s', () => {
    const { result } = ask('auto', [NVIDIA, LVP], ({ icds }) => (icds?.join() === NVIDIA ? HARDWARE : null));
    expect(result).toEqual({ driver: { icds: [NVIDIA] }, found: HARDWARE });
  });

  it('uses the loader that a bundle carries where the machine has a driver and no loader', () => {
    const answer = ({ libraryDir, icds }: Driver) => (libraryDir && !icds ? HARDWARE : null);
    expect(ask('auto', [NVIDIA], answer).result).toBeNull();
    vi.stubEnv('DEEP_RFM_BUNDLE', root);
    expect(ask('auto', [NVIDIA], answer).result).toEqual({ driver: { libraryDir: carried }, found: HARDWARE });
  });

  it('tries manifests of its own for an NVIDIA driver without one, and refuses software for hardware', () => {
    const [glx, egl] = ['/b/nvidia_glx_icd.json', '/b/nvidia_egl_icd.json'];
    const answer = ({ icds }: Driver) => (icds?.[0] === egl ? HARDWARE : icds?.length ? null : LAVAPIPE);
    for (const choice of ['auto', 'hardware']) {
      expect(ask(choice, [LVP], answer, [glx, egl]).result?.driver).toEqual({ icds: [egl] });
    }
    const refused = ask('hardware', [NVIDIA], () => LAVAPIPE);
    expect(refused.result).toBeNull();
    expect(refused.tried.join()).toContain('a software adapter');
    expect(ask('auto', [LVP], answer).result?.found).toEqual(LAVAPIPE);
  });

  it('falls back to the SwiftShader of a bundle, and without one says what was tried', () => {
    const answer = ({ icds }: Driver) => (icds?.[0]?.startsWith(carried) ? SWIFT : null);
    vi.stubEnv('DEEP_RFM_BUNDLE', root);
    for (const choice of ['auto', 'swiftshader']) {
      expect(ask(choice, [], answer).result).toEqual({
        driver: { icds: [join(carried, 'vk_swiftshader_icd.json')], libraryDir: carried },
        found: SWIFT,
      });
    }
    const { result, tried } = ask('lavapipe', [LVP], () => null);
    expect(result).toBeNull();
    expect(tried.join()).toContain('lavapipe: not installed');
  });
});

describe('nvidiaManifests', () => {
  it('is for machines with the device and without the driver’s own manifest', () => {
    expect(nvidiaManifests([NVIDIA], true)).toEqual([]);
    expect(nvidiaManifests([LVP], false)).toEqual([]);
    const found = nvidiaManifests([LVP], true);
    expect(found).toHaveLength(2);
    for (const path of found) {
      expect(JSON.parse(readFileSync(path, 'utf8')).ICD.library_path).toMatch(/^lib(GLX|EGL)_nvidia\.so\.0$/);
    }
  });
});
