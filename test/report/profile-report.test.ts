import { describe, expect, it } from 'vitest';
import { chromeTrace, profileDocument } from '../../src/report/profile-report.js';
import type { AdapterSummary } from '../../src/runtime/adapter.js';
import type { Pass, Profile, Scope } from '../../src/runtime/profile.js';

const adapter: AdapterSummary = { vendor: 'v', architecture: 'a', device: 'd', description: 'D', type: 'hardware' };

const agop: Scope = { op: 'agop-gram', flops: 6e6, rows: 10, parent: null };
const syrk: Scope = { op: 'syrk', flops: 4e6, bytes: 1000, parent: agop };
const gemm: Scope = { op: 'gemm', flops: 1e6, parent: agop };
const root: Scope = { op: 'sqrt-psd', parent: null };
const step: Scope = { op: 'gemm', flops: 2e6, parent: root };

let clock = 5_000_000;
/** A pass of so many milliseconds, 1 ms after the one before. */
function pass(
  kernel: string,
  scope: Scope | null,
  milliseconds: number,
  layer: number | null,
  phase: string | null,
): Pass {
  const start = clock + 1e6;
  clock = start + milliseconds * 1e6;
  return { kernel, scope, start, end: clock, bytes: 8, layer, phase };
}

const profile = {
  detail: 'dispatch',
  clock: 'gpu',
  calls: { submits: 3, readbacks: 2, readbackBytes: 40 },
  scopes: [agop, syrk, gemm, root, step],
  passes: [
    pass('upload', null, 1, null, null),
    pass('gemm_nt', syrk, 4, 1, 'agop'),
    pass('transpose', gemm, 1, 1, 'agop'),
    pass('gemm_nt', gemm, 2, 1, 'agop'),
    pass('scale', agop, 1, 1, 'agop'),
    pass('gemm_nt', step, 1, 2, 'sqrt'),
  ],
} as unknown as Profile;
const document = profileDocument(profile, { version: '1', command: ['run'], adapter, wall: 100 });

describe('profileDocument', () => {
  it('groups passes by the outermost operation, or by kernel', () => {
    expect(document.groups.map(({ op, passes, milliseconds }) => [op, passes, milliseconds])).toEqual([
      ['agop-gram', 4, 8],
      ['upload', 1, 1],
      ['sqrt-psd', 1, 1],
    ]);
    expect(document.groups.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 12);
  });

  it('counts what an operation reports, else what is inside it', () => {
    const [gram, upload, sqrt] = document.groups;
    expect(gram).toMatchObject({ calls: 1, flops: 6e6, bytes: 1000 });
    expect(gram.gflops).toBeCloseTo(6e6 / 8e6, 12);
    expect(upload).toMatchObject({ flops: null, gflops: null });
    expect(sqrt.flops).toBe(2e6);
  });

  it('adds up layers and their phases', () => {
    expect(document.layers).toEqual([
      { layer: null, milliseconds: 1, phases: { other: 1 } },
      { layer: 1, milliseconds: 8, phases: { agop: 8 } },
      { layer: 2, milliseconds: 1, phases: { sqrt: 1 } },
    ]);
    expect(document.milliseconds).toEqual({ busy: 10, span: 15, wall: 100 });
    expect(document.calls).toEqual({ submits: 3, readbacks: 2, readbackBytes: 40 });
  });

  it('gives the throughput of the AGOP and its parts', () => {
    expect(document.agop).toMatchObject({ rows: 10, milliseconds: 8 });
    expect(document.agop?.rowsPerSecond).toBeCloseTo(1250, 9);
    expect(document.agop?.gflops).toBeCloseTo(0.75, 12);
    expect(document.agop?.parts.map(({ op, milliseconds, flops }) => [op, milliseconds, flops])).toEqual([
      ['syrk', 4, 4e6],
      ['gemm', 3, 1e6],
      ['scale', 1, null],
    ]);
  });

  it('lists every pass; operations of several passes are not credited to one of them', () => {
    expect(document.passes.map(({ ops, flops }) => [ops.join('/'), flops])).toEqual([
      ['', null],
      ['agop-gram/syrk', 4e6],
      ['agop-gram/gemm', null],
      ['agop-gram/gemm', null],
      ['agop-gram', 6e6],
      ['sqrt-psd/gemm', 2e6],
    ]);
  });

  it('of nothing is empty', () => {
    const empty = profileDocument(
      { ...profile, passes: [], scopes: [] },
      { version: '1', command: ['run'], adapter, wall: 1 },
    );
    expect(empty).toMatchObject({ groups: [], layers: [], agop: null, milliseconds: { busy: 0, span: 0 } });
  });
});

describe('chromeTrace', () => {
  const trace = JSON.parse(chromeTrace(profile, 'an adapter'));
  type Event = { name: string; cat: string; ph: string; tid: number; ts: number; dur: number };
  const events: Event[] = trace.traceEvents.filter(({ ph }: Event) => ph === 'X');
  const of = (cat: string) => events.filter((event) => event.cat === cat);

  it('has every pass, from time 0 on, in microseconds', () => {
    expect(of('pass').map(({ name, ts, dur }) => [name, ts, dur])).toEqual([
      ['upload', 0, 1000],
      ['gemm_nt', 2000, 4000],
      ['transpose', 7000, 1000],
      ['gemm_nt', 9000, 2000],
      ['scale', 12000, 1000],
      ['gemm_nt', 14000, 1000],
    ]);
  });

  it('nests passes in operations, and shows layers and phases', () => {
    const spans = of('operation').map(({ name, ts, dur }) => [name, ts, dur]);
    expect(spans).toContainEqual(['agop-gram', 2000, 11000]);
    expect(spans).toContainEqual(['gemm', 7000, 4000]);
    // On one track an event lies inside another or beside it.
    const track = [...of('operation'), ...of('pass')];
    for (const a of track) {
      for (const b of track) {
        const apart = a.ts + a.dur <= b.ts || b.ts + b.dur <= a.ts;
        const inside = (x: Event, y: Event) => x.ts >= y.ts && x.ts + x.dur <= y.ts + y.dur;
        expect(apart || inside(a, b) || inside(b, a)).toBe(true);
      }
    }
    expect(of('layer').map(({ name }) => name)).toEqual(['layer 1', 'layer 2']);
    expect(of('phase').map(({ name }) => name)).toEqual(['agop', 'sqrt']);
  });
});
