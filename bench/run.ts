import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeNpy } from '../src/data/npy.js';
import { inputError, RfmError } from '../src/errors.js';
import { OPERATIONS } from '../src/ops/operations.js';
import type { TuningOutcome } from '../src/platform/node/tuning-files.js';
import type { BenchDocument, BenchPeer, BenchResult, HostCost } from '../src/report/bench-document.js';
import { BENCH_SCHEMA } from '../src/report/bench-document.js';
import type { Gpu } from '../src/runtime/gpu.js';
import { usableVariants, variantOf } from '../src/runtime/variants.js';
import { type BenchCase, type CaseRequest, OPS, type OpName, type Prepared } from './case.js';
import { deepRfmCases } from './cases/deep-rfm.js';
import { agopCases, featuresCases, kernelMatrixCases, sqrtCases } from './cases/kernel-machine.js';
import { layerCases } from './cases/layer.js';
import { choleskyCases, gemmCases, syrkCases, trsmCases } from './cases/linear-algebra.js';
import { agopProbeCases, mlpStepCases, resnetStepCases } from './cases/networks.js';
import { predictCases } from './cases/predict.js';
import { ridgesCases } from './cases/ridges.js';
import { tabularCases } from './cases/tabular.js';
import { type Ceilings, measureCeilings } from './ceilings.js';
import { compareResults } from './compare.js';
import { hostCost } from './host-cost.js';
import { clockRemark, type Measurement, measureCase } from './measure.js';
import { REASONS, SHARE_TO_EXPLAIN } from './notes.js';
import { openPeer, type Peer, type PeerName, type PeerOptions, type PeerRun } from './peers.js';
import { referenceError } from './reference.js';

type MakesCases = (request: CaseRequest, remark: (line: string) => void) => BenchCase[] | Promise<BenchCase[]>;

const CASES: Readonly<Record<OpName, MakesCases>> = {
  gemm: gemmCases,
  syrk: syrkCases,
  'kernel-matrix': kernelMatrixCases,
  cholesky: choleskyCases,
  trsm: trsmCases,
  'agop-gram': (request) => agopCases(request, 'gram'),
  'agop-jacobian': (request) => agopCases(request, 'jacobian'),
  'sqrt-psd': sqrtCases,
  features: featuresCases,
  layer: layerCases,
  'deep-rfm': deepRfmCases,
  'mlp-step': mlpStepCases,
  'resnet18-step': resnetStepCases,
  'agop-probe': agopProbeCases,
  ridges: ridgesCases,
  predict: predictCases,
  tabular: tabularCases,
};

export interface BenchRequest extends CaseRequest {
  ops: readonly OpName[];
  /** Whether what the host takes for a layer is measured. */
  host: boolean;
  /** Names, or 'all'; null: the variant in force. */
  variants: readonly string[] | 'all' | null;
  /** Whether 'all' takes in variants of less than float32. */
  mixedPrecision: boolean;
  repeats: number | null;
  peers: readonly PeerName[];
  peerOptions: PeerOptions;
  /** An earlier benchmark and where it was read from. */
  compare: { path: string; document: BenchDocument } | null;
  version: string;
  webgpu: string;
}

export interface BenchProgress {
  note(line: string): void;
  onResult?(result: BenchResult): void;
  signal: AbortSignal;
}

/** Runs the benchmark. Errors: 'input' for a variant that no operation has or this adapter cannot run. */
export async function runBench(
  gpu: Gpu,
  request: BenchRequest,
  tuning: TuningOutcome['source'],
  progress: BenchProgress,
): Promise<BenchDocument> {
  const started = performance.now();
  checkVariants(gpu, request.variants);
  const notes: string[] = [];
  const remark = (line: string): void => {
    notes.push(line);
    progress.note(`note: ${line}`);
  };
  progress.note('measuring the ceilings of the adapter');
  const ceilings = await measureCeilings(gpu);
  const peers = await openPeers(request, progress, remark);
  const folder = await mkdtemp(join(tmpdir(), 'deep-rfm-bench-'));
  const results: BenchResult[] = [];
  const peerResults: BenchPeer[] = [];
  const hostCosts: HostCost[] = [];
  try {
    for (const op of OPS.filter((name) => request.ops.includes(name))) {
      for (const benchCase of await CASES[op](request, remark)) {
        progress.signal.throwIfAborted();
        const outcome = await runCase(gpu, benchCase, { request, ceilings, peers, folder, progress, remark });
        results.push(...outcome.results);
        peerResults.push(...outcome.peers);
        gpu.pool.trim();
      }
    }
    if (request.host) {
      for (const n of request.sizes ?? (request.quick ? [60] : [1000])) {
        progress.note(`host n=${n}`);
        hostCosts.push(await hostCost(gpu, { ...request, n, signal: progress.signal }));
      }
    }
  } finally {
    for (const peer of peers) peer.close();
    await rm(folder, { recursive: true, force: true });
  }
  if (results.length === 0 && hostCosts.length === 0)
    throw inputError('--variants: none of the operations asked for has the variants named');
  const { compare } = request;
  const [first] = cpus();
  return {
    schema: BENCH_SCHEMA,
    version: request.version,
    webgpu: request.webgpu,
    date: new Date().toISOString(),
    adapter: gpu.adapter,
    host: {
      cpu: first?.model.trim() ?? 'unknown',
      threads: cpus().length,
      platform: `${process.platform} ${process.arch}`,
      node: process.version,
    },
    tuning: { source: tuning, choices: Object.fromEntries(gpu.choices) },
    ceilings,
    results,
    ...(hostCosts.length > 0 && { hostCosts }),
    libraries: peers.map(({ library }) => library),
    peers: peerResults,
    ratios: ratiosOf(results, peerResults),
    comparison: compare && {
      with: compare.path,
      sameAdapter: compare.document.adapter.description === gpu.adapter.description,
      changes: compareResults(compare.document.results, results),
    },
    notes,
    seconds: (performance.now() - started) / 1000,
  };
}

/** value: the peer's time over ours. */
const ratiosOf = (results: readonly BenchResult[], peers: readonly BenchPeer[]): BenchDocument['ratios'] =>
  results.flatMap(({ op, shape, variant, milliseconds, wallMilliseconds }) =>
    peers
      .filter((peer) => peer.op === op && peer.shape === shape)
      .map((peer) => ({
        op,
        shape,
        variant,
        peer: peer.name,
        method: peer.method,
        value: peer.milliseconds / milliseconds.median,
        wallValue: peer.milliseconds / wallMilliseconds.median,
      })),
  );

function checkVariants(gpu: Gpu, variants: BenchRequest['variants']): void {
  if (variants === null || variants === 'all') return;
  for (const variant of variants) {
    const having = OPERATIONS.filter(({ operation }) => operation.variants.some(({ name }) => name === variant));
    if (having.length === 0) {
      const known = OPERATIONS.map(
        ({ operation }) => `${operation.op}: ${operation.variants.map((v) => v.name).join(', ')}`,
      );
      throw inputError(`--variants ${variant}: no operation has it; there are ${known.join('; ')}; or use all`);
    }
    const usable = having.some(({ operation }) => operation.variants.some((v) => v.name === variant && v.usable(gpu)));
    if (!usable) throw inputError(`--variants ${variant}: this adapter cannot run it; use all for those it can`);
  }
}

async function openPeers(
  request: BenchRequest,
  progress: BenchProgress,
  remark: (line: string) => void,
): Promise<Peer[]> {
  const open: Peer[] = [];
  for (const name of request.peers) {
    progress.signal.throwIfAborted();
    const peer = await openPeer(name, request.peerOptions);
    if (typeof peer === 'string') {
      remark(`${name} is left out: ${peer}`);
      continue;
    }
    const { library } = peer;
    const threads = library.threads === null ? '' : `, ${library.threads} threads`;
    progress.note(`peer     ${library.name} ${library.version}, ${library.blas}${threads} (${library.where})`);
    open.push(peer);
  }
  return open;
}

interface CaseContext {
  request: BenchRequest;
  ceilings: Ceilings;
  peers: Peer[];
  folder: string;
  progress: BenchProgress;
  remark: (line: string) => void;
}

/** A variant that a case is to be run with, what it computes with, and the choices that make it run. */
interface Choice {
  variant: string;
  dtype: string;
  choices: Map<string, string>;
}

const FLOAT32 = 'float32';

function choicesFor(gpu: Gpu, { operations }: BenchCase, { variants, mixedPrecision }: BenchRequest): Choice[] {
  const [own] = operations;
  if (variants === null) {
    return [{ variant: own ? variantOf(gpu, own).name : 'default', dtype: FLOAT32, choices: gpu.choices }];
  }
  return operations.flatMap((operation) => {
    const optedIn = operation.variants.filter(
      ({ optIn, name, usable }) => optIn && usable(gpu) && (mixedPrecision || variants.includes(name)),
    );
    return [...usableVariants(gpu, operation), ...optedIn]
      .filter(({ name }) => (variants === 'all' ? operation === own : variants.includes(name)))
      .map(({ name, optIn }) => ({
        variant: name,
        dtype: optIn ?? FLOAT32,
        choices: new Map([...gpu.choices, [operation.op, name]]),
      }));
  });
}

async function runCase(
  gpu: Gpu,
  benchCase: BenchCase,
  context: CaseContext,
): Promise<{ results: BenchResult[]; peers: BenchPeer[] }> {
  const { request, progress, remark } = context;
  const { op, shape } = benchCase;
  const choices = choicesFor(gpu, benchCase, request);
  if (choices.length === 0) return { results: [], peers: [] };
  progress.note(`${op} ${shape}`);
  let prepared: Prepared;
  try {
    prepared = await benchCase.prepare(gpu);
  } catch (error) {
    if (!(error instanceof RfmError) || error.kind !== 'doesNotFit') throw error;
    remark(`${op} ${shape} is left out: ${error.message}`);
    return { results: [], peers: [] };
  }
  try {
    const results: BenchResult[] = [];
    const values: (Float32Array[] | undefined)[] = [];
    for (const choice of choices) {
      const chosen: Gpu = { ...gpu, choices: choice.choices };
      const measurement = await measureCase(chosen, benchCase, prepared, {
        repeats: request.repeats,
        signal: progress.signal,
      });
      const own = await prepared.values?.();
      const result = resultOf(gpu, benchCase, choice, measurement, await prepared.error(chosen), context.ceilings);
      results.push({
        ...result,
        ...(prepared.data !== undefined && { data: prepared.data }),
        ...(prepared.phases && { phases: prepared.phases() }),
        ...(own && prepared.scores && { scores: prepared.scores(own) }),
      });
      values.push(own);
    }
    const peers: BenchPeer[] = [];
    for (const peer of [...context.peers]) {
      const outcome = await askPeer(peer, benchCase, prepared, context);
      peers.push(...outcome.peers);
      results.forEach((result, i) => {
        result.error ??= referenceError(outcome.runs, prepared.nc1?.(), values[i]);
      });
    }
    for (const result of results) progress.onResult?.(result);
    return { results, peers };
  } finally {
    prepared.release();
  }
}

function resultOf(
  gpu: Gpu,
  { op, shape, flops, bytes, data }: BenchCase,
  { variant, dtype }: Choice,
  measurement: Measurement,
  error: number | null,
  ceilings: Ceilings,
): BenchResult {
  const { clock, milliseconds, wallMilliseconds, counted } = measurement;
  const rate = (count: number | null): number | null => (count === null ? null : count / milliseconds.median / 1e6);
  const gflops = rate(flops ?? counted.flops);
  const gbps = rate(bytes ?? counted.bytes);
  const share = Math.max((gflops ?? 0) / ceilings.gflops, (gbps ?? 0) / ceilings.gbps);
  const remarks: string[] = [];
  const clocks = clockRemark(measurement);
  if (clocks !== null) remarks.push(clocks);
  return {
    op,
    shape,
    variant,
    dtype,
    clock,
    milliseconds,
    wallMilliseconds,
    gflops,
    gbps,
    ceilingShare: share,
    error,
    ...(data !== undefined && { data }),
    reason: share < SHARE_TO_EXPLAIN ? REASONS[op][gpu.adapter.type] : null,
    remarks,
  };
}

/** Seconds of sampling a peer may take for one case, besides its first run. */
const PEER_SECONDS = 15;

async function askPeer(
  peer: Peer,
  { op, shape, dimensions, flops, repeats }: BenchCase,
  prepared: Prepared,
  { request, peers, folder, progress, remark }: CaseContext,
): Promise<{ peers: BenchPeer[]; runs: PeerRun[] }> {
  const nothing = { peers: [], runs: [] };
  progress.note(`${op} ${shape}: ${peer.name}`);
  const arrays: Record<string, string> = {};
  for (const [name, { shape: dims, data }] of Object.entries((await prepared.arrays?.()) ?? {})) {
    arrays[name] = join(folder, `${name}.npy`);
    writeNpy(arrays[name], dims, data);
  }
  try {
    const job = { op, dimensions, arrays, repeats: request.repeats ?? repeats, seconds: PEER_SECONDS };
    const runs = await peer.ask(job, progress.signal);
    if (typeof runs === 'string') {
      remark(`${op} ${shape}: ${peer.name} has nothing to compare with: ${runs}`);
      return nothing;
    }
    const timed = runs
      .filter((run) => !run.reference)
      .map(({ method, milliseconds, flops: own, values }) => ({
        name: peer.name,
        version: peer.library.version,
        threads: peer.library.threads,
        op,
        shape,
        method,
        milliseconds: milliseconds.median,
        spread: milliseconds,
        gflops: own === null && flops === null ? null : (own ?? flops ?? 0) / milliseconds.median / 1e6,
        ...(values && prepared.scores && { scores: prepared.scores(values) }),
      }));
    return { peers: timed, runs };
  } catch (error) {
    progress.signal.throwIfAborted();
    // What else it might have said is not waited for.
    peer.close();
    peers.splice(peers.indexOf(peer), 1);
    remark(`${peer.name} is left out from ${op} ${shape} on: ${error instanceof Error ? error.message : error}`);
    return nothing;
  }
}
