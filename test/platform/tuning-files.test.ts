import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import {
  applyTuning,
  readTuning,
  type TuningIdentity,
  tuningFileName,
  writeTuning,
} from '../../src/platform/node/tuning-files.js';
import { writeFileAtomic } from '../../src/report/atomic.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { useGpu } from '../support/gpu.js';
import { QUICK, repeated } from '../support/tuning.js';

const opened = useGpu();
const root = mkdtempSync(join(tmpdir(), 'deep-rfm-tuning-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let folder = '';
let count = 0;
beforeEach(() => {
  folder = join(root, String(count++));
  mkdirSync(folder);
});

const identity = (gpu: Gpu, version = '1.0.0'): TuningIdentity => ({ adapter: gpu.adapter, version, webgpu: '0.6.2' });
const fresh = (fields: Partial<Gpu> = {}): Gpu => ({ ...opened(), choices: new Map(), ...fields });
const chosen = (choices: Record<string, string>) => ({ choices: new Map(Object.entries(choices)), measured: [] });
const file = (gpu: Gpu) => join(folder, 'tuning', tuningFileName(identity(gpu)));

describe('the cache', () => {
  it('gives back what was written, whole', async () => {
    const gpu = fresh();
    const path = await writeTuning(identity(gpu), chosen({ repeated: 'slow' }), writeFileAtomic, folder);
    expect(path).toBe(file(gpu));
    expect(readdirSync(join(folder, 'tuning'))).toEqual([tuningFileName(identity(gpu))]);
    const { choices, note } = await readTuning(gpu, identity(gpu), [repeated], [folder]);
    expect(choices).toEqual(new Map([['repeated', 'slow']]));
    expect(note).toBeNull();
  });

  it('has a file for each adapter, driver and version', () => {
    const gpu = fresh();
    const driver: TuningIdentity = { ...identity(gpu), adapter: { ...gpu.adapter, description: 'driver 2' } };
    const names = [identity(gpu), identity(gpu, '1.0.1'), { ...identity(gpu), webgpu: '0.7.0' }, driver].map(
      tuningFileName,
    );
    expect(new Set(names).size).toBe(4);
  });

  it('says nothing where nothing is, and looks into each folder', async () => {
    const gpu = fresh();
    expect(await readTuning(gpu, identity(gpu), [repeated], [folder])).toEqual({ choices: null, note: null });
    await writeTuning(identity(gpu), chosen({ repeated: 'quick' }), writeFileAtomic, folder);
    const { choices } = await readTuning(gpu, identity(gpu), [repeated], [join(root, 'none'), folder]);
    expect(choices?.get('repeated')).toBe('quick');
  });

  it.each([
    ['not JSON', '{"schema":', 'is damaged'],
    ['another schema', '{"schema":"deep-rfm/tuning/9"}', 'not a tuning file'],
    ['no object', '[1, 2]', 'not a tuning file'],
  ])('ignores a file that is %s, with one line', async (_, text, why) => {
    const gpu = fresh();
    mkdirSync(join(folder, 'tuning'));
    writeFileSync(file(gpu), text);
    const { choices, note } = await readTuning(gpu, identity(gpu), [repeated], [folder]);
    expect(choices).toBeNull();
    expect(note).toContain(why);
    expect(note).toContain('bench --tune');
    expect(note).not.toContain('\n');
    expect(readFileSync(file(gpu), 'utf8')).toBe(text);
  });

  it('ignores a file of another adapter that was given this name, and variants that are not there', async () => {
    const gpu = fresh();
    const other = { ...identity(gpu), adapter: { ...gpu.adapter, device: 'another' } };
    const path = await writeTuning(other, chosen({ repeated: 'slow' }), writeFileAtomic, folder);
    writeFileSync(file(gpu), readFileSync(path!));
    expect((await readTuning(gpu, identity(gpu), [repeated], [folder])).note).toContain('another adapter');
    const stale = chosen({ repeated: 'wide', gone: 'slow' });
    await writeTuning(identity(gpu), stale, writeFileAtomic, folder);
    const { choices, note } = await readTuning(gpu, identity(gpu), [repeated], [folder]);
    expect(choices?.size).toBe(0);
    expect(note).toContain('repeated wide, gone slow');
  });
});

describe('applyTuning', () => {
  const apply = (gpu: Gpu) =>
    applyTuning(gpu, identity(gpu), [repeated], { write: writeFileAtomic, folders: [folder], plan: QUICK });

  it('takes what is in the cache', async () => {
    const gpu = fresh();
    await writeTuning(identity(gpu), chosen({ repeated: 'slow' }), writeFileAtomic, folder);
    expect(await apply(gpu)).toEqual({ source: 'cache', notes: [] });
    expect(gpu.choices).toEqual(new Map([['repeated', 'slow']]));
  });

  it('keeps the defaults on a software adapter, and measures once on hardware', async () => {
    const software = fresh({ adapter: { ...opened().adapter, type: 'software' } });
    expect(await apply(software)).toEqual({ source: 'defaults', notes: [] });
    expect(software.choices.size).toBe(0);
    expect(existsSync(file(software))).toBe(false);

    const adapter = { ...opened().adapter, type: 'hardware', description: 'a GPU' } as const;
    const hardware = fresh({ adapter });
    expect(await apply(hardware)).toEqual({ source: 'measured', notes: [] });
    expect(hardware.choices).toEqual(new Map([['repeated', 'quick']]));
    const again = fresh({ adapter });
    expect((await apply(again)).source).toBe('cache');
    expect(again.choices).toEqual(hardware.choices);
  });
});
