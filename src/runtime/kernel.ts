/**
 * A kernel is declared once: its WGSL, its bindings and parameters by name. What WGSL says of them (`struct Params`, the
 * `@group(0)` variables), the layout that WebGPU binds by, and the type of a dispatch all come from the declaration.
 */

import { RfmError } from '../errors.js';
import { IMMEDIATE_BYTES } from './constants.js';

/** WGSL as it lies in shaders/, read by scripts/wgsl.mjs. */
export interface WgslSource {
  /** Path below shaders/. */
  readonly file: string;
  readonly text: string;
  /** From line `first` of the text on (from 0), lines of the file from `line` on (from 1). */
  readonly runs: readonly (readonly [first: number, line: number])[];
  /** Sources that the text needs before it. */
  readonly includes: readonly WgslSource[];
}

/** A shader is made of files; text that is in no file is for what TypeScript decides, such as an alias. */
export type WgslPart = WgslSource | string;

/** A storage buffer. `of` 'matrix': only whole matrices can be bound; 'view': the kernel minds an offset and a stride. */
export interface StorageBinding<Of extends 'matrix' | 'view' = 'matrix' | 'view'> {
  readonly access: 'read' | 'read_write';
  /** Its WGSL type, such as `array<vec4f>`. */
  readonly type: string;
  readonly of: Of;
}
/** A texture of four float32 a texel that the kernel reads. */
export interface TextureBinding {
  readonly access: 'texture';
}
export type BindingDeclaration = StorageBinding | TextureBinding;

/** A whole matrix, or a buffer, that the kernel reads. `type`: of the variable in WGSL, such as `array<vec4f>`. */
export const read = (type: string): StorageBinding<'matrix'> => ({ access: 'read', type, of: 'matrix' });
/** A whole matrix, or a buffer, that the kernel writes, and may read. */
export const readWrite = (type: string): StorageBinding<'matrix'> => ({ access: 'read_write', type, of: 'matrix' });
/** A matrix or a view into one that the kernel reads; its offset and stride are among the parameters. */
export const readView = (type: string): StorageBinding<'view'> => ({ access: 'read', type, of: 'view' });
/**
 * A matrix or a view into one that the kernel writes, and may read; its offset and stride are among the parameters.
 */
export const readWriteView = (type: string): StorageBinding<'view'> => ({ access: 'read_write', type, of: 'view' });
/** A texture of four float32 a texel. */
export const texture: TextureBinding = { access: 'texture' };

/** Tells the kernel where a part of a divided dispatch begins; the runtime fills it in. See division.ts. */
export interface FirstRow {
  readonly step: number;
}
/** A u32: the number of the first row of workgroups of a part, times `step`. */
export const firstRow = (step = 1): FirstRow => ({ step });

/**
 * What a parameter is: a number of this WGSL type; 'flag', a boolean, or 'u2', a number from 0 to 3, all of which share the
 * word `flags` (see `programOf`); 'zero', a u32 that is 0 without the compiler knowing, with which values are hidden from
 * algebraic simplification. It has a word of its own: as a bit of `flags` it cost the product of workgroups 4 % on lavapipe.
 */
export type ParameterDeclaration = 'u32' | 'i32' | 'f32' | 'flag' | 'u2' | 'zero' | FirstRow;

export type ConstantDeclaration = 'u32' | 'bool';

export type Bindings = Readonly<Record<string, BindingDeclaration>>;
export type Parameters = Readonly<Record<string, ParameterDeclaration>>;
export type Constants = Readonly<Record<string, ConstantDeclaration>>;

/** A declared kernel. `B`, `P` and `C` are its bindings, parameters and the constants that a dispatch still chooses. */
export interface Kernel<
  B extends Bindings = Bindings,
  P extends Parameters = Parameters,
  C extends Constants = Constants,
> {
  /** Its name in profiles and errors. */
  readonly name: string;
  readonly sources: readonly WgslPart[];
  /** In the order of their @binding numbers. */
  readonly bindings: B;
  /** In the order of `struct Params`. */
  readonly params: P;
  /** Compile-time constants of the text. */
  readonly constants: C;
  /** Constants chosen already: see `specialize`. */
  readonly chosen: ConstantValues;
}

export type ConstantValues = Readonly<Record<string, number | boolean>>;

/**
 * Declares a kernel. In WGSL the parameters are fields of `p`, the bindings and constants variables of their names, and the
 * entry point is `main`. Text that is the same in several kernels is included (`#include` in scripts/wgsl.mjs).
 */
export function defineKernel<
  const B extends Bindings,
  const P extends Parameters = Record<never, never>,
  const C extends Constants = Record<never, never>,
>(declaration: {
  name: string;
  source: WgslPart | readonly WgslPart[];
  bindings: B;
  params?: P;
  constants?: C;
}): Kernel<B, P, C> {
  const { name, source, bindings, params = {} as P, constants = {} as C } = declaration;
  const kernel = {
    name,
    sources: (Array.isArray(source) ? source : [source]) as readonly WgslPart[],
    bindings,
    params,
    constants,
    chosen: {},
  };
  layoutOf(kernel);
  return kernel;
}

/** The same kernel under a name of its own, with some of its constants chosen. */
export function specialize<
  B extends Bindings,
  P extends Parameters,
  C extends Constants,
  const V extends { readonly [K in keyof C]?: ConstantValue<C[K]> },
>(kernel: Kernel<B, P, C>, name: string, values: V): Kernel<B, P, Omit<C, keyof V>> {
  const constants = Object.fromEntries(Object.entries(kernel.constants).filter(([key]) => !(key in values)));
  return {
    ...kernel,
    name,
    constants: constants as unknown as Omit<C, keyof V>,
    chosen: { ...kernel.chosen, ...(values as ConstantValues) },
  };
}

type ConstantValue<D> = D extends 'bool' ? boolean : number;

/** Numbers by name; those that the runtime fills in are left out. */
export type ParameterValues<P extends Parameters> = {
  readonly [K in keyof P as P[K] extends 'zero' | FirstRow ? never : K]: P[K] extends 'flag' ? boolean : number;
};

/** A parameter of `width` bits from bit `shift` of the word `flags` on. */
interface SmallField {
  readonly name: string;
  readonly shift: number;
  readonly width: 1 | 2;
}

/** Where each parameter lies in the words of a dispatch. */
interface Layout {
  readonly fields: readonly { name: string; word: number; kind: 'u32' | 'i32' | 'f32' }[];
  readonly small: readonly SmallField[];
  /** The word of the small fields; −1 without. */
  readonly flagsWord: number;
  /** null where parts cannot be told apart. */
  readonly first: { word: number; step: number } | null;
  /** Members of `struct Params` in WGSL. */
  readonly members: readonly string[];
  /** What WGSL reads the small fields with. */
  readonly readers: readonly string[];
}

const layouts = new WeakMap<Parameters, Layout>();

/** @throws internal error where there is more than a dispatch takes. */
function layoutOf({ name, params }: Pick<Kernel, 'name' | 'params'>): Layout {
  const known = layouts.get(params);
  if (known) return known;
  const fields: { name: string; word: number; kind: 'u32' | 'i32' | 'f32' }[] = [];
  const members: string[] = [];
  let first: Layout['first'] = null;
  const small = smallFields(name, params);
  for (const [field, kind] of Object.entries(params)) {
    if (typeof kind === 'object') first = { word: members.push(`${field}: u32`) - 1, step: kind.step };
    else if (kind === 'zero') members.push(`${field}: u32`);
    else if (kind === 'u32' || kind === 'i32' || kind === 'f32') {
      fields.push({ name: field, word: members.push(`${field}: ${kind}`) - 1, kind });
    }
  }
  const flagsWord = small.length > 0 ? members.push('flags: u32') - 1 : -1;
  if (members.length > WORDS) {
    throw new RfmError('internal', `${name} has ${members.length} words of parameters; a dispatch takes ${WORDS}`);
  }
  const layout = { fields, small, flagsWord, first, members, readers: readersOf(small) };
  layouts.set(params, layout);
  return layout;
}

function smallFields(kernel: string, params: Parameters): SmallField[] {
  let shift = 0;
  const found: SmallField[] = [];
  for (const [name, kind] of Object.entries(params)) {
    if (kind !== 'flag' && kind !== 'u2') continue;
    const width = kind === 'flag' ? 1 : 2;
    found.push({ name, shift, width });
    shift += width;
  }
  if (shift > 32) throw new RfmError('internal', `${kernel} has ${shift} bits of flags; a word takes 32`);
  return found;
}

function readersOf(small: readonly SmallField[]): string[] {
  const readers = small.map(({ name, shift, width }) =>
    width === 1
      ? `const ${constantName(name)} = ${2 ** shift}u;`
      : `fn ${name}() -> u32 { return (p.flags >> ${shift}u) & 3u; }`,
  );
  if (small.some(({ width }) => width === 1)) {
    readers.push('fn has(flag: u32) -> bool { return (p.flags & flag) != 0u; }');
  }
  return readers;
}

const namesOfBindings = new WeakMap<Bindings, readonly string[]>();

/** In the order of their @binding numbers. */
export function bindingNames({ bindings }: Kernel): readonly string[] {
  let names = namesOfBindings.get(bindings);
  if (!names) {
    names = Object.keys(bindings);
    namesOfBindings.set(bindings, names);
  }
  return names;
}

/** Words of parameters that a dispatch takes. */
export const WORDS = IMMEDIATE_BYTES / 4;

const words = new Uint32Array(WORDS);
const integers = new Int32Array(words.buffer);
const floats = new Float32Array(words.buffer);

/** The words of `struct Params`, and where a part's first row is added; overwritten by the next call. */
export function parameterWords(
  kernel: Kernel,
  values: Readonly<Record<string, number | boolean>>,
): { words: Uint32Array; first: Layout['first'] } {
  const { fields, small, flagsWord, first } = layoutOf(kernel);
  words.fill(0);
  for (const { name, word, kind } of fields) {
    const value = values[name] as number;
    if (kind === 'f32') floats[word] = value;
    else if (kind === 'i32') integers[word] = value;
    else words[word] = value;
  }
  for (const { name, shift, width } of small) {
    const value = Number(values[name]);
    if (value >= 2 ** width)
      throw new RfmError('internal', `${kernel.name}: ${name} is ${value}, and has ${width} bits`);
    words[flagsWord] |= value << shift;
  }
  return { words, first };
}

/** What the driver compiles: WGSL, and how WebGPU binds to it. */
export interface Program {
  readonly name: string;
  readonly code: string;
  readonly bindings: readonly ('read' | 'read_write' | 'texture' | 'uniform')[];
  /** The file and line (from 1) of a line of `code` (from 0); null where the text was made. */
  at(line: number): { file: string; line: number } | null;
}

const programs = new WeakMap<Kernel, Map<string, Program>>();

/**
 * The text of a kernel with these constants: directives, constants, parameters, bindings, then the files. `NAME` in capitals
 * is the bit of a flag, and `has(NAME)` tells whether it is set; a 'u2' is read by `name()`.
 */
export function programOf(kernel: Kernel, constants: ConstantValues = NONE): Program {
  let ofKernel = programs.get(kernel);
  if (!ofKernel) {
    ofKernel = new Map();
    programs.set(kernel, ofKernel);
  }
  let key = '';
  for (const name in constants) key += `${name} ${constants[name]} `;
  let program = ofKernel.get(key);
  if (!program) {
    program = assemble(kernel, { ...kernel.chosen, ...constants });
    ofKernel.set(key, program);
  }
  return program;
}

const NONE: ConstantValues = {};

/** The same with the constants checked against the declaration. In the order of a dispatch's: they are written in that order. */
export const programWith = <B extends Bindings, P extends Parameters, C extends Constants>(
  kernel: Kernel<B, P, C>,
  constants: { readonly [K in keyof C]: C[K] extends 'bool' ? boolean : number },
): Program => programOf(kernel as unknown as Kernel, constants);

/** Directives come first in WGSL, so those of the files move before everything else. */
const DIRECTIVE = /^[ \t]*(enable|requires)[ \t][^;\n]*;[ \t]*$/gm;

function assemble(kernel: Kernel, constants: ConstantValues): Program {
  const parts = withIncludes(kernel.sources);
  const texts = parts.map((part) => (typeof part === 'string' ? part : part.text));
  const directives = new Set(texts.flatMap((text) => (text.match(DIRECTIVE) ?? []).map((line) => line.trim())));
  const { members, readers } = layoutOf(kernel);
  if (members.length > 0) directives.add('requires immediate_address_space;');
  const made = [
    ...directives,
    ...Object.entries(constants).map(([name, value]) =>
      typeof value === 'boolean' ? `const ${name}: bool = ${value};` : `const ${name}: u32 = ${value}u;`,
    ),
    ...readers,
    ...(members.length > 0 ? [`struct Params { ${members.join(', ')} }`, 'var<immediate> p: Params;'] : []),
    ...Object.entries(kernel.bindings).map(
      ([name, binding], i) =>
        `@group(0) @binding(${i}) ${
          binding.access === 'texture'
            ? `var ${name}: texture_storage_2d<rgba32float, read>`
            : `var<storage, ${binding.access}> ${name}: ${binding.type}`
        };`,
    ),
  ];
  const code = [...made, ...texts.map((text) => text.replace(DIRECTIVE, ''))].join('\n');
  return {
    name: kernel.name,
    code,
    bindings: Object.values(kernel.bindings).map(({ access }) => access),
    at: (line) => placeOfLine(parts, line - made.length),
  };
}

/** strideA → STRIDE_A. */
const constantName = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();

/** The parts with what they include before them, each file once. */
function withIncludes(parts: readonly WgslPart[]): WgslPart[] {
  const found = new Set<WgslPart>();
  const add = (part: WgslPart): void => {
    if (typeof part !== 'string') for (const include of part.includes) add(include);
    found.add(part);
  };
  for (const part of parts) add(part);
  return [...found];
}

function placeOfLine(parts: readonly WgslPart[], line: number): { file: string; line: number } | null {
  let first = 0;
  for (const part of parts) {
    const text = typeof part === 'string' ? part : part.text;
    const count = text.split('\n').length;
    if (line >= first && line < first + count) {
      if (typeof part === 'string') return null;
      const inPart = line - first;
      const run = part.runs.findLast(([start]) => start <= inPart);
      return run ? { file: `shaders/${part.file}`, line: run[1] + inPart - run[0] } : null;
    }
    first += count;
  }
  return null;
}
