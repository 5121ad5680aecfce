// Reads a shader of shaders/ for the program. Two lines of it are no WGSL, each alone on its line:
//   #include "name.wgsl"     the text of shaders/common/name.wgsl comes before the shader's, once in a kernel
//   #for i in 0..32          the lines up to `#end` stand here for i = 0 … 31, with `$i`, or `$(2*i+1)`, replaced
// What comes out knows the file and line of each of its lines, so that an error of the compiler can name them.

import { readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const SHADERS = join(dirname(dirname(fileURLToPath(import.meta.url))), 'shaders');

const INCLUDE = /^\s*#include\s+"([\w.-]+)"\s*$/;
const LOOP = /^\s*#for\s+(\w+)\s+in\s+(\d+)\.\.(\d+)\s*$/;
const END = /^\s*#end\s*$/;

/** The value of sums and products of whole numbers and variables. */
function evaluate(expression, variables, where) {
  const numbers = expression.replace(/[A-Za-z_]\w*/g, (name) => {
    if (!(name in variables))
      throw new Error(`${where}: $(${expression}) names ${name}, which no #for around it counts`);
    return String(variables[name]);
  });
  if (!/^[\d\s+\-*/%()]+$/.test(numbers)) throw new Error(`${where}: $(${expression}) is no sum or product of numbers`);
  return Math.trunc(new Function(`return ${numbers}`)());
}

const substituted = (line, variables, where) =>
  line
    .replace(/\$\(([^()]*(?:\([^()]*\)[^()]*)*)\)/g, (_, expression) => evaluate(expression, variables, where))
    .replace(/\$(\w+?)(?![A-Za-z0-9_])/g, (_, name) => evaluate(name, variables, where));

/** Lines from … to − 1 with the number each has in its file, and the names of what is included. */
function expand({ lines, file, includes }, from, to, variables) {
  const found = [];
  for (let i = from; i < to; i++) {
    const where = `shaders/${file}:${i + 1}`;
    const include = INCLUDE.exec(lines[i]);
    const loop = LOOP.exec(lines[i]);
    if (include) includes.add(include[1]);
    else if (loop) {
      const end = endOf(lines, i, to, where);
      for (let n = Number(loop[2]); n < Number(loop[3]); n++) {
        found.push(...expand({ lines, file, includes }, i + 1, end, { ...variables, [loop[1]]: n }));
      }
      i = end;
    } else if (END.test(lines[i])) throw new Error(`${where}: #end without #for`);
    else found.push([substituted(lines[i], variables, where), i + 1]);
  }
  return found;
}

/** The line of the `#end` that belongs to the `#for` in line `start`. */
function endOf(lines, start, to, where) {
  let depth = 0;
  for (let i = start; i < to; i++) {
    if (LOOP.test(lines[i])) depth++;
    if (END.test(lines[i]) && --depth === 0) return i;
  }
  throw new Error(`${where}: #for without #end`);
}

/** `WgslSource` of src/runtime/kernel.ts, with the paths of the includes in place of their sources. */
export function readWgsl(path, shaders = SHADERS) {
  const file = relative(shaders, path).split(sep).join('/');
  const includes = new Set();
  const lines = readFileSync(path, 'utf8').replace(/\n$/, '').split('\n');
  const expanded = expand({ lines, file, includes }, 0, lines.length, {});
  const runs = [];
  expanded.forEach(([, line], i) => {
    const last = runs.at(-1);
    if (!last || line - last[1] !== i - last[0]) runs.push([i, line]);
  });
  return {
    file,
    text: expanded.map(([text]) => text).join('\n'),
    runs,
    includes: [...includes].map((name) => join(shaders, 'common', name)),
  };
}

/** The module that an import of the file becomes. */
export function wgslModule(path) {
  const { includes, ...source } = readWgsl(path);
  const imports = includes.map((include, i) => `import include${i} from ${JSON.stringify(include)};\n`);
  const names = includes.map((_, i) => `include${i}`);
  return `${imports.join('')}export default { ...${JSON.stringify(source)}, includes: [${names.join(', ')}] };`;
}

/** For esbuild. */
export const wgslPlugin = {
  name: 'wgsl',
  setup(build) {
    build.onLoad({ filter: /\.wgsl$/ }, ({ path }) => {
      try {
        return { contents: wgslModule(path), loader: 'js', resolveDir: dirname(path) };
      } catch (error) {
        return { errors: [{ text: error.message }] };
      }
    });
  },
};
