/** Plain data of a benchmark: what `deep-rfm bench --json` prints and bench.json holds. */

import { z } from 'zod';

export const BENCH_SCHEMA = 'deep-rfm/bench/1';

const number = z.number().nullable();
const spread = z.object({ median: z.number(), min: z.number(), max: z.number(), samples: z.number() });

const resultSchema = z.object({
  op: z.string(),
  /** The problem in one word, such as `1024x1024x1024 NT`. */
  shape: z.string(),
  variant: z.string(),
  dtype: z.string(),
  /** What `milliseconds` are: time on the device, or on the wall where the host takes part between submits. */
  clock: z.enum(['gpu', 'wall']),
  milliseconds: spread,
  /** On the wall, from the first call to the last result, whatever `clock` says. */
  wallMilliseconds: spread,
  gflops: number,
  gbps: number,
  /** The larger of gflops and gbps over their ceilings. */
  ceilingShare: number,
  /** Relative error against float64; null where there is nothing to compare with. */
  error: number,
  /** Milliseconds of each phase of the last run, where there are phases. */
  phases: z.record(z.string(), z.number()).optional(),
  /** Of predictions of rows that were held out, by name (`r2`, `rmse`, `accuracy`), where the case is an estimator. */
  scores: z.record(z.string(), z.number()).optional(),
  /** What the numbers were made from, where it matters. */
  data: z.string().optional(),
  /** Why it stays below a third of the ceiling; null where it does not. */
  reason: z.string().nullable(),
  remarks: z.array(z.string()),
});

const hostCostSchema = z.object({
  /** Rows of the run and width of its layers. */
  shape: z.string(),
  data: z.string(),
  /** The host's part of a layer, measured on a backend that runs no shaders. */
  milliseconds: spread,
  /** Means over layers after the second. */
  perLayer: z.object({
    dispatches: z.number(),
    submits: z.number(),
    readbacks: z.number(),
    readbackBytes: z.number(),
    bindGroups: z.number(),
    writtenBytes: z.number(),
  }),
});

const peerSchema = z.object({
  name: z.string(),
  version: z.string(),
  threads: number,
  op: z.string(),
  shape: z.string(),
  /** How the peer computes it, where it has more than one way. */
  method: z.string(),
  /** Median on the wall. */
  milliseconds: z.number(),
  spread,
  gflops: number,
  /** As those of ours, of the same rows. */
  scores: z.record(z.string(), z.number()).optional(),
});

const changeSchema = z.object({
  op: z.string(),
  shape: z.string(),
  variant: z.string(),
  before: z.number(),
  after: z.number(),
  /** before / after: above 1 it became faster. */
  factor: z.number(),
  /** 'same' where the spreads of both touch. */
  verdict: z.enum(['faster', 'slower', 'same']),
});

export const benchSchema = z.object({
  schema: z.literal(BENCH_SCHEMA),
  version: z.string(),
  webgpu: z.string(),
  date: z.string(),
  adapter: z.object({
    vendor: z.string(),
    architecture: z.string(),
    device: z.string(),
    description: z.string(),
    type: z.enum(['hardware', 'software']),
    pci: z.string().optional(),
  }),
  host: z.object({ cpu: z.string(), threads: z.number(), platform: z.string(), node: z.string() }),
  /** How variants were chosen. */
  tuning: z.object({ source: z.enum(['defaults', 'cache', 'measured']), choices: z.record(z.string(), z.string()) }),
  ceilings: z.object({
    gflops: z.number(),
    gbps: z.number(),
    /** All that was measured, of which the largest count. */
    measured: z.record(z.string(), z.number()),
  }),
  results: z.array(resultSchema),
  /** Of `bench host`. */
  hostCosts: z.array(hostCostSchema).optional(),
  libraries: z.array(
    z.object({ name: z.string(), version: z.string(), blas: z.string(), threads: number, where: z.string() }),
  ),
  peers: z.array(peerSchema),
  /** value: the peer's milliseconds over ours, so above 1 we are faster. */
  ratios: z.array(
    z.object({
      op: z.string(),
      shape: z.string(),
      variant: z.string(),
      peer: z.string(),
      method: z.string(),
      value: z.number(),
      /** The same with our time on the wall, which is the peer's clock. */
      wallValue: z.number().optional(),
    }),
  ),
  comparison: z.object({ with: z.string(), sameAdapter: z.boolean(), changes: z.array(changeSchema) }).nullable(),
  notes: z.array(z.string()),
  seconds: z.number(),
});

export type BenchDocument = z.infer<typeof benchSchema>;
export type BenchResult = z.infer<typeof resultSchema>;
export type HostCost = z.infer<typeof hostCostSchema>;
export type BenchPeer = z.infer<typeof peerSchema>;
export type BenchRatio = BenchDocument['ratios'][number];
export type BenchChange = z.infer<typeof changeSchema>;
export type Spread = z.infer<typeof spread>;

/** Median, ends and number of the samples. */
export function spreadOf(samples: readonly number[]): Spread {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, min: sorted[0], max: sorted[sorted.length - 1], samples: sorted.length };
}
