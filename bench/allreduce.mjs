// Times the exchange of gradients between ranks, for the cost model of docs/scaling.md. Prints one JSON line a size, from rank 0.
//
//   mpiexec -n 2 node bench/allreduce.mjs [--mebibytes 0.07,2.4,7.8,64] [--rounds 50]
//
// Build first (npm run build). Two ranks on one machine exchange through its memory: bandwidth and latency of a network are
// other numbers, to be measured there with the same script.

import { parseArgs } from 'node:util';
import { openMpi } from '../dist/runtime/entries/distributed.js';

const { values } = parseArgs({
  options: { mebibytes: { type: 'string', default: '0.07,2.4,7.8,64' }, rounds: { type: 'string', default: '50' } },
});
const group = await openMpi({ timeoutSeconds: 60 });
for (const mebibytes of values.mebibytes.split(',').map(Number)) {
  const data = new Float32Array(Math.round((mebibytes * 2 ** 20) / 4));
  const times = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    const begin = performance.now();
    await group.sum(data);
    times.push(performance.now() - begin);
  }
  times.sort((a, b) => a - b);
  const ms = times[times.length >> 1];
  if (group.rank === 0) console.log(JSON.stringify({ ranks: group.size, library: group.description, mebibytes, ms, best: times[0] }));
}
await group.close();
