// `./kernel-tests` of a bundle: every compiled test file, or those whose path contains one of the words given, each in
// its own process. The last line is "N passed, N failed".

import { fork } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { launchEnv } from '../adapter-env.mjs';
import { countLine } from '../test-counts.mjs';
import { driverHere, note, ROOT } from './carried.mjs';

const HELP = `Usage: ./kernel-tests [word...] [--jobs N] [--list]

Checks the kernels on this machine's adapter against float64 references.

  word        only test files whose path contains it, such as gemm or ops/
  --jobs N    files at a time (default: one for each core, at most 4)
  --list      names the test files
  -h, --help  prints this

Exit codes: 0 all passed, 1 some failed, 2 bad usage.
DEEP_RFM_ADAPTER=auto|hardware|lavapipe|swiftshader selects the driver.`;

// A file whose process says nothing for so long hangs in the driver.
const FILE_TIMEOUT_MS = 30 * 60_000;

const testFiles = () =>
  readdirSync(join(ROOT, 'test'), { recursive: true })
    .filter((name) => name.endsWith('.test.js'))
    .sort();

/** {passed, failed, skipped, failures} of a file; a process that died is one failure. */
function runFile(name, env) {
  return new Promise((resolve) => {
    const child = fork(join(ROOT, 'test', 'run-test-file.js'), [join(ROOT, 'test', name)], { env, cwd: ROOT });
    const timer = setTimeout(() => child.kill('SIGKILL'), FILE_TIMEOUT_MS);
    let counts = { passed: 0, failed: 0, skipped: 0, failures: [] };
    let answered = false;
    child.on('message', (message) => {
      counts = message;
      answered = true;
    });
    child.on('error', () => {}); // 'close' follows
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      if (code !== 0 || !answered) {
        counts.failed++;
        const how = signal ? `killed by ${signal}` : `exit code ${code}`;
        counts.failures.push({ name: 'the process', message: `ended badly: ${how}` });
      } else if (counts.passed + counts.failed + counts.skipped === 0) {
        counts.failed++;
        counts.failures.push({ name: 'the file', message: 'holds no test' });
      }
      resolve(counts);
    });
  });
}

function options() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { jobs: { type: 'string' }, list: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
  });
  const jobs = values.jobs === undefined ? Math.min(4, availableParallelism()) : Number(values.jobs);
  if (!Number.isInteger(jobs) || jobs < 1) throw new Error(`--jobs: "${values.jobs}", expected a whole number above 0`);
  const files = testFiles().filter((file) => !positionals.length || positionals.some((word) => file.includes(word)));
  if (!files.length) throw new Error(`no test file's path contains ${positionals.join(' or ')}: --list names them`);
  return { ...values, jobs, files };
}

async function runAll({ jobs, files }, env) {
  const total = { passed: 0, failed: 0, skipped: 0 };
  const waiting = [...files];
  const worker = async () => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const started = performance.now();
      const counts = await runFile(name, env);
      for (const key of Object.keys(total)) total[key] += counts[key];
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      process.stdout.write(
        `${counts.failed ? 'FAILED' : 'ok'} ${relative('.', name)}: ${countLine(counts)} (${seconds} s)\n`,
      );
      for (const failure of counts.failures) {
        process.stdout.write(`  ${failure.name}\n    ${failure.message.replaceAll('\n', '\n    ')}\n`);
      }
    }
  };
  await Promise.all(Array.from({ length: jobs }, worker));
  process.stdout.write(`${countLine(total)}\n`);
  return total.failed === 0 && total.passed > 0;
}

async function main() {
  let chosen;
  let env;
  try {
    chosen = options();
    if (chosen.help || chosen.list) {
      process.stdout.write(`${chosen.help ? HELP : chosen.files.join('\n')}\n`);
      return;
    }
    const { set, problem } = launchEnv(process.env, { driver: driverHere() });
    if (problem) note(`kernel-tests: ${problem}`);
    env = { ...process.env, ...set };
  } catch (error) {
    note(`kernel-tests: ${error.message}`);
    process.exitCode = 2;
    return;
  }
  process.exitCode = (await runAll(chosen, env)) ? 0 : 1;
}

await main();
