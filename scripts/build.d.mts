export const ROOT: string;
export function output(root: string): string;
export function buildNeeded(root?: string): string | null;
export function build(root?: string): Promise<void>;
