/**
 * {passed, failed, skipped} of a report by vitest's JSON reporter. A file that could not be loaded has no tests, and
 * counts as one failure; so does a run that failed although no test did (an error outside of tests, a crashed process).
 */
export function countTests(report, runFailed) {
  if (!report) return { passed: 0, failed: 1, skipped: 0 };
  const broken = report.testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0);
  const passed = report.numPassedTests;
  let failed = report.numFailedTests + broken.length;
  if (runFailed && failed === 0 && passed > 0) failed = 1;
  return { passed, failed, skipped: report.numPendingTests + (report.numTodoTests ?? 0) };
}

export const countLine = ({ passed, failed, skipped }) =>
  `${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`;
