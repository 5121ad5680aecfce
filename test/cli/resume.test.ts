import { cpSync, mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { LOCK } from '../../scripts/leftovers.mjs';
import { readCheckpoint, writeCheckpoint } from '../../src/data/checkpoint.js';
import { buildProgram, clusters, deepRfm, deepRfmHere, workFolder, writeArrays } from './program.js';

const cwd = workFolder();
const STATE = join('checkpoint', 'state.bin');
const format = { command: 'run', layout: 5 };
const base = 'run --n 100 --test-n 51 --depth 4 --width 62 --gram-layers 1,4 --no-figures'.split(' ');
const run = (out: string, ...more: string[]) => deepRfm([...base, '--out', out, ...more], { cwd });
const runHere = (out: string, ...more: string[]) => deepRfmHere([...base, '--out', out, ...more], { cwd });
const killed = (out: string, when: RegExp, ...more: string[]) =>
  deepRfm([...base, '--out', out, ...more], { cwd, kill: { when, signal: 'SIGKILL' } });
const entries = (out: string): string[] => readdirSync(join(cwd, out)).sort();

/** metrics.json without times and memory, as text: equal text is equal bits. */
function metricsOf(out: string): string {
  const metrics = JSON.parse(readFileSync(join(cwd, out, 'metrics.json'), 'utf8'));
  delete metrics.memory;
  return JSON.stringify(metrics, (key, value) => (key === 'seconds' ? undefined : value));
}

/** Layers in the checkpoint of a folder. On a busy machine a run may get further than the line at which it is killed. */
function layersKept(out: string): number {
  const { header } = readCheckpoint(join(cwd, out, STATE), format);
  return (header as { layers: unknown[] }).layers.length;
}

/** A folder with the checkpoint after the first layers, changed in some way. */
let copies = 0;
function changed(change: (state: string) => void): string {
  const out = `changed-${++copies}`;
  mkdirSync(join(cwd, out));
  cpSync(join(cwd, 'one', 'checkpoint'), join(cwd, out, 'checkpoint'), { recursive: true });
  change(join(cwd, out, STATE));
  return out;
}

function rewritten(change: (header: Record<string, unknown>) => object): string {
  return changed((state) => {
    const { header, arrays } = readCheckpoint(state, format);
    const old = header as Record<string, unknown>;
    const list = [...arrays].map(([name, data]) => ({ name, data }));
    writeCheckpoint(state, format, { ...old, ...change(old) }, list);
  });
}

/** Resuming is refused with one line and exit code 2, and the checkpoint stays. */
async function refused(out: string, ...more: string[]): Promise<string> {
  const before = readFileSync(join(cwd, out, STATE));
  const { code, stdout, stderr } = await runHere(out, '--resume', '--quiet', ...more);
  expect({ code, stdout, lines: stderr.length }).toEqual({ code: 2, stdout: '', lines: 1 });
  expect(readFileSync(join(cwd, out, STATE))).toEqual(before);
  expect(entries(out)).toEqual(['checkpoint']);
  return stderr[0]!;
}

beforeAll(async () => {
  await buildProgram();
  const [whole, one] = await Promise.all([run('whole'), killed('one', /^layer 1\//m)]);
  expect([whole.code, one.signal]).toEqual([0, 'SIGKILL']);
});

describe('run --resume', () => {
  it('gives the same bits after kill -9 in two layers', async () => {
    expect(entries('whole')).not.toContain('checkpoint');
    const out = changed(() => {});
    const first = layersKept(out);
    const second = await killed(out, new RegExp(`^layer ${first + 1}/`, 'm'), '--resume');
    expect(second.signal).toBe('SIGKILL');
    expect(second.stderr).toContain(`resumed  after layer ${first} of 4`);
    expect(second.stderr.join('\n')).not.toMatch(new RegExp(`^layer ${first}/`, 'm'));
    // Nothing but the checkpoint: a killed run has no half of its results.
    expect(entries(out)).toEqual([LOCK, 'checkpoint']);
    // What a kill in the middle of a write leaves.
    writeFileSync(join(cwd, out, 'checkpoint', '.tmp-1-00'), 'part');
    const kept = layersKept(out);
    expect(kept).toBeGreaterThan(first);
    const last = await run(out, '--resume');
    expect(last.code).toBe(0);
    expect(last.stderr).toContain(`resumed  after layer ${kept} of 4`);
    expect(metricsOf(out)).toBe(metricsOf('whole'));
    expect(entries(out)).toEqual(entries('whole'));
    for (const name of ['gram-layer-01.png', 'gram-layer-04.png']) {
      expect(readFileSync(join(cwd, out, name))).toEqual(readFileSync(join(cwd, 'whole', name)));
    }
    const before = entries(out).map((name) => statSync(join(cwd, out, name)).mtimeMs);
    const finished = await runHere(out, '--resume', '--json');
    expect([finished.code, finished.stderr]).toEqual([0, []]);
    expect(JSON.parse(finished.stdout)).toEqual({
      ...JSON.parse(readFileSync(join(cwd, out, 'metrics.json'), 'utf8')),
      out,
      files: entries(out),
    });
    expect(entries(out).map((name) => statSync(join(cwd, out, name)).mtimeMs)).toEqual(before);
    const deeper = await runHere(out, '--resume', '--depth', '6');
    const rows = await runHere(out, '--resume', '--test-n', '50', '--tile', '1MiB');
    const predictions = await runHere(out, '--resume', '--save-predictions');
    expect([deeper.code, rows.code, predictions.code]).toEqual([2, 2, 2]);
    expect(deeper.stderr.at(-1)).toMatch(/another configuration \(--depth: 4 in the finished run, now 6\)/);
    expect(rows.stderr.at(-1)).toMatch(/--test-n: 51 in the finished run, now 50; --tile: null in the/);
    expect(predictions.stderr.at(-1)).toMatch(/is finished, without --save-predictions/);
    const { made: _, ...document } = JSON.parse(readFileSync(join(cwd, out, 'metrics.json'), 'utf8'));
    for (const [given, message] of [
      [document, /metrics\.json: does not say which settings and rows it was made of/],
      [{ ...document, version: '0.0.9' }, /is of a run that another version finished \(0\.0\.9, /],
    ] as const) {
      writeFileSync(join(cwd, out, 'metrics.json'), JSON.stringify(given));
      const unknown = await runHere(out, '--resume');
      expect([unknown.code, unknown.stderr.at(-1)]).toEqual([2, expect.stringMatching(message)]);
    }
  });
});

describe('run with a checkpoint', () => {
  it('keeps the whole layers on SIGINT, and says so', async () => {
    const { code, stderr } = await deepRfm([...base, '--depth', '1000', '--out', 'stopped'], {
      cwd,
      kill: { when: /^layer +2\//m, signal: 'SIGINT' },
    });
    expect(code).toBe(130);
    expect(stderr.at(-1)).toMatch(
      /^deep-rfm: interrupted by SIGINT; no results were written, layers 1 to \d+ are kept in .+: the same command with --resume goes on$/,
    );
    expect(entries('stopped')).toEqual(['checkpoint']);
    expect(readdirSync(join(cwd, 'stopped', 'checkpoint'))).toEqual(['state.bin']);
  });

  it('refuses a checkpoint that is damaged, cut short or of another version', async () => {
    const size = readFileSync(join(cwd, 'one', STATE)).length;
    const flipped = changed((state) => {
      const bytes = readFileSync(state);
      bytes[size >> 1]! ^= 4;
      writeFileSync(state, bytes);
    });
    const cut = changed((state) => truncateSync(state, size - 1));
    const old = rewritten(() => ({ version: '0.0.9' }));
    const lines: string[] = [];
    for (const out of [flipped, cut, old]) lines.push(await refused(out));
    expect(lines[0]).toBe(
      `deep-rfm: --resume ${join(flipped, STATE)}: the checkpoint is damaged or cut short (its checksum does not fit); delete it, or start again without --resume`,
    );
    expect(lines[1]).toContain(`cut short (${size - 1} bytes, expected ${size}); delete it`);
    expect(lines[2]).toMatch(
      /was made by deep-rfm 0\.0\.9 with webgpu .+, this is .+; delete it, or start again without --resume$/,
    );
  });

  it('refuses another configuration with what differs, other rows, and another adapter', async () => {
    const adapter = { vendor: 'v', architecture: 'a', device: 'Another GPU', description: '', type: 'hardware' };
    const lines = [
      await refused(
        changed(() => {}),
        '--depth',
        '6',
        '--seed',
        '5',
        '--no-tune',
      ),
      await refused(rewritten(() => ({ fingerprints: { 'training rows': 'x', 'test rows': 'y' } }))),
      await refused(rewritten(() => ({ adapter }))),
    ];
    expect(lines[0]).toContain(
      '(--depth: 4 in the checkpoint, now 6; --seed: 0 in the checkpoint, now 5; --no-tune: false in the checkpoint, now true); use the same flags',
    );
    expect(lines[1]).toContain('(the values of the training rows and of the test rows differ)');
    expect(lines[2]).toMatch(/was made on another adapter \(Another GPU with/);
  });

  it('begins where there is no checkpoint, and needs a place for one', async () => {
    mkdirSync(join(cwd, 'taken'));
    writeFileSync(join(cwd, 'taken', 'checkpoint'), 'mine');
    // Killed before its first layer: a lock and an empty folder.
    const early = await killed('early', /^output /m);
    expect(early.signal).toBe('SIGKILL');
    expect(entries('early')).toContain(LOCK);
    const [begun, taken] = [await runHere('early', '--resume'), await runHere('taken', '--quiet')];
    expect(begun.stderr.slice(0, 2)).toEqual([
      expect.stringMatching(
        /^note: early was left by `deep-rfm run .+` \(process \d+ on .+\), which is gone; taken over$/,
      ),
      'note: there is nothing to go on from in early yet: beginning',
    ]);
    expect(begun.code).toBe(0);
    expect(metricsOf('early')).toBe(metricsOf('whole'));
    expect(entries('early')).toEqual(entries('whole'));
    expect(taken.code).toBe(2);
    expect(taken.stderr[0]).toContain('expected a folder, but it is a file');
    expect(readFileSync(join(cwd, 'taken', 'checkpoint'), 'utf8')).toBe('mine');
  });

  it('without --resume starts afresh over a checkpoint of another run', async () => {
    const { x, labels } = clusters(40, 6, 3);
    writeArrays(cwd, { X: [[40, 6], x], labels: [[40], labels] });
    const out = changed(() => {});
    const args = `run --dataset npy --x X.npy --y labels.npy --width 16 --depth 1 --quiet --out ${out}`;
    expect((await deepRfmHere(args.split(' '), { cwd })).code).toBe(0);
    expect(JSON.parse(readFileSync(join(cwd, out, 'metrics.json'), 'utf8')).config.n).toBe(40);
    expect(entries(out)).not.toContain('checkpoint');
  });
});
