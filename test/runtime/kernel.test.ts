import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readWgsl } from '../../scripts/wgsl.mjs';
import { RfmError } from '../../src/errors.js';
import { runBatch } from '../../src/runtime/batch.js';
import {
  defineKernel,
  firstRow,
  programOf,
  read,
  readView,
  readWrite,
  specialize,
  type WgslSource,
} from '../../src/runtime/kernel.js';
import { allocate, block, release } from '../../src/runtime/matrix.js';
import { poisoned, put, read as readBack, useGpu } from '../support/gpu.js';
import { randomMatrix } from '../support/reference.js';

const gpu = useGpu();

const folder = mkdtempSync(join(tmpdir(), 'deep-rfm-wgsl-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A shader as scripts/wgsl.mjs reads it from a folder of shaders. */
function shader(path: string, text: string): WgslSource {
  const file = join(folder, path);
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, text);
  const { includes, ...source } = readWgsl(file, folder);
  return {
    ...source,
    includes: includes.map((include) => ({ ...readWgsl(include, folder), includes: [] })),
  };
}

const SCALE = `// Doubles.
enable subgroups;

fn twice(x: f32) -> f32 { return 2.0 * x; }

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= p.count) { return; }
  var value = twice(a[id.x]) * p.factor;
  if (has(NEGATIVE)) { value = -value; }
  out[id.x] = value + f32(OFFSET);
}`;

const scale = defineKernel({
  name: 'scale',
  source: SCALE,
  bindings: { a: read('array<f32>'), out: readWrite('array<f32>') },
  params: { count: 'u32', factor: 'f32', negative: 'flag' },
  constants: { OFFSET: 'u32' },
});

describe('a declared kernel', () => {
  it('becomes directives, constants, flags, parameters and bindings, then its text', () => {
    const { code, bindings } = programOf(scale, { OFFSET: 3 });
    expect(code.split('\n').slice(0, 10)).toEqual([
      'enable subgroups;',
      'requires immediate_address_space;',
      'const OFFSET: u32 = 3u;',
      'const NEGATIVE = 1u;',
      'fn has(flag: u32) -> bool { return (p.flags & flag) != 0u; }',
      'struct Params { count: u32, factor: f32, flags: u32 }',
      'var<immediate> p: Params;',
      '@group(0) @binding(0) var<storage, read> a: array<f32>;',
      '@group(0) @binding(1) var<storage, read_write> out: array<f32>;',
      '// Doubles.',
    ]);
    expect(bindings).toEqual(['read', 'read_write']);
    expect(programOf(scale, { OFFSET: 3 })).toBe(programOf(scale, { OFFSET: 3 }));
  });

  it('gets numbers, flags and constants by name', async () => {
    const a = put(gpu(), randomMatrix(1, 8, 1));
    const { data } = await readBack(gpu(), a);
    const found: number[][] = [];
    for (const [factor, negative] of [
      [0.5, false],
      [-1.25, true],
    ] as const) {
      const out = poisoned(gpu(), 1, 8);
      await runBatch(gpu(), (batch) =>
        batch.dispatch(scale, {
          bindings: { a, out },
          params: { count: 8, factor, negative },
          constants: { OFFSET: 1 },
          grid: [1],
        }),
      );
      found.push([...(await readBack(gpu(), out)).data]);
      release(gpu(), out);
    }
    release(gpu(), a);
    expect(found).toEqual([
      [...data].map((x) => Math.fround(x + 1)),
      [...data].map((x) => Math.fround(Math.fround(2.5 * x) + 1)),
    ]);
  });

  it('has small parameters in the word of its flags, none of which disturbs another', async () => {
    const small = defineKernel({
      name: 'small',
      source: `@compute @workgroup_size(1)
fn main() {
  out[0] = select(0u, 1u, has(FIRST));
  out[1] = padding();
  out[2] = select(0u, 1u, has(LAST_ONE));
  out[3] = p.zero;
}`,
      bindings: { out: readWrite('array<u32>') },
      params: { first: 'flag', padding: 'u2', lastOne: 'flag', zero: 'zero' },
    });
    expect(programOf(small).code).toContain('struct Params { zero: u32, flags: u32 }');
    const words = async (first: boolean, padding: number, lastOne: boolean): Promise<number[]> => {
      const out = poisoned(gpu(), 1, 4);
      const call = { bindings: { out }, params: { first, padding, lastOne }, grid: [1] } as const;
      try {
        await runBatch(gpu(), (batch) => batch.dispatch(small, call));
        return [...new Uint32Array(Float32Array.from((await readBack(gpu(), out)).data).buffer)];
      } finally {
        release(gpu(), out);
      }
    };
    for (const first of [false, true]) {
      for (const padding of [0, 1, 2, 3]) {
        for (const lastOne of [false, true]) {
          expect(await words(first, padding, lastOne)).toEqual([Number(first), padding, Number(lastOne), 0]);
        }
      }
    }
    await expect(words(false, 4, false)).rejects.toThrow('small: padding is 4, and has 2 bits');
  });

  it('keeps what was chosen under a name of its own', () => {
    const shifted = specialize(scale, 'shifted', { OFFSET: 7 });
    const program = programOf(shifted);
    expect(program.name).toBe('shifted');
    expect(program.code).toBe(programOf(scale, { OFFSET: 7 }).code);
  });

  it('of more words than a dispatch takes is refused where it is declared', () => {
    const params = Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`x${i}`, 'u32' as const]));
    expect(() => defineKernel({ name: 'large', source: '', bindings: {}, params })).toThrow(
      'large has 17 words of parameters; a dispatch takes 16',
    );
  });

  it('of more flags than a word has bits is refused, too', () => {
    const params = Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`x${i}`, 'u2' as const]));
    expect(() => defineKernel({ name: 'wide', source: '', bindings: {}, params })).toThrow(
      'wide has 34 bits of flags; a word takes 32',
    );
  });

  it('tells a misspelt, a missing and a surplus name, and a view where a matrix is wanted, when it is compiled', () => {
    const view = defineKernel({ name: 'view', source: '', bindings: { a: readView('array<f32>') } });
    // Not run: the type check of the tests fails where one of these lines is no error.
    const mistakes = (): void => {
      const batch = undefined as never as import('../../src/runtime/batch.js').Batch;
      const a = allocate(gpu(), 4, 4);
      const rows = block(a, 1, 0, 2, 4);
      const params = { count: 8, factor: 1, negative: false };
      const constants = { OFFSET: 1 };
      batch.dispatch(view, { bindings: { a: rows }, grid: [1] });
      // @ts-expect-error a view
      batch.dispatch(scale, { bindings: { a: rows, out: a }, params, constants, grid: [1] });
      // @ts-expect-error no `out`
      batch.dispatch(scale, { bindings: { a }, params, constants, grid: [1] });
      // @ts-expect-error no constants
      batch.dispatch(scale, { bindings: { a, out: a }, params, grid: [1] });
      batch.dispatch(scale, {
        bindings: { a, out: a },
        // @ts-expect-error misspelt
        params: { count: 8, facter: 1, negative: false },
        constants,
        grid: [1],
      });
      batch.dispatch(scale, {
        bindings: { a, out: a },
        // @ts-expect-error surplus
        params: { count: 8, factor: 1, negative: false, more: 1 },
        constants,
        grid: [1],
      });
    };
    expect(mistakes).toBeTypeOf('function');
  });

  it('that states its work without firstRow, or reads what was released, is refused', async () => {
    const out = poisoned(gpu(), 1, 8);
    const a = poisoned(gpu(), 1, 8);
    const call = {
      bindings: { a, out },
      params: { count: 8, factor: 1, negative: false },
      constants: { OFFSET: 1 },
      grid: [1],
    } as const;
    await expect(runBatch(gpu(), (batch) => batch.dispatch(scale, { ...call, work: { flops: 1 } }))).rejects.toThrow(
      'scale states its work but declares no firstRow',
    );
    release(gpu(), a);
    await expect(runBatch(gpu(), (batch) => batch.dispatch(scale, call))).rejects.toThrow(
      'scale is to read or write a matrix that was released',
    );
    expect(() => release(gpu(), a)).toThrow('released twice');
    release(gpu(), out);
  });

  it('learns where the rows of a part begin, in its own unit', async () => {
    const rows = defineKernel({
      name: 'rows',
      source: `@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) group: vec3u) { out[p.first / 10u + group.x] = p.first + group.x; }`,
      bindings: { out: readWrite('array<u32>') },
      params: { first: firstRow(10) },
    });
    const out = poisoned(gpu(), 1, 8);
    const slow = { ...gpu(), rate: { flops: 8 } };
    // Two workgroups take a quarter of a second at that rate.
    await runBatch(slow, (batch) => batch.dispatch(rows, { bindings: { out }, grid: [8], work: { flops: 1 } }));
    const words = new Uint32Array(Float32Array.from((await readBack(gpu(), out)).data).buffer);
    release(gpu(), out);
    expect([...words]).toEqual([0, 1, 20, 21, 40, 41, 60, 61]);
  });
});

describe('an error of the compiler', () => {
  const failure = async (source: WgslSource): Promise<RfmError> => {
    const kernel = defineKernel({ name: 'wrong', source, bindings: { out: readWrite('array<f32>') } });
    const out = poisoned(gpu(), 1, 4);
    const error = await runBatch(gpu(), (batch) => batch.dispatch(kernel, { bindings: { out }, grid: [1] })).catch(
      (reason: unknown) => reason,
    );
    release(gpu(), out);
    expect(error).toBeInstanceOf(RfmError);
    return error as RfmError;
  };
  const main = '@compute @workgroup_size(1)\nfn main() {';

  it('names the file, the line and the text as they lie in shaders/', async () => {
    const { message } = await failure(shader('a/wrong.wgsl', `enable subgroups;\n\n${main}\n  let x: u32 = 1.5;\n}\n`));
    expect(message).toMatch(/^wrong: shaders\/a\/wrong\.wgsl:5: .*: let x: u32 = 1\.5;$/);
  });

  it('in a loop that was written out, and in a text that was included', async () => {
    const loop = `${main}\n#for i in 0..3\n  out[$i] = 1.0;\n  out[$(2 * i + 1)] = nothing;\n#end\n}\n`;
    expect((await failure(shader('a/loop.wgsl', loop))).message).toMatch(
      /^wrong: shaders\/a\/loop\.wgsl:5: .*: out\[1\] = nothing;$/,
    );
    shader('common/part.wgsl', '// Line 1.\nfn part() -> f32 { return missing; }\n');
    expect((await failure(shader('a/user.wgsl', `#include "part.wgsl"\n${main}\n}\n`))).message).toMatch(
      /^wrong: shaders\/common\/part\.wgsl:2: /,
    );
  });
});

describe('scripts/wgsl.mjs', () => {
  it('writes loops out, one in another, and keeps the rest', () => {
    const text = 'a\n#for i in 0..2\n#for j in 1..3\nx[$(3*i+j)] = $i$j;\n#end\n#end\nb\n';
    expect(shader('a/nested.wgsl', text).text.split('\n')).toEqual([
      'a',
      'x[1] = 01;',
      'x[2] = 02;',
      'x[4] = 11;',
      'x[5] = 12;',
      'b',
    ]);
  });

  it.each([
    ['#for i in 0..2\nx\n', 'shaders/a/bad.wgsl:1: #for without #end'],
    ['x\n#end\n', 'shaders/a/bad.wgsl:2: #end without #for'],
    ['#for i in 0..2\n$(j)\n#end\n', 'shaders/a/bad.wgsl:2: $(j) names j, which no #for around it counts'],
  ])('refuses %j', (text, message) => {
    expect(() => shader('a/bad.wgsl', text)).toThrow(message);
  });
});
