import type { Server } from 'node:http';

export function pageFiles(): Promise<Map<string, string | Buffer>>;
export function buildPage(folder?: string): Promise<string>;
export function servePage(port: number): Promise<{ server: Server; url: string }>;
