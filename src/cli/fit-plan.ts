/** `fit --plan`: what the first fit will hold on the device, how it will be computed, and how long all fits take; nothing is kept. */

import { prepare } from '../model/fit-rows.js';
import { estimatorOptions } from '../model/fit-settings.js';
import { formatBytes, formatSeconds } from '../report/format.js';
import type { FitSeconds } from '../rfm/estimate-fit.js';
import type { FitCommand } from './fit-compute.js';
import { type FitConfig, splitsOf } from './fit-request.js';
import { withGpu } from './gpu-session.js';
import { planLine } from './run-plan.js';
import { tableLines } from './terminal.js';

/** Prints the plan for this machine's adapter. */
export async function printFitPlan({ request, flags, terminal, signal }: FitCommand): Promise<void> {
  const prepared = prepare(request, splitsOf(request)[0]);
  const options = estimatorOptions(request.config, prepared.data.n, flags.memoryLimit ?? null);
  const { describeAdapter, limitsOf, measureFits, PLAN_PHASES, planEstimator } = await import('./method.js');
  await withGpu({ ...flags, tune: flags.tune !== false, note: terminal.note }, signal, async (gpu) => {
    const limits = limitsOf(gpu, options.memoryLimit);
    const plan = planEstimator(prepared.data, options, limits);
    const phases = PLAN_PHASES.filter((phase) => plan.phases[phase] > 0);
    const { n, d, outputs } = prepared.data;
    terminal.print(`device    ${describeAdapter(gpu.adapter)}`);
    terminal.print(`rows      ${n} of ${d} features, ${outputs} outputs`);
    const bound = limits.memoryBytes === null ? 'unknown, not bounded' : formatBytes(limits.memoryBytes);
    terminal.print(`memory    ${formatBytes(plan.peakBytes)} at the peak, of ${bound}`);
    terminal.print(`method    ${planLine(plan)}; M ${options.metricForm}`);
    const fit = await measureFits(gpu, prepared.data, options);
    const seconds = fit && secondsOf(fit, request.config);
    terminal.print(`time      ${timeLine(seconds, request.config)}`);
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

/** The fit of all rows after that of K folds has K/(K − 1) times their rows, and no part of it grows faster than their cube. */
function secondsOf({ update, last }: FitSeconds, { iterations, folds }: FitConfig): PlannedSeconds {
  const one = iterations * update + last;
  return { update, last, total: folds === null ? one : folds * one + (folds / (folds - 1)) ** 3 * one };
}

function timeLine(seconds: PlannedSeconds | null, { iterations, folds, tune }: FitConfig): string {
  if (seconds === null) return 'not known: fits to some of the rows have no solution; the command says why';
  const { update, last, total } = seconds;
  const parts = [
    ...(iterations > 0 ? [`${iterations} updates of M of ${formatSeconds(update)} each`] : []),
    `a last fit of ${formatSeconds(last)}`,
  ];
  const repeated = folds === null ? '' : `, for ${folds} folds and then for all rows`;
  const search = tune === null ? '' : `; the ${tune} trials of the search before it are not in this`;
  return `at most about ${formatSeconds(total)}: ${parts.join(' and ')}${repeated}${search}; compiling shaders comes on top`;
}
