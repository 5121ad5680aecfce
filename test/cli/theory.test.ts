import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildProgram, deepRfm, deepRfmHere, NO_ADAPTER, workFolder } from './program.js';

const cwd = workFolder();
beforeAll(buildProgram);

describe('theory collapse', () => {
  it('sets the predicted rate beside the measured one, in a table and in one document', async () => {
    const args = 'theory collapse --classes 3 --per-class 8 --lambda-map 1 --lambda-hat 0.2 --depth 6'.split(' ');
    const table = await deepRfm(args, { cwd });
    expect(table.code).toBe(0);
    expect(table.stdout).toMatch(/^layer +‖B − B\*‖/);
    expect(table.stdout).toMatch(/rate of the Gram error +0\.148148 +0\.14/);
    expect(table.stderr.join('\n')).toMatch(/^layer 6\/6 {2}Gram error/m);
    const { code, stdout, stderr } = await deepRfmHere([...args, '--json', '--quiet'], { cwd });
    expect(stderr).toEqual([]);
    expect(code).toBe(0);
    const document = JSON.parse(stdout);
    expect(document).toMatchObject({
      schema: 'deep-rfm/theory-collapse/1',
      config: { sizes: [8, 8, 8], lambdaMap: 1, lambdaHat: 0.2, kappaName: 'star', depth: 6 },
    });
    expect(document.predictedRate).toBeCloseTo((8 / 9) * (0.2 / 1.2), 12);
    expect(Math.abs(document.measuredRate / document.predictedRate - 1)).toBeLessThan(0.01);
    expect(document.layers).toHaveLength(6);
  });

  it('writes a document and a figure, of classes of different sizes', async () => {
    const args = 'theory collapse --per-class 2,4,9 --kappa 1.02 --depth 3 --out collapse --quiet'.split(' ');
    const { code, stdout } = await deepRfmHere(args, { cwd });
    expect(code).toBe(0);
    expect(stdout).toContain('wrote to collapse: theory.json, collapse.svg, collapse.png');
    expect(readdirSync(join(cwd, 'collapse')).sort()).toEqual(['collapse.png', 'collapse.svg', 'theory.json']);
    const document = JSON.parse(readFileSync(join(cwd, 'collapse', 'theory.json'), 'utf8'));
    expect(document.config).toMatchObject({ sizes: [2, 4, 9], kappa: 1.02, kappaName: '1.02' });
    expect(readFileSync(join(cwd, 'collapse', 'collapse.svg'), 'utf8')).toContain('NC1 after the feature map');
  });

  it('says that nothing collapses without the feature map', async () => {
    const args = 'theory collapse --lambda-map 0 --depth 4 --quiet'.split(' ');
    const { code, stdout } = await deepRfmHere(args, { cwd });
    expect(code).toBe(0);
    expect(stdout).toMatch(/rate of the Gram error +1\.000000 +none/);
    expect(stdout).toContain('no layers show a rate');
  });

  it.each([
    ['--kappa two', '--kappa two: expected 1, star, printed or a number from 1e-6 to 1e6'],
    ['--kappa printed --lambda-map 0.1 --lambda-hat 0.1', '--kappa printed: 1 − 2 λ̂ (1 + 1/λ_map) is -1.2'],
    ['--classes 3 --per-class 4,5', '--classes 3: found 2 sizes in --per-class 4,5'],
    ['--per-class 1', 'every class has one row'],
    ['--classes 10 --per-class 1000', 'makes 10000 rows in all, expected at most 4096'],
    ['--per-class 4,x', '--per-class x: expected an integer from 1 to 100000'],
    ['--lambda-hat 0', '--lambda-hat 0: expected a number above 0'],
  ])('%s ends with 2', async (flags, message) => {
    const args = ['theory', 'collapse', ...flags.split(' ')];
    const { code, stdout, stderr } = await deepRfmHere(args, { cwd, env: NO_ADAPTER });
    expect(stderr.join('\n')).toContain(message);
    expect(stderr).toHaveLength(1);
    expect(code).toBe(2);
    expect(stdout).toBe('');
  });
});

describe('theory kernel', () => {
  it.each(['one-hot', 'pm1'])('falls to the least value of %s targets', async (targets) => {
    const args = `theory kernel --classes 6 --per-class 7 --ridge 0.01 --targets ${targets} --out ${targets} --json --quiet`;
    const { code, stdout } = await deepRfmHere(args.split(' '), { cwd });
    expect(code).toBe(0);
    const { points, optimum } = JSON.parse(stdout);
    const ratios = points.map(({ ratio }: { ratio: number }) => ratio);
    expect([...ratios].sort((a, b) => b - a)).toEqual(ratios);
    expect(ratios[0]).toBeGreaterThan(10);
    expect(Math.abs(ratios.at(-1) - 1)).toBeLessThan(1e-7);
    const b = targets === 'pm1' ? ((1 + 0.01 / 7) * 2) / 14 : 0;
    expect(optimum.entries[1][4]).toBeCloseTo(b, 4);
    expect(points.at(-1)).toMatchObject({ within: expect.closeTo(1, 6), between: expect.closeTo(b, 4) });
    expect(readdirSync(join(cwd, targets)).sort()).toEqual(['kernel.png', 'kernel.svg', 'theory.json']);
  });
});
