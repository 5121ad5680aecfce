import type { Plugin } from 'esbuild';

export const PAGE_SCRIPT: string;
export function pageScriptModule(): Promise<string>;
export const pageScriptPlugin: Plugin;
