export function packagesNeeded(root: string, machine?: { platform?: string; arch?: string }): string | null;
