// Runs one compiled test file in this process and sends {passed, failed, skipped, failures: [{name, message}]} to the
// parent. A GPU instance lives as long as the process that made it, so each file has a process of its own.

import { pathToFileURL } from 'node:url';
import { startTests } from '@vitest/runner';

// Five times that of vitest.config.ts: an adapter that is slow is not an adapter that computes wrong results.
const TIMEOUT_MS = 300_000;

const runner = {
  config: {
    root: process.cwd(),
    setupFiles: [],
    passWithNoTests: false,
    allowOnly: false,
    sequence: { seed: 0, hooks: 'stack', setupFiles: 'list' },
    maxConcurrency: 5,
    testTimeout: TIMEOUT_MS,
    hookTimeout: TIMEOUT_MS,
    retry: 0,
  },
  importFile: (path) => import(pathToFileURL(path).href),
};

const text = (error) => [error?.message ?? String(error), error?.diff].filter(Boolean).join('\n');

/** Adds what is below a task. A suite whose hooks failed is one failure more, as is a file without tests. */
function collect(task, path, sum) {
  const name = [...path, task.name].filter(Boolean).join(' > ');
  const errors = task.result?.state === 'fail' ? (task.result.errors ?? []) : [];
  const fail = (message) => {
    sum.failed++;
    sum.failures.push({ name, message });
  };
  if (task.type === 'suite') {
    if (errors.length > 0) fail(errors.map(text).join('\n'));
    for (const child of task.tasks) collect(child, task.filepath ? [] : [...path, task.name], sum);
  } else if (task.result?.state === 'pass') sum.passed++;
  else if (task.result?.state === 'fail') fail(errors.map(text).join('\n') || 'failed');
  else if (task.mode === 'skip' || task.mode === 'todo') sum.skipped++;
  else fail('did not run');
}

const [file] = await startTests(process.argv.slice(2, 3), runner);
const sum = { passed: 0, failed: 0, skipped: 0, failures: [] };
collect(file, [], sum);
process.send(sum, () => process.disconnect());
