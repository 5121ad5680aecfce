/** What a profile says: where the time on the device went, by operation and by layer, and a trace to look at. */

import type { AdapterSummary } from '../runtime/adapter.js';
import { countWork, type HostCalls, type Pass, type Profile, type Scope } from '../runtime/profile.js';

export const PROFILE_SCHEMA = 'deep-rfm/profile/1';

/** Passes summed up under a name. */
export interface ProfileGroup {
  op: string;
  /** How often the operation was called (for a kernel outside all operations: dispatched). */
  calls: number;
  passes: number;
  milliseconds: number;
  /** Of all time on the device. */
  share: number;
  /** Counted by the operation; null where it counts nothing. */
  flops: number | null;
  bytes: number | null;
  gflops: number | null;
  gbps: number | null;
}

export interface LayerTimes {
  /** null: outside all layers. */
  layer: number | null;
  milliseconds: number;
  phases: Record<string, number>;
}

export interface AgopThroughput {
  /** Rows whose gradients went into AGOPs. */
  rows: number;
  milliseconds: number;
  rowsPerSecond: number;
  gflops: number;
  /** What it consists of: the operations directly inside, and kernels outside them. */
  parts: ProfileGroup[];
}

export interface ProfilePass {
  layer: number | null;
  phase: string | null;
  /** Operations from the outermost in. */
  ops: string[];
  kernel: string;
  milliseconds: number;
  /** Of the innermost operation, where this pass is all of it. */
  flops: number | null;
  bytes: number;
}

export interface ProfileDocument {
  schema: typeof PROFILE_SCHEMA;
  version: string;
  command: string[];
  adapter: AdapterSummary;
  clock: Profile['clock'];
  /**
   * busy: sum of the passes, in which no shader is compiled; span: from the first pass to the end of the last; wall: of the
   * whole command on the device; compilation: of wall, what shaders took to be compiled.
   */
  milliseconds: { busy: number; span: number; wall: number; compilation?: number };
  calls: HostCalls;
  groups: ProfileGroup[];
  layers: LayerTimes[];
  agop: AgopThroughput | null;
  passes: ProfilePass[];
}

const chainOf = (scope: Scope | null): Scope[] => (scope ? [...chainOf(scope.parent), scope] : []);
const milliseconds = ({ start, end }: Pass): number => (end - start) / 1e6;
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Operations that compute an AGOP; estimates made on the way are none. */
const AGOP = new Set(['agop-gram', 'agop-jacobian']);

/**
 * Sums passes up by the operation at `depth` of their scopes (0 the outermost), or by kernel where there is none.
 * Work is counted from that depth inwards: what an operation reports, else the sum of what is inside it.
 */
function groupPasses(passes: readonly Pass[], scopes: readonly Scope[], depth: number, total: number): ProfileGroup[] {
  const groups = new Map<string, Pass[]>();
  for (const pass of passes) {
    const name = chainOf(pass.scope)[depth]?.op ?? pass.kernel;
    groups.set(name, [...(groups.get(name) ?? []), pass]);
  }
  return [...groups]
    .map(([op, own]): ProfileGroup => {
      const inside = scopes
        .map((scope) => chainOf(scope))
        .filter((chain) => chain[depth]?.op === op)
        // Scopes further out must not cover those that are counted here.
        .map((chain) => detached(chain.slice(depth)));
      const counted = countWork(inside);
      const time = sum(own.map(milliseconds));
      const rate = (count: number | null) => (count === null || time === 0 ? null : count / time / 1e6);
      return {
        op,
        calls: inside.filter(({ parent }) => parent === null).length || own.length,
        passes: own.length,
        milliseconds: time,
        share: total > 0 ? time / total : 0,
        flops: counted.flops,
        bytes: counted.bytes,
        gflops: rate(counted.flops),
        gbps: rate(counted.bytes),
      };
    })
    .sort((a, b) => b.milliseconds - a.milliseconds);
}

/** The last scope of a chain, with the chain's first as its outermost. */
const detached = (chain: readonly Scope[]): Scope =>
  chain.reduce<Scope | null>((parent, scope) => ({ ...scope, parent }), null)!;

function layerTimes(passes: readonly Pass[]): LayerTimes[] {
  const layers = new Map<number | null, LayerTimes>();
  for (const pass of passes) {
    const found = layers.get(pass.layer) ?? { layer: pass.layer, milliseconds: 0, phases: {} };
    const phase = pass.phase ?? 'other';
    found.milliseconds += milliseconds(pass);
    found.phases[phase] = (found.phases[phase] ?? 0) + milliseconds(pass);
    layers.set(pass.layer, found);
  }
  return [...layers.values()].sort((a, b) => (a.layer ?? 0) - (b.layer ?? 0));
}

function agopThroughput(passes: readonly Pass[], scopes: readonly Scope[]): AgopThroughput | null {
  const own = scopes.filter(({ op }) => AGOP.has(op));
  if (own.length === 0) return null;
  const inside = passes.filter(({ scope }) => chainOf(scope).some(({ op }) => AGOP.has(op)));
  const time = sum(inside.map(milliseconds));
  const rows = sum(own.map((scope) => scope.rows ?? 0));
  const { flops } = countWork(own);
  const depth = chainOf(own[0]).length;
  const within = scopes.filter((scope) => chainOf(scope).some(({ op }) => AGOP.has(op)));
  return {
    rows,
    milliseconds: time,
    rowsPerSecond: rows / (time / 1000),
    gflops: (flops ?? 0) / time / 1e6,
    parts: groupPasses(inside, within, depth, time),
  };
}

/** Passes of each scope, itself alone and not those inside it. */
function passCounts(passes: readonly Pass[]): Map<Scope, number> {
  const counts = new Map<Scope, number>();
  for (const { scope } of passes) if (scope) counts.set(scope, (counts.get(scope) ?? 0) + 1);
  return counts;
}

/** Sums a profile up. */
export function profileDocument(
  profile: Profile,
  about: Pick<ProfileDocument, 'version' | 'command' | 'adapter'> & { wall: number; compilation?: number },
): ProfileDocument {
  const { passes, scopes, clock, calls } = profile;
  const { wall, compilation, ...rest } = about;
  const busy = sum(passes.map(milliseconds));
  const first = passes.reduce((least, { start }) => Math.min(least, start), Number.POSITIVE_INFINITY);
  const last = passes.reduce((most, { end }) => Math.max(most, end), Number.NEGATIVE_INFINITY);
  const counts = passCounts(passes);
  return {
    schema: PROFILE_SCHEMA,
    ...rest,
    clock,
    milliseconds: {
      busy,
      span: passes.length > 0 ? (last - first) / 1e6 : 0,
      wall,
      ...(compilation !== undefined && { compilation }),
    },
    calls: { ...calls },
    groups: groupPasses(passes, scopes, 0, busy),
    layers: layerTimes(passes),
    agop: agopThroughput(passes, scopes),
    passes: passes.map((pass) => ({
      layer: pass.layer,
      phase: pass.phase,
      ops: chainOf(pass.scope).map(({ op }) => op),
      kernel: pass.kernel,
      milliseconds: milliseconds(pass),
      flops: pass.scope && counts.get(pass.scope) === 1 ? (pass.scope.flops ?? null) : null,
      bytes: pass.bytes,
    })),
  };
}

interface TraceEvent {
  name: string;
  ph: 'X' | 'M';
  pid: number;
  tid: number;
  /** Microseconds. */
  ts?: number;
  dur?: number;
  cat?: string;
  args?: Record<string, unknown>;
}

const [LAYERS, PHASES, PASSES] = [1, 2, 3];

/** Stretches of passes that follow each other with the same key. */
function stretches(
  passes: readonly Pass[],
  key: (pass: Pass) => string | null,
): [name: string, from: number, to: number][] {
  const found: [string, number, number][] = [];
  let last: string | null = null;
  for (const pass of passes) {
    const name = key(pass);
    if (name !== null && name === last) found[found.length - 1][2] = pass.end;
    else if (name !== null) found.push([name, pass.start, pass.end]);
    last = name;
  }
  return found;
}

/** The profile in the format of chrome://tracing and ui.perfetto.dev: layers, phases, and operations with their passes. */
export function chromeTrace({ passes, clock }: Profile, adapter: string): string {
  const origin = passes.reduce((least, { start }) => Math.min(least, start), Number.POSITIVE_INFINITY);
  const event = (
    name: string,
    cat: string,
    tid: number,
    [start, end]: readonly [start: number, end: number],
    args: Record<string, unknown> = {},
  ): TraceEvent => ({ name, cat, ph: 'X', pid: 1, tid, ts: (start - origin) / 1000, dur: (end - start) / 1000, args });
  const meta = (name: string, tid: number, value: string): TraceEvent => ({
    name,
    ph: 'M',
    pid: 1,
    tid,
    args: { name: value },
  });

  const spans = new Map<Scope, [start: number, end: number]>();
  for (const { scope, start, end } of passes) {
    for (const open of chainOf(scope)) {
      const span = spans.get(open) ?? [start, end];
      spans.set(open, [Math.min(span[0], start), Math.max(span[1], end)]);
    }
  }
  const rate = (count: number | undefined, [start, end]: [number, number]) =>
    count === undefined || end === start ? {} : { rate: `${(count / (end - start)).toPrecision(3)} GFLOP/s` };
  const events: TraceEvent[] = [
    ...stretches(passes, ({ layer }) => (layer === null ? null : `layer ${layer}`)).map(([name, from, to]) =>
      event(name, 'layer', LAYERS, [from, to]),
    ),
    ...stretches(passes, ({ layer, phase }) => (phase === null ? null : `${phase}\n${layer}`)).map(([name, from, to]) =>
      event(name.split('\n')[0], 'phase', PHASES, [from, to]),
    ),
    ...[...spans].map(([{ op, flops, bytes, rows }, span]) =>
      event(op, 'operation', PASSES, span, { flops, bytes, rows, ...rate(flops, span) }),
    ),
    ...passes.map((pass) => event(pass.kernel, 'pass', PASSES, [pass.start, pass.end], { bytes: pass.bytes })),
  ].sort((a, b) => a.tid - b.tid || a.ts! - b.ts! || b.dur! - a.dur!);
  return JSON.stringify({
    displayTimeUnit: 'ms',
    otherData: { adapter, clock },
    traceEvents: [
      meta('process_name', 0, adapter),
      meta('thread_name', LAYERS, 'layers'),
      meta('thread_name', PHASES, 'phases'),
      meta('thread_name', PASSES, 'operations and passes'),
      ...events,
    ],
  });
}
