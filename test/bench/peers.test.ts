import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { agopProbeCases, mlpStepCases, resnetStepCases } from '../../bench/cases/networks.js';
import { openPeer, type Peer, type PeerJob } from '../../bench/peers.js';
import { largestError } from '../../bench/reference.js';
import { writeNpy } from '../../src/data/npy.js';
import { useGpu } from '../support/gpu.js';

const folder = mkdtempSync(join(tmpdir(), 'deep-rfm-peers-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const { signal } = new AbortController();
const job: PeerJob = {
  op: 'gemm',
  dimensions: { form: 'NT', m: 8, n: 8, k: 8 },
  arrays: {},
  repeats: 3,
  seconds: 1,
};

/** An interpreter that can import anything and answers the first question with `answer` (JavaScript). */
function interpreter(name: string, hello: unknown, answer: string): string {
  const file = join(folder, name);
  const script = `#!${process.execPath}
if (process.argv[2] !== '-c') {
  console.log('words of a library');
  console.log(${JSON.stringify(JSON.stringify(hello))});
  require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
    const job = JSON.parse(line);
    ${answer}
  });
}`;
  writeFileSync(file, script);
  chmodSync(file, 0o755);
  return file;
}

const hello = { name: 'numpy', version: '9', blas: 'some BLAS', threads: 3, where: 'here' };
const open = (python: string) => openPeer('numpy', { python, jaxJs: undefined });

describe.skipIf(process.platform === 'win32')('a peer', () => {
  it('introduces itself, answers, and ends when it is closed', async () => {
    const python = interpreter(
      'good',
      hello,
      `console.log(JSON.stringify(job.op === 'gemm'
        ? { id: job.id, runs: [{ method: 'm ' + job.dimensions.n, samples: [3, 1, 2] }] }
        : { id: job.id, skip: 'no such thing' }));`,
    );
    const peer = (await open(python)) as Peer;
    expect(peer.library).toEqual(hello);
    const runs = await peer.ask(job, signal);
    expect(runs).toEqual([
      {
        method: 'm 8',
        milliseconds: { median: 2, min: 1, max: 3, samples: 3 },
        flops: null,
        nc1: null,
        values: null,
        reference: false,
      },
    ]);
    expect(await peer.ask({ ...job, op: 'other' }, signal)).toBe('no such thing');
    peer.close();
    await expect(peer.ask(job, signal)).rejects.toThrow('it ended with code 0');
  });

  it('that dies is an error with its last words', async () => {
    const python = interpreter('dying', hello, "console.error('first\\nout of memory'); process.exit(3);");
    const peer = (await open(python)) as Peer;
    await expect(peer.ask(job, signal)).rejects.toThrow('it ended with code 3: out of memory');
  });

  it('that answers nonsense is an error, too', async () => {
    const python = interpreter('odd', hello, `console.log(JSON.stringify({ id: job.id, runs: [{ method: 1 }] }));`);
    const peer = (await open(python)) as Peer;
    await expect(peer.ask(job, signal)).rejects.toThrow('method');
    peer.close();
  });

  it('that cannot start, or is not there, is a text that says why', async () => {
    expect(await open(interpreter('silent', { name: 'numpy' }, ''))).toMatch(/^it did not start: /);
    expect(await open('/nonexistent/python')).toBe(
      '--python /nonexistent/python cannot import numpy and scipy; install them, or name one with --python',
    );
    expect(await openPeer('jax-js', { python: undefined, jaxJs: folder })).toContain('@jax-js/jax is not installed in');
  });
});

const numpy = (() => {
  for (const python of ['python3', '/usr/bin/python3']) {
    try {
      execFileSync(python, ['-c', 'import numpy, scipy'], { stdio: 'ignore' });
      return python;
    } catch {
      // the next
    }
  }
  return null;
})();

// Without the libraries on this machine there is nothing to run; the protocol is tested above.
describe.skipIf(numpy === null)('the NumPy peer', () => {
  it('computes the operations, and both forms of the AGOP', async () => {
    const peer = (await open(numpy!)) as Peer;
    expect(peer.library.version).toMatch(/^\d+\.\d+.*scipy/);
    const arrays: Record<string, string> = {};
    const put = (name: string, shape: number[]) => {
      arrays[name] = join(folder, `${name}.npy`);
      const count = shape.reduce((a, b) => a * b, 1);
      writeNpy(
        arrays[name],
        shape,
        Float32Array.from({ length: count }, (_, i) => ((i * 37) % 101) / 50 - 1),
      );
    };
    put('x', [12, 5]);
    put('alpha', [3, 12]);
    put('weights', [12, 12]);
    const dimensions = { form: 'TN', m: 8, n: 8, k: 8, d: 5, bandwidth: 2, width: 4, values: [1, 2] };
    for (const op of ['gemm', 'syrk', 'kernel-matrix', 'cholesky', 'trsm', 'features', 'ridges', 'agop-gram']) {
      const runs = await peer.ask({ ...job, op, dimensions, arrays }, signal);
      if (typeof runs === 'string') throw new Error(`${op}: ${runs}`);
      expect(runs).toHaveLength(op === 'agop-gram' ? 2 : 1);
      for (const { milliseconds } of runs) expect(milliseconds.min).toBeGreaterThan(0);
    }
    peer.close();
  });
});

const torch = (() => {
  for (const python of ['python3', '/usr/bin/python3']) {
    try {
      execFileSync(python, ['-c', 'import torch, numpy'], { stdio: 'ignore' });
      return python;
    } catch {
      // the next
    }
  }
  return null;
})();

describe.skipIf(torch === null)('the PyTorch peer', () => {
  const gpu = useGpu();

  it('does the same steps and probes of networks, and confirms the gradient of ResNet-18 in float64', async () => {
    const peer = (await openPeer('torch', { python: torch!, jaxJs: undefined })) as Peer;
    const request = { sizes: [4], quick: true, dataDir: undefined };
    const [step, whole, probe] = [mlpStepCases, resnetStepCases, agopProbeCases].map((cases) => cases(request)[0]!);
    for (const benchCase of [step!, whole!, probe!]) {
      const { op, dimensions } = benchCase;
      const prepared = await benchCase.prepare(gpu());
      const arrays: Record<string, string> = {};
      for (const [name, { shape, data }] of Object.entries(await prepared.arrays!())) {
        arrays[name] = join(folder, `${name}.npy`);
        writeNpy(arrays[name], shape, data);
      }
      await prepared.reset?.(gpu());
      await prepared.run(gpu());
      const runs = await peer.ask({ op, dimensions, arrays, repeats: 2, seconds: 5 }, signal);
      if (typeof runs === 'string') throw new Error(`${op}: ${runs}`);
      for (const { milliseconds } of runs) expect(milliseconds.min).toBeGreaterThan(0);
      const methods = runs.filter(({ reference }) => !reference).map(({ method }) => method);
      expect(methods[0]).toMatch(/^autograd/);
      if (op === 'agop-probe') expect(methods.length).toBeLessThanOrEqual(2);
      const expected = runs.find(({ reference }) => reference)?.values;
      expect(expected !== undefined).toBe(op === 'resnet18-step');
      if (expected) {
        const found = await prepared.values!();
        expect(found.map((values) => values.length)).toEqual([10 * 40, 64 * 49 * 3]);
        // A ReLU or a maximum that rounding decides otherwise would cost more than rounding itself.
        expect(largestError(found, expected)).toBeLessThan(1e-4);
      } else expect(await prepared.error(gpu())).toBeLessThan(1e-5);
      prepared.release();
    }
    peer.close();
  });
});
