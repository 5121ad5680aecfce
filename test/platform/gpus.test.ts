import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { installedSwiftshader } from '../../scripts/adapter-env.mjs';
import { allottedGpu } from '../../src/platform/node/allotted-gpu.js';
import { type Machine, pciAddress, type SelectableGpu, selectableGpus } from '../../src/platform/node/gpus.js';
import { fits, gpuChoice, gpuName, layerProblem, selectionEnv, whyNot } from '../../src/platform/node/select-gpu.js';

const folder = mkdtempSync(join(tmpdir(), 'deep-rfm-gpus-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ICDS = ['lvp', 'nvidia', 'radeon'].map((name) => `/usr/share/vulkan/icd.d/${name}_icd.json`);
const [LVP, NVIDIA, RADEON] = ICDS;
const SWIFT = { icds: ['/cache/vk_swiftshader_icd.json'], libraryDir: '/cache' };

interface Card {
  id: string;
  class?: string;
  minor?: number;
  uuid?: string;
  /** Number of its DRM node. */
  node?: number;
  /** Whether its device file is there. */
  file?: boolean;
}

let count = 0;

/** A machine with these PCI devices, in a folder that stands for its root. */
function machine(cards: Record<string, Card>, more: Partial<Machine> = {}): Machine {
  const root = join(folder, String(count++));
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  for (const [pci, { id, class: kind = '0x030200', minor, uuid = 'GPU-0', node, file = true }] of Object.entries(
    cards,
  )) {
    const [vendor, device] = id.split(':');
    write(`sys/devices/${pci}/class`, `${kind}\n`);
    write(`sys/devices/${pci}/vendor`, `0x${vendor}\n`);
    write(`sys/devices/${pci}/device`, `0x${device}\n`);
    mkdirSync(join(root, 'sys/bus/pci/devices'), { recursive: true });
    symlinkSync(`../../../devices/${pci}`, join(root, 'sys/bus/pci/devices', pci));
    if (minor !== undefined) {
      const facts = `Model: \t\t NVIDIA H100\nGPU UUID: \t ${uuid}\nBus Location: \t ${pci}\nDevice Minor: \t ${minor}\n`;
      write(`proc/driver/nvidia/gpus/${pci}/information`, facts);
      if (file) write(`dev/nvidia${minor}`, '');
    }
    if (node !== undefined) {
      write(`sys/devices/${pci}/drm/card${node}/dev`, '');
      write(`sys/devices/${pci}/drm/renderD${node}/dev`, '');
      if (file) write(`dev/dri/renderD${node}`, '');
    }
  }
  return { env: {}, platform: 'linux', root, icds: ICDS, swiftshader: SWIFT, ...more };
}

const CONSOLE: Card = { id: '1a03:2000', class: '0x030000', node: 128 };

/** A node of four equal GPUs; files of devices are not in the order of addresses. */
const four = (more: Partial<Machine> = {}, files = [0, 1, 2, 3]): Machine =>
  machine(
    Object.fromEntries([
      ['0000:02:00.0', CONSOLE],
      ...['0000:17:00.0', '0000:65:00.0', '0000:b1:00.0', '0001:17:00.0'].map((pci, i): [string, Card] => {
        const minor = [1, 0, 2, 3][i];
        return [pci, { id: '10de:2330', minor, uuid: `GPU-${i}aaa-bbbb`, file: files.includes(minor) }];
      }),
    ]),
    more,
  );

describe('pciAddress', () => {
  it.each([
    ['pci-0000_65_00_0', '0000:65:00.0'],
    ['pci-0000:65:00.0', '0000:65:00.0'],
    ['00000000:B1:00.1', '0000:b1:00.1'],
    ['65:00.0', '0000:65:00.0'],
    ['10000:e1:00.0', '10000:e1:00.0'],
  ])('%s', (text, address) => expect(pciAddress(text)).toBe(address));
  it.each(['', '0', 'pci-', 'pci-65', '0000:65:00', '0000:65:00.8', 'x65:00.0', 'GPU-17'])('refuses "%s"', (text) =>
    expect(pciAddress(text)).toBeNull(),
  );
});

describe('selectableGpus', () => {
  it('numbers GPUs by address, then software adapters, and leaves out what has no Vulkan driver', () => {
    const found = selectableGpus(four());
    expect(found.map(({ number, kind, pci, id, minor }) => [number, kind, pci, id, minor])).toEqual([
      [0, 'hardware', '0000:17:00.0', '10de:2330', 1],
      [1, 'hardware', '0000:65:00.0', '10de:2330', 0],
      [2, 'hardware', '0000:b1:00.0', '10de:2330', 2],
      [3, 'hardware', '0001:17:00.0', '10de:2330', 3],
      [4, 'lavapipe', null, null, null],
      [5, 'swiftshader', null, null, null],
    ]);
    expect(found[0].driver.icds).toEqual([NVIDIA]);
    expect(found[4].driver.icds).toEqual([LVP]);
    expect(found[5].driver).toEqual(SWIFT);
    expect(selectableGpus(four({ icds: [RADEON], swiftshader: null }))).toEqual([]);
  });

  it('leaves out GPUs that a container or a cgroup keeps from this process', () => {
    const found = selectableGpus(four({}, [2]));
    expect(found.map(({ number, pci }) => [number, pci])).toEqual([
      [0, '0000:b1:00.0'],
      [1, null],
      [2, null],
    ]);
    expect(found[0].place).toBe(2);
  });

  it('finds GPUs of other makers by their render nodes, and none that no kernel module drives', () => {
    const amd = machine({
      '0000:03:00.0': { id: '1002:73bf', class: '0x030000', node: 129 },
      '0000:04:00.0': { id: '1002:74a1', class: '0x120000', node: 130 },
      '0000:05:00.0': { id: '1002:73bf', class: '0x030000' },
      '0000:06:00.0': { id: '1002:1478', class: '0x060400', node: 131 },
    });
    const found = selectableGpus(amd).filter(({ kind }) => kind === 'hardware');
    expect(found.map(({ pci, minor }) => [pci, minor])).toEqual([
      ['0000:03:00.0', null],
      ['0000:04:00.0', null],
    ]);
  });

  it('keeps the numbers where DEEP_RFM_ADAPTER leaves fewer, and knows nothing of other systems', () => {
    expect(selectableGpus(four({ env: { DEEP_RFM_ADAPTER: 'swiftshader' } })).map(({ number }) => number)).toEqual([5]);
    expect(selectableGpus(four({ env: { DEEP_RFM_ADAPTER: 'hardware' } }))).toHaveLength(4);
    expect(selectableGpus(four({ platform: 'darwin' }))).toEqual([]);
  });
});

describe('allottedGpu', () => {
  const gpus = selectableGpus(four());
  const given = (env: NodeJS.ProcessEnv, from: readonly SelectableGpu[] = gpus) => {
    const found = allottedGpu(env, from);
    return found && [found.gpu?.pci ?? found.gpu?.kind ?? null, found.remark];
  };

  it.each<[Record<string, string>, string]>([
    [{ CUDA_VISIBLE_DEVICES: '0' }, '0000:17:00.0'],
    [{ CUDA_VISIBLE_DEVICES: '3' }, '0001:17:00.0'],
    [{ CUDA_VISIBLE_DEVICES: ' 2 ' }, '0000:b1:00.0'],
    [{ CUDA_VISIBLE_DEVICES: 'GPU-1aaa-bbbb' }, '0000:65:00.0'],
    [{ CUDA_VISIBLE_DEVICES: 'GPU-2A' }, '0000:b1:00.0'],
    [{ CUDA_VISIBLE_DEVICES: '00000000:65:00.0' }, '0000:65:00.0'],
    [{ CUDA_VISIBLE_DEVICES: 'pci-0000_b1_00_0' }, '0000:b1:00.0'],
    // Slurm counts device files, which are not in the order of addresses here.
    [{ SLURM_JOB_GPUS: '0' }, '0000:65:00.0'],
    [{ SLURM_JOB_GPUS: '1' }, '0000:17:00.0'],
    [{ SLURM_JOB_GPUS: '0', SLURM_STEP_GPUS: '3' }, '0001:17:00.0'],
    [{ SLURM_JOB_GPUS: '0', CUDA_VISIBLE_DEVICES: '2' }, '0000:b1:00.0'],
  ])('%j is %s', (env, pci) => expect(given(env)).toEqual([pci, null]));

  it('counts as CUDA does among those that this process may open, and as Slurm does among all', () => {
    const own = selectableGpus(four({}, [2]));
    expect(given({ CUDA_VISIBLE_DEVICES: '0', SLURM_JOB_GPUS: '2' }, own)).toEqual(['0000:b1:00.0', null]);
    expect(given({ SLURM_JOB_GPUS: '2' }, own)).toEqual(['0000:b1:00.0', null]);
  });

  it('takes the first of a list, and says so', () => {
    expect(given({ CUDA_VISIBLE_DEVICES: '2,0' })).toEqual([
      '0000:b1:00.0',
      'CUDA_VISIBLE_DEVICES=2,0 names 2 GPUs, and one run uses one: the first',
    ]);
    expect(given({ SLURM_JOB_GPUS: '2-3' })?.[0]).toBe('0000:b1:00.0');
  });

  it.each(['', '-1', 'NoDevFiles'])('takes a software adapter where "%s" allots no GPU', (value) => {
    expect(given({ CUDA_VISIBLE_DEVICES: value })).toEqual([
      'lavapipe',
      `CUDA_VISIBLE_DEVICES=${value} allots no GPU, so that a software adapter computes`,
    ]);
    const hardware = gpus.filter(({ kind }) => kind === 'hardware');
    expect(given({ CUDA_VISIBLE_DEVICES: value }, hardware)).toEqual([null, expect.stringContaining('no software')]);
    expect(given({ CUDA_VISIBLE_DEVICES: value }, gpus.slice(4))).toBeNull();
  });

  it.each<[string, string]>([
    ['4', 'found no such GPU, only 0 (0000:17:00.0), 1'],
    ['GPU-', 'found no such GPU'],
    ['GPU-ffff', 'found no such GPU'],
    ['one', 'found no such GPU'],
    ['MIG-12345', 'Vulkan cannot select'],
  ])('says that %s could not be chosen', (value, words) =>
    expect(given({ CUDA_VISIBLE_DEVICES: value })).toEqual([null, expect.stringContaining(words)]),
  );

  it('says that a GPU is named where none is there, and nothing where nothing is set', () => {
    expect(given({ SLURM_JOB_GPUS: '0' }, gpus.slice(4))).toEqual([
      null,
      expect.stringContaining('no GPU with a Vulkan'),
    ]);
    expect(given({})).toBeNull();
  });

  it('doubts an index where GPUs differ and CUDA sorts them by speed', () => {
    const mixed = selectableGpus(
      machine({ '0000:17:00.0': { id: '10de:1eb8', minor: 0 }, '0000:65:00.0': { id: '10de:2330', minor: 1 } }),
    );
    expect(given({ CUDA_VISIBLE_DEVICES: '0' }, mixed)).toEqual(['0000:17:00.0', expect.stringContaining('differ')]);
    const ordered = { CUDA_VISIBLE_DEVICES: '0', CUDA_DEVICE_ORDER: 'PCI_BUS_ID' };
    expect(given(ordered, mixed)).toEqual(['0000:17:00.0', null]);
  });

  it('counts GPUs of other makers by their places', () => {
    const amd = selectableGpus(
      machine({
        '0000:03:00.0': { id: '1002:73bf', node: 128, file: false },
        '0000:04:00.0': { id: '1002:73bf', node: 129 },
      }),
    );
    expect(given({ SLURM_JOB_GPUS: '1' }, amd)).toEqual(['0000:04:00.0', null]);
    expect(given({ SLURM_JOB_GPUS: '0' }, amd)?.[0]).toBeNull();
  });
});

describe('gpuChoice', () => {
  const chosen = (
    request: Parameters<typeof gpuChoice>[0],
    env: NodeJS.ProcessEnv = {},
    more: Partial<Machine> = {},
  ) => {
    const notes: string[] = [];
    const choice = gpuChoice({ note: (line) => notes.push(line), ...request }, four({ env, ...more }));
    return { number: choice?.gpu.number ?? null, explicit: choice?.explicit, source: choice?.source, notes };
  };

  it('takes --gpu before DEEP_RFM_GPU before what a scheduler set', () => {
    const env = { DEEP_RFM_GPU: '2', CUDA_VISIBLE_DEVICES: '3' };
    expect(chosen({ gpu: 'pci-0000_65_00_0' }, env)).toMatchObject({ number: 1, explicit: true });
    expect(chosen({ gpu: '5' }, env)).toMatchObject({ number: 5, explicit: true });
    expect(chosen({}, env)).toMatchObject({ number: 2, explicit: true, source: 'DEEP_RFM_GPU=2' });
    const scheduled = chosen({}, { CUDA_VISIBLE_DEVICES: '3' });
    expect(scheduled).toMatchObject({ number: 3, explicit: false, source: 'CUDA_VISIBLE_DEVICES=3', notes: [] });
    expect(chosen({})).toMatchObject({ number: null, notes: [] });
  });

  it('leaves the choice to who made it otherwise', () => {
    const env = { CUDA_VISIBLE_DEVICES: '3' };
    expect(chosen({ adapter: 'software' }, env).number).toBeNull();
    expect(chosen({}, { ...env, DEEP_RFM_ADAPTER: 'lavapipe' }).number).toBeNull();
    expect(chosen({}, { ...env, DRI_PRIME: '1' }).number).toBeNull();
    const lavapipe = { ...env, VK_DRIVER_FILES: LVP };
    expect(chosen({}, lavapipe, { icds: [LVP], swiftshader: null })).toMatchObject({ number: null, notes: [] });
  });

  it('warns where the choice cannot be made', () => {
    const { number, notes } = chosen({}, { CUDA_VISIBLE_DEVICES: '7' });
    expect(number).toBeNull();
    expect(notes).toEqual([
      expect.stringMatching(/^warning: CUDA_VISIBLE_DEVICES=7: found no such GPU, .*; the adapter is the first/),
    ]);
  });

  it('refuses a name of none, in one line', () => {
    expect(() => chosen({ gpu: '6' })).toThrow(
      /^--gpu 6: no such adapter, found GPU 0 at 0000:17:00.0 \(10de:2330\); .*SwiftShader; `deep-rfm doctor`/,
    );
    expect(() => chosen({ gpu: 'pci-0000:66:00.0' })).toThrow('no such adapter');
    expect(() => chosen({ gpu: '0' }, {}, { platform: 'darwin' })).toThrow('on Linux only');
    expect(() => chosen({}, { DEEP_RFM_GPU: 'first' })).toThrow('DEEP_RFM_GPU "first": expected a number');
    for (const wrong of ['', '-1', '1.5', 'all', 'pci-1', '0,1'])
      expect(() => gpuName('--gpu', wrong)).toThrow('expected a number');
  });
});

describe('selectionEnv', () => {
  const gpus = selectableGpus(four());
  const envOf = (number: number, explicit = true, from = gpus) => {
    const gpu = from.find((one) => one.number === number)!;
    const set = selectionEnv({ gpu, explicit, source: '' }, from, { LD_LIBRARY_PATH: '/old' });
    const { DEEP_RFM_DRIVER, ...rest } = set;
    return rest;
  };
  const icds = (...names: string[]) => ({ VK_DRIVER_FILES: names.join(':'), VK_ICD_FILENAMES: names.join(':') });
  const NO_LAYER = {
    DRI_PRIME: undefined,
    MESA_VK_DEVICE_SELECT: undefined,
    MESA_VK_DEVICE_SELECT_FORCE_DEFAULT_DEVICE: undefined,
  };

  it('names the address of one of several equal GPUs to Mesa’s layer', () => {
    expect(envOf(1)).toEqual({
      ...icds(NVIDIA),
      DRI_PRIME: 'pci-0000_65_00_0',
      MESA_VK_DEVICE_SELECT: undefined,
      MESA_VK_DEVICE_SELECT_FORCE_DEFAULT_DEVICE: '1',
    });
  });

  it('selects by the driver alone where that is enough', () => {
    expect(envOf(4)).toEqual({ ...icds(LVP), ...NO_LAYER });
    expect(envOf(5)).toEqual({
      ...icds('/cache/vk_swiftshader_icd.json'),
      LD_LIBRARY_PATH: '/cache:/old',
      ...NO_LAYER,
    });
    const two = selectableGpus(
      machine({ '0000:03:00.0': { id: '1002:73bf', node: 128 }, '0000:65:00.0': { id: '10de:2330', minor: 0 } }),
    );
    expect(envOf(0, true, two)).toEqual({ ...icds(RADEON), ...NO_LAYER });
    expect(envOf(1, false, two)).toEqual({ ...icds(NVIDIA), ...NO_LAYER });
  });

  it('changes nothing for the only GPU that a scheduler could mean', () => {
    expect(envOf(0, false, selectableGpus(four({}, [2])))).toEqual({});
  });
});

describe('what was opened', () => {
  const gpus = selectableGpus(four());
  const nvidia = { vendor: 'nvidia', architecture: 'hopper', description: 'NVIDIA: 580.159' };
  const lavapipe = { vendor: 'mesa', architecture: 'software', description: 'llvmpipe: Mesa 25.0.7' };

  it('is compared by driver and maker', () => {
    expect(gpus.map((gpu) => fits(gpu, nvidia))).toEqual([true, true, true, true, false, false]);
    expect(gpus.map((gpu) => fits(gpu, { ...nvidia, vendor: 'amd' }))).toEqual(gpus.map(() => false));
    expect(gpus.map((gpu) => fits(gpu, lavapipe))).toEqual([false, false, false, false, true, false]);
  });

  const LIST = `selectable devices:
  GPU 0: 10de:2330 "NVIDIA H100" discrete GPU 0000:17:00.0
  GPU 1: 10de:2330 "NVIDIA H100" discrete GPU 0000:65:00.0
`;
  const SAID = 'device-select: device_select_find_dri_prime_tag_default selected';

  it('is told by the layer, or not at all', () => {
    expect(whyNot(`${LIST}${SAID} 1\n`, '0000:65:00.0')).toBeNull();
    expect(whyNot(`${LIST}${SAID} 0\n`, '0000:65:00.0')).toContain('Vulkan shows GPUs at 0000:17:00.0, 0000:65:00.0');
    expect(whyNot(LIST, '0000:b1:00.0')).toContain('and not this one');
    // Without the layer, and with that of Mesa 22.3, which says nothing.
    expect(whyNot('', '0000:65:00.0')).toContain('mesa-vulkan-drivers');
  });
});

const swiftshader = installedSwiftshader();
const compiler = spawnSync('cc', ['--version']).status === 0;
const layer = ['/usr/share', '/usr/local/share', '/etc'].some(
  (root) => spawnSync('test', ['-e', `${root}/vulkan/implicit_layer.d/VkLayer_MESA_device_select.json`]).status === 0,
);
const MISSING = [swiftshader ? '' : 'SwiftShader', compiler ? '' : 'a C compiler', layer ? '' : "Mesa's layer"]
  .filter(Boolean)
  .join(' and ');

/** Opens a device, and says nothing. */
const OPEN = `
  const { create } = await import(process.argv[1]);
  const gpu = create([]);
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  const device = await adapter.requestDevice();
  device.destroy();
  await device.lost;`;

describe.skipIf(MISSING !== '')(`equal GPUs${MISSING && ` (left out: ${MISSING} is not here)`}`, () => {
  /** Two GPUs of one name: SwiftShader, twice, with a PCI address each. */
  function pair(): Machine {
    const source = fileURLToPath(new URL('../fixtures/pci-gpu.c', import.meta.url));
    const driver = join(swiftshader!.libraryDir!, 'libvk_swiftshader.so');
    const icds = ['17', '65'].map((bus) => {
      const library = join(folder, `libgpu${bus}.so`);
      const flags = ['-shared', '-fPIC', `-DDRIVER="${driver}"`, `-DBUS=0x${bus}`];
      execFileSync('cc', [...flags, source, '-o', library, '-ldl']);
      const icd = join(folder, `nvidia_${bus}.json`);
      writeFileSync(
        icd,
        JSON.stringify({ file_format_version: '1.0.0', ICD: { library_path: library, api_version: '1.3.0' } }),
      );
      return icd;
    });
    const cards = { '0000:17:00.0': { id: '10de:2330', minor: 0 }, '0000:65:00.0': { id: '10de:2330', minor: 1 } };
    return machine(cards, { icds, swiftshader: null });
  }

  it('are opened by their addresses, which Dawn knows nothing of', async () => {
    const gpus = selectableGpus(pair());
    for (const [number, bus] of ['17', '65'].entries()) {
      const log = join(folder, `opened-${bus}`);
      const env = { ...process.env, ...selectionEnv({ gpu: gpus[number], explicit: true, source: '' }, gpus, {}) };
      expect(await layerProblem(gpus[number], env)).toBeNull();
      const webgpu = import.meta.resolve?.('webgpu') ?? 'webgpu';
      execFileSync(process.execPath, ['--input-type=module', '-e', OPEN, webgpu], {
        env: { ...env, PCI_GPU_LOG: log },
      });
      expect(readFileSync(log, 'utf8')).toBe(`${bus}\n`);
    }
  }, 60_000);

  it('are not taken for one another where the layer shows no such address, or is switched off', async () => {
    const gpus = selectableGpus(pair());
    const env = { ...process.env, ...selectionEnv({ gpu: gpus[1], explicit: true, source: '' }, gpus, {}) };
    const elsewhere = { ...gpus[1], pci: '0000:99:00.0' };
    expect(await layerProblem(elsewhere, { ...env, DRI_PRIME: 'pci-0000_99_00_0' })).toContain('and not this one');
    expect(await layerProblem(gpus[1], { ...env, NODEVICE_SELECT: '1' })).toContain('device-select layer');
  }, 60_000);
});
