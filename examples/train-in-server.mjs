// A server that trains for whoever asks, tells the progress as server-sent events, and stops when they leave:
//
//   node examples/train-in-server.mjs          then: curl -N http://127.0.0.1:8080/train?epochs=3
//
// One device serves all requests. Leaving ends a run within a second; the device goes on to serve the next.

import { once } from 'node:events';
import { createServer } from 'node:http';
import { buildModel, openDevice, train } from '@hybrid-train/hybrid';
import { syntheticSource } from '@hybrid-train/hybrid/data';

const device = await openDevice('wasm');
const data = syntheticSource({ train: 256, test: 64 });
const model = buildModel('convmixer', { input: data.train.shape, classes: data.train.classes.length, dim: 16, depth: 2, patch: 4 });

const server = createServer(async (request, response) => {
  const url = new URL(request.url ?? '/', 'http://localhost');
  if (url.pathname !== '/train') return void response.writeHead(404).end();
  const leaving = new AbortController();
  response.on('close', () => leaving.abort());
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  const epochs = Number(url.searchParams.get('epochs') ?? 3);
  const run = train({
    device,
    model,
    train: data.train,
    validation: data.test,
    epochs,
    batch: 32,
    bnMomentum: 0.9,
    signal: leaving.signal,
  });
  try {
    for await (const event of run) {
      // A reader that is slow makes nobody wait: meanwhile the run merges the steps that have not been told.
      if (!response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`) && !leaving.signal.aborted) {
        await once(response, 'drain', { signal: leaving.signal }).catch(() => {});
      }
    }
    const { reason, epochs: done } = await run.result;
    console.log(`run ${reason} after ${done} epochs`);
  } catch (error) {
    response.write(`event: error\ndata: ${JSON.stringify(String(error))}\n\n`);
  }
  response.end();
});

server.listen(Number(process.env.PORT ?? 8080), '127.0.0.1', () => console.log('listening', server.address()));

process.once('SIGTERM', async () => {
  server.close();
  server.closeAllConnections(); // which aborts their runs
  await device.close();
});
