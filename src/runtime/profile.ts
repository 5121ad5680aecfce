/** What a profile collects: plain data, and what is counted of it. */

/** What was expected of a dispatch when it was recorded. */
export interface Share {
  /** Workgroups along the last dimension of its grid. */
  readonly rows: number;
  readonly seconds: number;
}

/** A named piece of work with what it counts: what a scope is opened with. */
export interface Work {
  /** Name of the operation, such as 'gemm'. */
  readonly op: string;
  /** Floating-point operations, a multiply-add being two; those that the result needs, not those a kernel repeats. */
  readonly flops?: number;
  /** Bytes that must move: each operand and result once. */
  readonly bytes?: number;
  /** Rows of data it handles, where a rate in rows per second means something (AGOP). */
  readonly rows?: number;
}

/** A scope as it was recorded. */
export interface Scope extends Work {
  /** The scope it lies in; null for one that a caller opened first: that one counts as the group. */
  readonly parent: Scope | null;
}

/** Where in the method a pass belongs. */
export interface Place {
  readonly layer: number | null;
  readonly phase: string | null;
}

/** One timed stretch of work: a dispatch, or with `detail: 'submit'` all dispatches of a submit. */
export interface Pass extends Place {
  /** Name of the kernel; of a submit, the number of its dispatches. */
  readonly kernel: string;
  /** Innermost scope. */
  readonly scope: Scope | null;
  /** Nanoseconds on the clock of the profile, whose zero means nothing. */
  readonly start: number;
  readonly end: number;
  /** Bytes of the matrices bound to it. */
  readonly bytes: number;
  /** Of a dispatch that states its work: what was expected of it. */
  readonly share?: Share | null;
}

/** Each costs a GPU more than a small kernel. */
export interface HostCalls {
  submits: number;
  readbacks: number;
  readbackBytes: number;
}

/**
 * Collects times while it is attached to a Gpu (`gpu.profile = createProfile(gpu)`). Without one nothing is
 * collected and nothing is slower.
 */
export interface Profile {
  /**
   * 'dispatch' gives each dispatch a compute pass with timestamps of its own; 'submit' times the passes of a submit
   * as they run without a profile.
   */
  readonly detail: 'dispatch' | 'submit';
  /**
   * 'gpu': timestamps of the device. 'wall': the adapter has none; each dispatch (or submit) is waited for and
   * timed on the host, its way to the device and back included.
   */
  readonly clock: 'gpu' | 'wall';
  readonly passes: Pass[];
  /** Every scope that was opened, in order. */
  readonly scopes: Scope[];
  /** What the host did: batches handed over, trips for results, and their bytes. */
  readonly calls: HostCalls;
  /** Where passes recorded from now on belong. */
  place: Place;
  /** Innermost open scope. */
  readonly current: Scope | null;
  open(work: Work): void;
  close(): void;
}

/** The place of what belongs to no layer and no phase. */
export const NOWHERE: Place = { layer: null, phase: null };

/**
 * Floating-point operations and bytes of scopes: what a scope itself reports, else the sum of those inside it.
 * null where nothing reports any.
 */
export function countWork(scopes: readonly Scope[]): { flops: number | null; bytes: number | null } {
  const count = (key: 'flops' | 'bytes'): number | null => {
    let [sum, any] = [0, false];
    for (const scope of scopes) {
      const value = scope[key];
      if (value === undefined || covered(scope, key)) continue;
      [sum, any] = [sum + value, true];
    }
    return any ? sum : null;
  };
  return { flops: count('flops'), bytes: count('bytes') };
}

/** Whether a scope around this one reports the quantity. */
const covered = ({ parent }: Scope, key: 'flops' | 'bytes'): boolean =>
  parent !== null && (parent[key] !== undefined || covered(parent, key));
