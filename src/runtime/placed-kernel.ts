/**
 * Kernels for grids with more workgroups along a dimension than the adapter dispatches at once. Every kernel here takes its
 * place from the built-in workgroup_id, global_invocation_id and num_workgroups; its text is completed by one binding that
 * says where a part begins in the whole grid, so that main sees the numbers it would have if all ran at once.
 */

import { RfmError } from '../errors.js';
import { GPUBufferUsage } from './constants.js';
import type { Gpu } from './gpu.js';
import type { Program } from './kernel.js';

export type Extent = readonly [x: number, y: number, z: number];

/** The first workgroup of a part, and the workgroups of the whole grid. */
export interface GridPlace {
  readonly first: Extent;
  readonly whole: Extent;
}

const MAIN = /@compute\s+@workgroup_size\(([^)]*)\)\s*fn main\(([\s\S]*?)\)\s*\{/;
const NUMBERED = /@builtin\((workgroup_id|global_invocation_id|num_workgroups)\)\s*(\w+)/g;

const placed = new WeakMap<Program, Program>();

/** The program with one more binding, the last: a buffer of `placeOf`. No line is added, so that errors keep their places. */
export function placedProgram(program: Program): Program {
  let found = placed.get(program);
  if (!found) {
    found = { ...program, code: placedCode(program), bindings: [...program.bindings, 'uniform'] };
    placed.set(program, found);
  }
  return found;
}

function placedCode({ name, code, bindings }: Program): string {
  const main = MAIN.exec(code);
  if (!main) throw new RfmError('internal', `${name}: no entry point whose workgroups could be counted on`);
  const [head, size, parameters] = main;
  const sizes = [...size.split(',').filter((part) => part.trim() !== ''), '1', '1'].slice(0, 3);
  const numbered: Record<string, (own: string) => string> = {
    workgroup_id: (own) => `${own} + placeInGrid.first.xyz`,
    global_invocation_id: (own) =>
      `${own} + placeInGrid.first.xyz * vec3u(${sizes.map((part) => `u32(${part})`).join(', ')})`,
    num_workgroups: () => 'placeInGrid.whole.xyz',
  };
  const lets: string[] = [];
  const renamed = parameters.replace(NUMBERED, (_, builtin: string, own: string) => {
    lets.push(`let ${own} = ${numbered[builtin](`${own}OfPart`)};`);
    return `@builtin(${builtin}) ${own}OfPart`;
  });
  const declaration = `struct PlaceInGrid { first: vec4u, whole: vec4u } @group(0) @binding(${bindings.length}) var<uniform> placeInGrid: PlaceInGrid; `;
  return code.replace(head, () => `${declaration}${head.replace(parameters, () => renamed)} ${lets.join(' ')}`);
}

const buffers = new WeakMap<GPUDevice, Map<string, GPUBuffer>>();

/** What a placed kernel binds: 32 bytes that stay with the device, since grids are few. */
export function placeOf({ device }: Gpu, { first, whole }: GridPlace): GPUBuffer {
  const known = buffers.get(device) ?? new Map<string, GPUBuffer>();
  buffers.set(device, known);
  const words = [...first, 0, ...whole, 0];
  const key = words.join(' ');
  const found = known.get(key);
  if (found) return found;
  const buffer = device.createBuffer({ size: 32, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
  device.queue.writeBuffer(buffer, 0, new Uint32Array(words));
  known.set(key, buffer);
  return buffer;
}
