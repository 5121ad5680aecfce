import type { BenchDocument, BenchResult } from './bench-document.js';
import type { Table } from './text-table.js';

/**
 * For each operation that was measured in several variants, its ladder: a rung a variant, the slowest first, with the
 * rate at every shape and the step from the rung before, at the largest shape.
 */
export function ladders({ results }: BenchDocument): { op: string; table: Table }[] {
  return [...new Set(results.map(({ op }) => op))].flatMap((op) => {
    const own = results.filter((result) => result.op === op);
    const shapes = [...new Set(own.map(({ shape }) => shape))];
    const variants = [...new Set(own.map(({ variant }) => variant))];
    if (variants.length < 2) return [];
    const at = (variant: string, shape: string): BenchResult | undefined =>
      own.find((result) => result.variant === variant && result.shape === shape);
    // By time, which every result has: the shape at which the slowest took longest tells rungs apart best.
    const time = (variant: string, shape: string) => at(variant, shape)?.milliseconds.median ?? 0;
    const largest = shapes.reduce((best, shape) => {
      const worst = (s: string) => Math.max(...variants.map((variant) => time(variant, s)));
      return worst(shape) > worst(best) ? shape : best;
    });
    const rungs = variants.sort((a, b) => time(b, largest) - time(a, largest));
    const rows = rungs.map((variant, rung) => {
      const before = rung === 0 ? 0 : time(rungs[rung - 1], largest);
      return [
        variant,
        ...shapes.map((shape) => at(variant, shape)?.gflops?.toPrecision(3) ?? '–'),
        before === 0 ? '' : `${(before / time(variant, largest)).toPrecision(3)}×`,
        at(variant, largest)?.error?.toExponential(1) ?? '–',
      ];
    });
    const header = ['rung', ...shapes.map((shape) => `${shape}, GFLOP/s`), `step at ${largest}`, 'error'];
    return [{ op, table: { header, rows, left: 1 } }];
  });
}
