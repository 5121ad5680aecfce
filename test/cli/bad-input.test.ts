import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  buildProgram,
  clusters,
  deepRfm,
  deepRfmHere,
  NO_ADAPTER,
  numbers,
  workFolder,
  writeArrays,
} from './program.js';

// All of these run where there is no adapter: bad input has to be found before one is asked for.

const cwd = workFolder();

beforeAll(async () => {
  const { x, labels, y } = clusters(6, 4, 2);
  const zeroRow = x.slice();
  zeroRow.fill(0, 8, 12);
  writeArrays(cwd, {
    X: [[6, 4], x],
    Y: [[6, 2], y],
    y: [[6], Float32Array.from(labels, (label) => 2 * label - 1)],
    labels: [[6], labels],
    X5: [[5, 4], x.slice(0, 20)],
    X1: [[1, 4], x.slice(0, 4)],
    Y1: [[1, 2], y.slice(0, 2)],
    X3: [[6, 3], x.slice(0, 18)],
    zeroRow: [[6, 4], zeroRow],
    constant: [[6, 4], Float32Array.from(x, (_, i) => x[i % 4])],
    parallel: [[6, 4], Float32Array.from(x, (_, i) => x[i % 4] * (1 + Math.floor(i / 4)))],
    nan: [[6, 4], x.map((value, i) => (i === 9 ? Number.NaN : value))],
    zeros: [[6, 2], new Float32Array(12)],
    oneClass: [[6], new Int32Array(6)],
    onesY: [[6], new Float32Array(6).fill(1)],
    labels5: [[5], labels.slice(0, 5)],
    W: [[8, 4], numbers(32)],
    W3: [[8, 3], numbers(24)],
    phase: [[8], numbers(8)],
    phase7: [[7], numbers(7)],
    skew: [[4, 4], Float32Array.from({ length: 16 }, (_, e) => (e % 5 === 0 ? 1 : e === 4 ? 0.5 : 0))],
    negative: [[4, 4], Float32Array.from({ length: 16 }, (_, e) => (e === 15 ? -0.5 : e % 5 === 0 ? 1 : 0))],
    // Each two of the first three rows are those of a positive semi-definite matrix.
    indefinite: [[4, 4], Float32Array.of(1, 0.6, 0.6, 0, 0.6, 1, -0.6, 0, 0.6, -0.6, 1, 0, 0, 0, 0, 1)],
    zeroM: [[4, 4], new Float32Array(16)],
  });
  writeFileSync(join(cwd, 'file'), '');
  await buildProgram();
});

const layer = (rest: string): string => `layer --x X.npy --y Y.npy --out out ${rest}`;
const rfm = (rest: string): string => `rfm --x X.npy --y Y.npy --out out ${rest}`;
const npy = (rest: string): string => `run --dataset npy --x X.npy --y labels.npy --out out ${rest}`;

/** Command line, and what its message has to contain. An empty argument is written ''. */
const CASES: readonly (readonly [line: string, ...fragments: string[]])[] = [
  // Values. All of them are in flags.test.ts, without a process each.
  ['run --n abc', '--n abc', 'integer of at least 2', '--n 1000'],
  ["run --n ''", '--n', 'integer'],
  ['run --n 9000', '--n 9000', '8000'],
  ['run --test-n 5000', '--test-n 5000', '2000'],
  ['run --kernel rbf', '--kernel rbf', 'laplace or gaussian'],
  ['run --out --json', '--out', '--json', 'path'],
  // Commands and flags that there are not.
  ['rum', "'rum'", 'Did you mean', 'run'],
  ['frobnicate', "'frobnicate'", 'deep-rfm --help'],
  ['run --bandwith 2', '--bandwith', 'Did you mean --bandwidth?'],
  ['run --frobnicate', '--frobnicate', 'deep-rfm run --help'],
  ['run extra', 'run', '0 arguments', 'deep-rfm run --help'],
  ['run --n', '--n', 'missing', 'deep-rfm run --help'],
  ['report', 'DIR', 'deep-rfm report --help'],
  // Flags that contradict each other.
  ['run --x X.npy', '--x X.npy', '--dataset npy'],
  ['run --dataset mnist --test-y y.npy', '--test-y y.npy', 'found --dataset mnist'],
  ['run --data-dir .', '--data-dir .', 'mnist-sample'],
  [npy('--data-dir .'), '--data-dir .', 'drop --data-dir'],
  ['run --dataset npy --x X.npy', '--y is missing'],
  ['run --dataset npy', '--x is missing'],
  [npy('--test-x X.npy'), '--test-y is missing'],
  ['run --dataset mnist --data-dir nowhere', '--data-dir nowhere', 'no such folder'],
  // Files.
  ['run --dataset npy --x none.npy --y labels.npy', '--x none.npy', 'no such file'],
  ['run --dataset npy --x file --y labels.npy', '--x file', 'not a .npy file'],
  ['run --dataset npy --x X5.npy --y labels.npy', '--y labels.npy', '6 rows', '5'],
  ['run --dataset npy --x X.npy --y oneClass.npy', '--y oneClass.npy', 'two classes'],
  ['run --dataset npy --x constant.npy --y labels.npy', '--x constant.npy', 'row 0', 'constant'],
  ['run --dataset npy --x nan.npy --y labels.npy', '--x nan.npy', 'row 2, column 1'],
  [npy('--n 7'), '--n 7', '6'],
  ['run --out file', '--out file', 'file'],
  ['run --n 20 --test-n 0 --out file/below', '--out file/below', 'file'],
  ['run --dataset npy --x X.npy --y labels.npy --out file', '--out file', 'remove'],
  ['report nowhere', 'nowhere', 'metrics.json', 'deep-rfm run'],
  // One layer.
  ['layer --y Y.npy --out out', '--x is missing', '.npy'],
  ['layer --x X.npy --out out', '--y is missing'],
  ['layer --x X.npy --y Y.npy', '--out is missing'],
  ['layer --x X5.npy --y Y.npy --out out', '--y Y.npy', '6 rows', '--x X5.npy', '5'],
  ['layer --x X1.npy --y Y1.npy --out out', '--x X1.npy', '1 row', 'at least 2'],
  ['layer --x zeroRow.npy --y Y.npy --out out', '--x zeroRow.npy', 'row 2', 'zeros', 'remove'],
  ['layer --x constant.npy --y Y.npy --out out', '--x constant.npy', 'all 6 rows', 'row 0', 'differ'],
  ['layer --x parallel.npy --y Y.npy --out out', '--x parallel.npy', 'all 6 rows', 'differ'],
  ['layer --x X.npy --y zeros.npy --out out', '--y zeros.npy', 'all targets are 0'],
  ['layer --x X.npy --y onesY.npy --out out', '--y onesY.npy', 'one class', '--labels'],
  [layer('--labels labels5.npy'), '--labels labels5.npy', '5 rows', '6'],
  [layer('--labels oneClass.npy'), '--labels oneClass.npy', 'two classes'],
  [layer('--weights W3.npy'), '--weights W3.npy', '3 columns', '4'],
  [layer('--weights W.npy --phase phase.npy'), '--phase phase.npy', '--activation cos'],
  [layer('--weights W.npy --activation cos'), '--phase is missing', '8'],
  [layer('--weights W.npy --activation cos --phase phase7.npy'), '--phase phase7.npy', '8 rows', '8 phases'],
  [layer('--phase phase.npy --activation cos'), '--phase phase.npy', 'needs --weights'],
  [layer('--weights W.npy --seed 3'), '--seed 3', '--weights'],
  [layer('--weights W.npy --width 8'), '--width 8', '--weights'],
  [layer('--layer-index -1'), '--layer-index -1', 'from 0'],
  ['layer --x X.npy --y Y.npy --out file', '--out file', 'file'],
  // Classic RFM.
  ['rfm --x X.npy --out out', '--y is missing'],
  ['rfm --x X.npy --y Y.npy --test-x X3.npy --out out', '--test-x X3.npy', '3 columns', '4'],
  ['rfm --x X.npy --y labels5.npy --out out', '--y labels5.npy', '5 rows', '6'],
  [rfm('--metric W.npy'), '--metric W.npy', '8 × 4', '--x X.npy', '4 × 4'],
  [rfm('--metric X3.npy'), '--metric X3.npy', '6 × 3', '4 × 4'],
  [rfm('--metric skew.npy'), '--metric skew.npy', 'not symmetric', '0.5 in row 1, column 0', '0 in row 0, column 1'],
  [rfm('--metric negative.npy'), '--metric negative.npy', 'semi-definite', '-0.500 in row 3, column 3'],
  [rfm('--metric indefinite.npy'), '--metric indefinite.npy', 'semi-definite', '-0.8'],
  [rfm('--metric zeroM.npy'), '--metric zeroM.npy', 'all entries are 0'],
  [rfm('--metric nan.npy'), '--metric nan.npy', 'row 2, column 1'],
  [rfm('--metric none.npy'), '--metric none.npy', 'no such file'],
  [rfm('--iterations 0 --save-iterations'), '--save-iterations', '--iterations 0'],
  ['rfm --x constant.npy --y y.npy --out out', '--x constant.npy', 'all 6 rows', 'differ'],
];

const wordsOf = (line: string): string[] =>
  line
    .trim()
    .split(/\s+/)
    .map((word) => (word === "''" ? '' : word));
const env = { ...NO_ADAPTER, DEEP_RFM_DATA: '' };

it('a process says what it says here, and ends with that code', async () => {
  for (const [line] of [CASES[0], CASES.find(([line]) => line === 'rum')!, CASES.at(-1)!]) {
    const [own, here] = [await deepRfm(wordsOf(line), { cwd, env }), await deepRfmHere(wordsOf(line), { cwd, env })];
    expect(here).toEqual(own);
  }
});

describe('bad input', () => {
  it.each(CASES)('%s', async (line, ...fragments) => {
    const before = readdirSync(cwd);
    const { code, stdout, stderr } = await deepRfmHere(wordsOf(line), { cwd, env });
    expect(stderr).toHaveLength(1);
    expect(stderr[0]).toMatch(/^deep-rfm: /);
    for (const fragment of fragments) expect(stderr[0]).toContain(fragment);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(readdirSync(cwd)).toEqual(before);
    expect(existsSync(join(cwd, 'results'))).toBe(false);
  });
});

describe('files in the way', () => {
  it('does not overwrite a file that it reads', async () => {
    const args = ['layer', '--x', 'W.npy', '--y', 'Y.npy', '--out', '.'];
    writeArrays(cwd, { features: [[6, 4], clusters(6, 4, 2).x] });
    args[2] = 'features.npy';
    const { code, stderr } = await deepRfm(args, { cwd, env: NO_ADAPTER });
    expect(stderr).toEqual(['deep-rfm: --out .: would overwrite --x features.npy; choose another folder']);
    expect(code).toBe(2);
  });
});
