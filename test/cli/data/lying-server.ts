/** A server that serves bytes in every wrong way that servers have, and a proxy. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterAll } from 'vitest';

export interface Heard {
  url: string;
  range: string | undefined;
  ifRange: string | undefined;
}

type Answer = (request: IncomingMessage, response: ServerResponse, bytes: Buffer) => void;

const whole: Answer = (_request, response, bytes) => {
  response.writeHead(200, { 'content-length': bytes.length });
  response.end(bytes);
};

/** Ranges, and If-Range against the ETag "v1". */
const ranges: Answer = (request, response, bytes) => {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const same = (request.headers['if-range'] ?? '"v1"') === '"v1"';
  if (from === 0 || !same) {
    response.writeHead(200, { 'content-length': bytes.length, etag: '"v1"' });
    response.end(bytes);
    return;
  }
  if (from >= bytes.length) {
    response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end();
    return;
  }
  const range = `bytes ${from}-${bytes.length - 1}/${bytes.length}`;
  response.writeHead(206, { 'content-length': bytes.length - from, 'content-range': range, etag: '"v1"' });
  response.end(bytes.subarray(from));
};

/** The first half, and then the connection is gone. */
const dies: Answer = (_request, response, bytes) => {
  response.writeHead(200, { 'content-length': bytes.length, etag: '"v1"' });
  response.write(bytes.subarray(0, bytes.length / 2), () => setTimeout(() => response.destroy(), 20));
};

const ANSWERS: Readonly<Record<string, Answer>> = {
  whole,
  ranges,
  dies,
  /** Without a length, in chunks that end too early: for HTTP all is well. */
  short: (_request, response, bytes) => {
    response.writeHead(200).end(bytes.subarray(0, bytes.length / 2));
  },
  more: (_request, response, bytes) => {
    response.writeHead(200);
    response.end(Buffer.concat([bytes, bytes]));
  },
  /** A length that is not the file's, of something else. */
  other: (_request, response, bytes) => {
    response.writeHead(200, { 'content-length': bytes.length + 7 }).end(Buffer.alloc(bytes.length + 7));
  },
  /** Says more than it sends. */
  lies: (_request, response, bytes) => {
    response.writeHead(200, { 'content-length': bytes.length });
    response.write(bytes.subarray(0, bytes.length - 9), () => setTimeout(() => response.destroy(), 20));
  },
  wrong: (_request, response, bytes) => whole(_request, response, Buffer.from(bytes).fill(7, 0, 1)),
  page: (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end('<html>Sign in</html>');
  },
  /** A page of the right length that says it is a file. */
  disguised: (_request, response, bytes) => {
    response.writeHead(200, { 'content-type': 'application/gzip', 'content-length': bytes.length });
    response.end('<!DOCTYPE html>'.padEnd(bytes.length, ' '));
  },
  encoded: (_request, response, bytes) => {
    response.writeHead(200, { 'content-encoding': 'gzip' }).end(bytes);
  },
  missing: (_request, response) => {
    response.writeHead(404).end('no');
  },
  broken: (_request, response) => {
    response.writeHead(503).end('no');
  },
  stalls: (_request, response, bytes) => {
    response.writeHead(200, { 'content-length': bytes.length });
    response.write(bytes.subarray(0, bytes.length / 2));
  },
  silent: () => {},
  /** Another range than it was asked for. */
  shifted: (request, response, bytes) => {
    if (request.headers.range === undefined) return whole(request, response, bytes);
    response.writeHead(206, { 'content-range': `bytes 1-${bytes.length - 1}/${bytes.length}` });
    response.end(bytes.subarray(1));
  },
  loop: (request, response) => {
    response.writeHead(302, { location: request.url }).end();
  },
};

const addressOf = (server: Server): string => `http://localhost:${(server.address() as AddressInfo).port}`;

const listening = (server: Server): Promise<string> =>
  new Promise((resolve) => server.listen(0, 'localhost', () => resolve(addressOf(server))));

function closeAfterAll(server: Server): void {
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
}

/**
 * `/WAY/NAME` answers in this way, with the bytes of `files`; `/FIRST,SECOND/NAME` in the first way first and then in the
 * second; `/to/WAY/NAME` is redirected.
 */
export async function lyingServer(files: (name: string) => Buffer): Promise<{ url: string; heard: Heard[] }> {
  const heard: Heard[] = [];
  const times = new Map<string, number>();
  const server = createServer((request, response) => {
    const url = request.url ?? '';
    heard.push({ url, range: request.headers.range, ifRange: request.headers['if-range'] as string | undefined });
    const [, ways, ...rest] = url.split('/');
    if (ways === 'to') {
      response.writeHead(302, { location: `/${rest.join('/')}` }).end();
      return;
    }
    const count = times.get(url) ?? 0;
    times.set(url, count + 1);
    const order = ways.split(',');
    ANSWERS[order[Math.min(count, order.length - 1)]](request, response, files(rest.join('/')));
  });
  closeAfterAll(server);
  return { url: await listening(server), heard };
}

/** A proxy for http:// addresses that answers for a host that is not there, by asking `behind`; and for https:// a tunnel. */
export async function proxy(behind: string): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    const { pathname } = new URL(request.url ?? '');
    fetch(behind + pathname).then(async (answer) => {
      response.writeHead(answer.status, { 'content-length': answer.headers.get('content-length') ?? '0' });
      response.end(Buffer.from(await answer.arrayBuffer()));
    });
  });
  server.on('connect', (request, socket, head) => {
    asked.push(request.url ?? '');
    const { hostname, port } = new URL(behind);
    const tunnel = connect(Number(port), hostname, () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      tunnel.write(head);
      tunnel.pipe(socket).pipe(tunnel);
    });
    for (const end of [tunnel, socket]) end.on('error', () => {});
  });
  closeAfterAll(server);
  return { url: await listening(server), asked };
}
