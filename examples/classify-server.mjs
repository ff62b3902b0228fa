// A server that tells what pictures show. Requests that come together are computed together, and the event loop stays free for others.
//
//   node examples/classify-server.mjs [RUN]        then: curl --data-binary @photo.jpg http://127.0.0.1:8080/
//
// RUN is a folder of `hybrid train`, or a file of weights; the model that comes with the package by default. PORT is the port.

import { once } from 'node:events';
import { createServer } from 'node:http';
import { openClassifier } from '@hybrid-train/hybrid';
import { pretrainedPath } from '@hybrid-train/hybrid/runs';

const MOST_BYTES = 20e6;
const classifier = await openClassifier(process.argv[2] ?? pretrainedPath('convmixer-2stage-cifar10'), { unsure: 0.5, queue: 256 });

const server = createServer(async (request, response) => {
  const answer = (/** @type {number} */ status, /** @type {object} */ body) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
  };
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  try {
    const chunks = [];
    let bytes = 0;
    for await (const chunk of request) {
      bytes += chunk.length;
      if (bytes > MOST_BYTES) return answer(413, { error: 'the picture is too large' });
      chunks.push(chunk);
    }
    const { label, probability, unsure } = await classifier.classify(Buffer.concat(chunks), { signal: gone.signal });
    answer(200, { label, probability, unsure });
  } catch (error) {
    const { code, message } = /** @type {Error & { code?: string }} */ (error);
    answer(code === 'E_DATA' ? 400 : 503, { error: message });
  }
});

process.on('SIGTERM', async () => {
  server.close();
  await classifier.close();
});
server.listen(Number(process.env.PORT ?? 8080), '127.0.0.1');
await once(server, 'listening');
const address = server.address();
console.log(`port: ${typeof address === 'object' ? address?.port : address}`);
