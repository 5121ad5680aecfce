import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { installedSwiftshader, isLavapipeIcd, systemIcds } from '../../scripts/adapter-env.mjs';
import { buildProgram, clusters, deepRfm, writeArrays } from './program.js';

const folder = mkdtempSync(join(tmpdir(), 'deep-rfm-gpu-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const { x, y } = clusters(12, 4, 2);
writeArrays(folder, { X: [[12, 4], x], Y: [[12, 2], y] });
beforeAll(buildProgram);

const MISSING = [
  systemIcds().some(isLavapipeIcd) ? '' : 'lavapipe',
  installedSwiftshader() ? '' : 'SwiftShader (`DEEP_RFM_ADAPTER=swiftshader npm run setup` installs it)',
]
  .filter(Boolean)
  .join(' and ');

/** Whatever the tests themselves run on. */
const env: NodeJS.ProcessEnv = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) => !/^(VK_|DRI_PRIME|LD_LIBRARY_PATH|DEEP_RFM_|CUDA_|SLURM_|MESA_VK)/.test(name),
  ),
);

const RUN = 'run --n 20 --test-n 10 --depth 1 --width 16 --gram-layers none --no-tune --no-figures'.split(' ');
/** With few kernels, which SwiftShader compiles in every process again. */
const FIT = `rfm --x ${join(folder, 'X.npy')} --y ${join(folder, 'Y.npy')} --iterations 0 --no-tune`.split(' ');

describe.skipIf(MISSING !== '')(`--gpu${MISSING && ` (left out: ${MISSING} is not here)`}`, () => {
  /** What doctor calls the two. */
  let lavapipe = '';
  let swiftshader = '';
  beforeAll(async () => {
    const { code, stdout } = await deepRfm(['doctor', '--json'], { env });
    expect(code).toBe(0);
    const { adapters } = JSON.parse(stdout);
    const numberOf = (name: RegExp) =>
      adapters.find(({ description, check }: { description: string; check: { works: boolean } }) => {
        return name.test(description) && check.works;
      })?.gpu;
    lavapipe = String(numberOf(/llvmpipe/));
    swiftshader = String(numberOf(/SwiftShader/));
  });

  /** The description in metrics.json. */
  async function adapterOf(args: string[], more: NodeJS.ProcessEnv = {}): Promise<string> {
    const out = mkdtempSync(join(folder, 'out-'));
    const { code, stderr } = await deepRfm([...args, '--out', out], { env: { ...env, ...more } });
    expect(code, stderr.join('\n')).toBe(0);
    return JSON.parse(readFileSync(join(out, 'metrics.json'), 'utf8')).adapter.description;
  }

  it('runs on the adapter that is asked for, two at once', async () => {
    const found = await Promise.all([
      adapterOf([...RUN, '--gpu', lavapipe]),
      adapterOf([...FIT, '--gpu', swiftshader]),
    ]);
    expect(found).toEqual([expect.stringContaining('llvmpipe'), expect.stringContaining('SwiftShader')]);
  });

  it('takes it from the environment, too', async () => {
    expect(await adapterOf(FIT, { DEEP_RFM_GPU: swiftshader })).toContain('SwiftShader');
    expect(await adapterOf([...FIT, '--gpu', lavapipe], { DEEP_RFM_GPU: swiftshader })).toContain('llvmpipe');
  });

  it('refuses what is not there and what is no adapter, in one line', async () => {
    const absent = await deepRfm([...RUN, '--gpu', 'pci-0000:ff:1f.7', '--out', join(folder, 'e')], { env });
    expect(absent.code).toBe(3);
    expect(absent.stderr.filter((line) => line.startsWith('deep-rfm: '))).toEqual([
      expect.stringMatching(/^deep-rfm: --gpu 0000:ff:1f\.7: no such adapter, found .*lavapipe.*SwiftShader/),
    ]);
    const wrong = await deepRfm([...RUN, '--gpu', 'first', '--out', join(folder, 'e')], { env });
    expect(wrong).toMatchObject({ code: 2, stderr: [expect.stringContaining('--gpu "first": expected a number')] });
    const other = await deepRfm([...RUN, '--gpu', lavapipe, '--adapter', 'hardware', '--out', join(folder, 'e')], {
      env,
    });
    expect(other).toMatchObject({ code: 3 });
    expect(other.stderr.at(-1)).toContain('found only llvmpipe');
  });

  it('says where a scheduler allotted what cannot be selected', async () => {
    const out = join(folder, 'f');
    const { code, stderr } = await deepRfm([...RUN, '--out', out], { env: { ...env, CUDA_VISIBLE_DEVICES: 'MIG-1' } });
    expect(code).toBe(0);
    expect(stderr.filter((line) => line.startsWith('warning: '))).toEqual([
      expect.stringMatching(/^warning: CUDA_VISIBLE_DEVICES=MIG-1/),
    ]);
  });
});
