// An HTTP server on loopback for one test.

import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

export interface Loopback {
  readonly url: string;
  /** The requests so far. */
  readonly requests: readonly IncomingMessage[];
}

export async function serve(listener: RequestListener): Promise<Loopback> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    listener(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/archive.tar.gz`, requests };
}

/** Sends `bytes`, or the part of them that is asked for. */
export function sendFile(request: IncomingMessage, response: ServerResponse, bytes: Uint8Array): void {
  const start = rangeStart(request);
  if (start === 0) {
    response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
    return;
  }
  const headers = { 'content-length': bytes.length - start, 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` };
  response.writeHead(206, headers).end(bytes.subarray(start));
}

export const rangeStart = (request: IncomingMessage): number => Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);

/**
 * Sends the head of a full answer and the first `count` bytes, and cuts the connection once the client has them: a reset may overtake what it
 * has not taken yet. `arrived.bytes`, which the client counts up, begins at 0.
 */
export function breakOff(response: ServerResponse, bytes: Uint8Array, count: number, arrived: { bytes: number }): void {
  arrived.bytes = 0;
  response.writeHead(200, { 'content-length': bytes.length });
  response.write(bytes.subarray(0, count));
  const look = setInterval(() => {
    if (arrived.bytes >= count) response.destroy();
  }, 5);
  response.on('close', () => clearInterval(look));
}

/** An address on loopback where nobody listens. */
export async function refusedUrl(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}/archive.tar.gz`;
}
