import type { Gpu } from '../src/runtime/gpu.js';
import type { Operation } from '../src/runtime/variants.js';

/** The operations of the benchmark, in the order they run. */
export const OPS = [
  'gemm',
  'syrk',
  'kernel-matrix',
  'cholesky',
  'trsm',
  'agop-gram',
  'agop-jacobian',
  'sqrt-psd',
  'features',
  'layer',
  'deep-rfm',
  'mlp-step',
  'resnet18-step',
  'agop-probe',
  'ridges',
  'predict',
  'tabular',
] as const;
export type OpName = (typeof OPS)[number];

/** An array for a peer: what it is to compute with, so that both compute the same. */
export interface PeerArray {
  shape: readonly number[];
  data: Float32Array | Int32Array;
}

/** Operands on the device. */
export interface Prepared {
  /** Before each timed run, untimed: restores what a run overwrites. */
  reset?(gpu: Gpu): Promise<void>;
  /** Before the first run, instead of a whole one: compiles what it needs. */
  warmUp?(gpu: Gpu): Promise<void>;
  /** What is timed. The Gpu has the variant chosen. */
  run(gpu: Gpu): Promise<void>;
  /** Relative error of the last run against float64; null where there is no reference. */
  error(gpu: Gpu): Promise<number | null>;
  /** NC1 at the three stages of each layer, where the case is a run of the method: peers in double precision check it. */
  nc1?(): number[][];
  /** Scores by name of predictions of rows that were held out: ours, which `values` gives, or a peer's of the same rows. */
  scores?(values: readonly ArrayLike<number>[]): Record<string, number>;
  /** Arrays of the last run that peers in double precision compute, too, where the host is too slow for them. */
  values?(): Promise<Float32Array[]>;
  /** Milliseconds of each phase of the last run, where the case has phases. */
  phases?(): Record<string, number>;
  /** Arrays that peers need, by name; without it they make random ones of the same kind. */
  arrays?(): Promise<Record<string, PeerArray>>;
  /** What the numbers are made from, where that is known only now. */
  readonly data?: string;
  release(): void;
}

/** One operation at one size. */
export interface BenchCase {
  readonly op: OpName;
  /** The problem in one word: in the table and the JSON. */
  readonly shape: string;
  /** The same for peers. */
  readonly dimensions: Readonly<Record<string, number | string | readonly number[]>>;
  /** Operations with variants that it runs on; the first is the one whose variants `--variants all` goes through. */
  readonly operations: readonly Operation[];
  /** What it counts. null: what its scopes counted in the first timed run. */
  readonly flops: number | null;
  readonly bytes: number | null;
  /** Whether the host reads results between submits, so that its time counts. */
  readonly severalSubmits: boolean;
  /** Samples unless --repeats says otherwise. */
  readonly repeats: number;
  /** What the numbers are made from, where that matters. */
  readonly data?: string;
  prepare(gpu: Gpu): Promise<Prepared>;
}

export interface CaseRequest {
  /** Sizes asked for; null: the operation's own. */
  sizes: readonly number[] | null;
  quick: boolean;
  /** Folder with datasets. */
  dataDir: string | undefined;
  /** The Python that is asked for tables of scikit-learn; undefined: the usual ones. */
  python?: string | undefined;
  /** Trials of a search for the settings of an estimator, beside its defaults; null: none. */
  search?: number | null;
}

/** Ordinary repetitions. */
export const REPEATS = 7;
