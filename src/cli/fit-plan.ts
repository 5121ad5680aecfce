/** `fit --plan`: what the first fit will hold on the device, how it will be computed, and how long all fits take; nothing is kept. */

import { prepare } from '../model/fit-rows.js';
import { estimatorOptions } from '../model/fit-settings.js';
import { formatBytes, formatSeconds } from '../report/format.js';
import type { FitSeconds } from '../rfm/estimate-fit.js';
import type { TreePlan } from '../rfm/tree-predict.js';
import { type FitCommand, planOf, treeLine } from './fit-compute.js';
import { type FitConfig, splitsOf } from './fit-request.js';
import { sampleOf } from './fit-tree.js';
import { withGpu } from './gpu-session.js';
import { planLine } from './run-plan.js';
import { tableLines } from './terminal.js';

type Shape = TreePlan['shape'];

/** Prints the plan for this machine's adapter. */
export async function printFitPlan({ request, flags, terminal, signal }: FitCommand): Promise<void> {
  const prepared = prepare(request, splitsOf(request)[0]);
  const { config } = request;
  const machine = (rows: number) => estimatorOptions(config, rows, flags.memoryLimit ?? null);
  const { describeAdapter, limitsOf, measureFits, PLAN_PHASES } = await import('./method.js');
  await withGpu({ ...flags, tune: flags.variants !== false, note: terminal.note }, signal, async (gpu) => {
    const limits = limitsOf(gpu, flags.memoryLimit ?? null);
    const tree = await planOf(gpu, prepared, config, machine);
    const { plan, shape } = tree;
    const phases = PLAN_PHASES.filter((phase) => plan.phases[phase] > 0);
    const { n, d, outputs } = prepared.data;
    terminal.print(`device    ${describeAdapter(gpu.adapter)}`);
    terminal.print(`rows      ${n} of ${d} features, ${outputs} outputs`);
    if (shape) terminal.print(`tree      ${treeLine(tree)}; what follows is of the largest leaf`);
    const bound = limits.memoryBytes === null ? 'unknown, not bounded' : formatBytes(limits.memoryBytes);
    terminal.print(`memory    ${formatBytes(plan.peakBytes)} at the peak, of ${bound}`);
    terminal.print(`method    ${planLine(plan)}; M ${config.metricForm}`);
    const measured = shape ? (await sampleOf(prepared, Math.max(...shape.leaves), config.seed)).data : prepared.data;
    const fit = await measureFits(gpu, measured, machine(measured.n));
    const seconds = fit && secondsOf(fit, config, shape);
    terminal.print(`time      ${timeLine(seconds, config, shape)}`);
    terminal.print('');
    const rows = plan.items.map(({ name, bytes, phases: own }) => [
      name,
      ...phases.map((phase) => (own.includes(phase) ? formatBytes(bytes) : '–')),
    ]);
    const sums = ['sum', ...phases.map((phase) => formatBytes(plan.phases[phase]))];
    for (const line of tableLines(['held on the device', ...phases], [...rows, sums])) terminal.print(line);
    terminal.document({
      schema: 'deep-rfm/fit-plan/1',
      device: describeAdapter(gpu.adapter),
      ...{ n, d, outputs, features: prepared.features, changes: prepared.changes },
      tree: shape && { leafRows: tree.leafRows, splitRows: tree.splitRows, ...shape },
      solve: plan.solve,
      tiles: { rows: plan.grid.starts[1], count: plan.grid.starts.length - 1 },
      items: plan.items,
      phases: plan.phases,
      memory: { predictedBytes: plan.peakBytes, limitBytes: limits.memoryBytes },
      seconds,
    });
  });
}

/** Of a fit that M is learned from, of the last one, and of all that the command makes but for a search. */
interface PlannedSeconds extends FitSeconds {
  total: number;
}

/**
 * The fit of all rows after that of K folds has K/(K − 1) times their rows, and no part of it grows faster than their cube. Of a tree
 * every leaf counts as the largest, and a split as an update of M.
 */
function secondsOf({ update, last }: FitSeconds, { iterations, folds }: FitConfig, shape: Shape): PlannedSeconds {
  const one = iterations * update + last;
  if (shape) return { update, last, total: shape.leaves.length * one + shape.splits.length * update };
  return { update, last, total: folds === null ? one : folds * one + (folds / (folds - 1)) ** 3 * one };
}

function timeLine(seconds: PlannedSeconds | null, { iterations, folds, tune }: FitConfig, shape: Shape): string {
  if (seconds === null) return 'not known: fits to some of the rows have no solution; the command says why';
  const { update, last, total } = seconds;
  const parts = [
    ...(iterations > 0 ? [`${iterations} updates of M of ${formatSeconds(update)} each`] : []),
    `a last fit of ${formatSeconds(last)}`,
  ];
  const repeated = shape
    ? ` in each of ${shape.leaves.length} leaves, and the splits`
    : folds === null
      ? ''
      : `, for ${folds} folds and then for all rows`;
  const search = tune === null ? '' : `; the ${tune} trials of the search before it are not in this`;
  return `at most about ${formatSeconds(total)}: ${parts.join(' and ')}${repeated}${search}; compiling shaders comes on top`;
}
