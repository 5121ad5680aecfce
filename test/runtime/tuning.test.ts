import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { transpose } from '../../src/ops/elementwise/transpose.js';
import { OPERATIONS } from '../../src/ops/operations.js';
import { writeFileAtomic } from '../../src/report/atomic.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { allocate, release, upload } from '../../src/runtime/matrix.js';
import {
  applyTuning,
  measureVariants,
  readTuning,
  type TunedOperation,
  type TuningIdentity,
  tuningFileName,
  writeTuning,
} from '../../src/runtime/tuning.js';
import { useGpu } from '../support/gpu.js';

const opened = useGpu();
const root = mkdtempSync(join(tmpdir(), 'deep-rfm-tuning-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let folder = '';
let count = 0;
beforeEach(() => {
  folder = join(root, String(count++));
  mkdirSync(folder);
});

/** Transposes as often as the variant says: so much more often that which is faster is no question on a busy machine, either. */
const repeated: TunedOperation = {
  operation: {
    op: 'repeated',
    variants: [
      { name: 'slow', usable: () => true },
      { name: 'quick', usable: () => true },
      { name: 'wide', usable: ({ lanes }) => lanes > 1000 },
    ],
  },
  prepare(gpu, n) {
    const [a, out] = [upload(gpu, n, n, new Float32Array(n * n)), allocate(gpu, n, n)];
    return {
      record(batch) {
        const times = batch.gpu.choices.get('repeated') === 'slow' ? 400 : 1;
        for (let i = 0; i < times; i++) transpose(batch, a, out);
      },
      release: () => release(gpu, a, out),
    };
  },
};

const identity = (gpu: Gpu, version = '1.0.0'): TuningIdentity => ({ adapter: gpu.adapter, version, webgpu: '0.6.2' });
const fresh = (fields: Partial<Gpu> = {}): Gpu => ({ ...opened(), choices: new Map(), ...fields });
const plan = { n: 64, samples: 2, budget: Number.POSITIVE_INFINITY };
const chosen = (choices: Record<string, string>) => ({ choices: new Map(Object.entries(choices)), measured: [] });
const file = (gpu: Gpu) => join(folder, 'tuning', tuningFileName(identity(gpu)));

describe('measureVariants', () => {
  it('finds the fastest of those the adapter can run, and leaves the choices alone', async () => {
    const gpu = fresh();
    const live = gpu.pool.bytes.live;
    const seen: string[] = [];
    const { choices, measured } = await measureVariants(gpu, [repeated], plan, (op, name) =>
      seen.push(`${op} ${name}`),
    );
    expect(choices).toEqual(new Map([['repeated', 'quick']]));
    expect(seen).toEqual(['repeated slow', 'repeated quick']);
    expect(measured.map(({ variant }) => variant)).toEqual(['slow', 'quick']);
    expect(measured[0].milliseconds).toBeGreaterThan(measured[1].milliseconds);
    expect(gpu.choices.size).toBe(0);
    expect(gpu.pool.bytes.live).toBe(live);
  });

  it('decides nothing that its budget does not reach, nor where there is nothing to decide', async () => {
    const none = await measureVariants(fresh(), [repeated], { ...plan, budget: -1 });
    expect(none).toEqual({ choices: new Map(), measured: [] });
    const single = {
      ...repeated,
      operation: { ...repeated.operation, variants: repeated.operation.variants.slice(1) },
    };
    expect((await measureVariants(fresh(), [single], plan)).choices.size).toBe(0);
  });

  it('measures every operation that has variants here', async () => {
    const { choices, measured } = await measureVariants(fresh(), OPERATIONS, plan);
    for (const { milliseconds } of measured) expect(milliseconds).toBeGreaterThan(0);
    for (const { operation } of OPERATIONS) {
      const usable = operation.variants.filter((variant) => variant.usable(opened())).map(({ name }) => name);
      if (usable.length > 1) expect(usable).toContain(choices.get(operation.op));
    }
    // With nothing cached by the driver, compiling them all takes most of a minute on two cores.
  }, 240_000);
});

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
  const apply = (gpu: Gpu) => applyTuning(gpu, identity(gpu), [repeated], writeFileAtomic, [folder], plan);

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
  }, 240_000);
});
