/** Where a sweep is. */

import type { Phase, TaskStatus } from './state.js';
import type { Task } from './tasks.js';

/** Time that finished tasks took, in seconds. */
export interface Done {
  task: Task;
  seconds: number;
}

/**
 * Seconds until the tasks are done, `workers` at a time: by their operations and the rate of those that are done, or by
 * their mean where a command has no plan. null where nothing is done yet.
 */
export function secondsLeft(done: readonly Done[], left: readonly Task[], workers: number): number | null {
  if (done.length === 0) return null;
  if (left.length === 0) return 0;
  const seconds = done.reduce((sum, one) => sum + one.seconds, 0);
  const rate = (tasks: readonly Task[]): number => {
    // What is not computed, such as loading and drawing, takes about as long for every task.
    const known = tasks.every(({ operations }) => operations !== null);
    return known ? tasks.reduce((sum, { operations }) => sum + (operations ?? 0), 0) : Number.NaN;
  };
  const byOperations = (rate(left) / rate(done.map(({ task }) => task))) * seconds;
  const byCount = (left.length / done.length) * seconds;
  return (Number.isFinite(byOperations) ? Math.max(byOperations, byCount / 4) : byCount) / Math.max(1, workers);
}

/** Seconds of a task's last attempt. */
export function secondsOf({ state }: TaskStatus): number | null {
  const last = state?.attempts.at(-1);
  if (!last?.ended) return null;
  return (Date.parse(last.ended) - Date.parse(last.began)) / 1000;
}

/** How many tasks are where. */
export function countPhases(statuses: readonly TaskStatus[]): Record<Phase, number> {
  const counts: Record<Phase, number> = { planned: 0, running: 0, interrupted: 0, failed: 0, finished: 0 };
  for (const { phase } of statuses) counts[phase]++;
  return counts;
}

/** Time that the rest will take by what finished tasks took, with as many at once as there are now. */
export function sweepSecondsLeft(statuses: readonly TaskStatus[]): number | null {
  const done = statuses.flatMap((status) => {
    const seconds = status.phase === 'finished' ? secondsOf(status) : null;
    return seconds === null ? [] : [{ task: status.task, seconds }];
  });
  const left = statuses.filter(({ phase }) => phase !== 'finished' && phase !== 'failed').map(({ task }) => task);
  return secondsLeft(done, left, countPhases(statuses).running);
}
