// `npm run demo`: setup, then a small Deep RFM run and its report; extra arguments go to `run`.

import { join } from 'node:path';
import { ROOT } from './build.mjs';
import { endLike, runChild } from './run-child.mjs';
import { setupOrReport } from './setup.mjs';

const OUT = join('results', 'demo');
const env = await setupOrReport();
if (env) {
  const args = [
    'run',
    '--dataset',
    'mnist-sample',
    '--n',
    '500',
    '--depth',
    '8',
    '--width',
    '192',
    '--test-n',
    '500',
    '--out',
    OUT,
    ...process.argv.slice(2),
  ];
  process.stderr.write(`demo: deep-rfm ${args.join(' ')}\n`);
  const launcher = join(ROOT, 'bin', 'deep-rfm.mjs');
  const end = await runChild(process.execPath, [launcher, ...args], { cwd: ROOT, env, parent: 'demo' });
  if (end.code === 0 && !process.argv.includes('--out')) {
    process.stderr.write(`demo: the report is ${join(ROOT, OUT, 'report.html')}\n`);
  }
  endLike(end);
}
