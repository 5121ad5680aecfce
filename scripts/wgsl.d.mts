import type { Plugin } from 'esbuild';
import type { WgslSource } from '../src/runtime/kernel.js';

export function readWgsl(path: string, shaders?: string): Omit<WgslSource, 'includes'> & { includes: string[] };
export function wgslModule(path: string): string;
export const wgslPlugin: Plugin;
