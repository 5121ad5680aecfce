/** A Redis of the tests' own, on a loopback port, with a password. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { findRedis } from '../../../scripts/install-redis.mjs';

export const PASSWORD = 'open-sesame-7391';

/** A port that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export interface Redis {
  port: number;
  /** With the password. */
  url: string;
  start(): Promise<void>;
  stop(): Promise<void>;
}

async function answers(port: number): Promise<boolean> {
  const socket = createConnection(port, '127.0.0.1');
  const heard = await Promise.race([
    once(socket, 'connect').then(() => once(socket.end('PING\r\n'), 'data')),
    once(socket, 'error').then(() => null),
  ]).catch(() => null);
  socket.destroy();
  return heard !== null && !String(heard[0]).includes('LOADING');
}

/** Starts a server that keeps its file in `dir`; more settings as on its command line. */
export async function startRedis(dir: string, settings: string[] = []): Promise<Redis> {
  mkdirSync(dir, { recursive: true });
  const port = await freePort();
  let child: ChildProcess | null = null;
  const redis: Redis = {
    port,
    url: `redis://:${PASSWORD}@127.0.0.1:${port}`,
    async start() {
      const fixed = ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', '', '--daemonize', 'no'];
      const safe = ['--requirepass', PASSWORD, '--appendonly', 'yes', '--maxmemory-policy', 'noeviction'];
      child = spawn(findRedis()!, [...fixed, ...safe, ...settings], { stdio: 'ignore' });
      for (let i = 0; i < 200 && !(await answers(port)); i++) await pause(50);
    },
    async stop() {
      if (child === null || child.exitCode !== null) return;
      const end = once(child, 'exit');
      child.kill('SIGTERM');
      await end;
      child = null;
    },
  };
  await redis.start();
  return redis;
}
