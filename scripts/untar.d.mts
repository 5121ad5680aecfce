export function tarFiles(archive: Uint8Array): Generator<{ name: string; data: Uint8Array }>;
