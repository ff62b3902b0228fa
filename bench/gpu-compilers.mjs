// What real compilers of GPUs make of the kernels of a training step, without a GPU: registers, spills and occupancy by kernel, where a folder has
// `stats.sh NAME ARCH TIER BATCH`, which prints a line a kernel (Mesa's stubs of GPUs; see docs/gpu.md).
//
//   node bench/gpu-compilers.mjs STUBS [--gpus m1,navi31,…] [--tiers f32,f16] [--archs convmixer-256-8,convmixer-2stage] [--batch 128] [--project DIR]
//
// A table to stdout: for each GPU, tier and network the values spilled in all kernels, and of each heavy kernel the registers and what runs at
// a time, in the compiler's own words. `--project` names another build, such as that of the commit before. Needs a build (npm run build).

import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    gpus: { type: 'string', default: 'navi31,gfx1201,ad104,gb203,m1,dg2,tgl,a740' },
    tiers: { type: 'string', default: 'f32,f16' },
    archs: { type: 'string', default: 'convmixer-256-8,convmixer-2stage' },
    batch: { type: 'string', default: '128' },
    project: { type: 'string', default: '.' },
  },
});
const [stubs] = positionals;
if (!stubs) {
  console.error('name the folder that has stats.sh');
  process.exit(2);
}

/** Kernels that have most of the arithmetic, and the one that has most of the traffic. */
const HEAVY = ['conv', 'convGradInput', 'convGradWeight', 'depthwise', 'depthwiseGrad', 'bnGradApply'];

/** The kernels of a step: how many of each, workgroups, and the compiler's statistics by name. */
function kernels(gpu, arch, tier) {
  const script = resolve(stubs, 'stats.sh');
  const { stdout, stderr, status } = spawnSync('bash', [script, gpu, arch, tier, values.batch], {
    cwd: resolve(values.project),
    encoding: 'utf8',
  });
  const found = [...stdout.matchAll(/^(\d+)x (.+) \[(\S+) of (\d+)\]: (.*)$/gm)].map(([, count, kernel, groups, threads, rest]) => ({
    count: Number(count),
    kernel,
    groups,
    threads: Number(threads),
    stats: Object.fromEntries(rest.split(', ').map((pair) => pair.split('='))),
  }));
  if (found.length === 0)
    console.error(`${gpu}, ${arch}, ${tier}: ${`${stderr}${stdout}`.trim().split('\n').at(-1) || `exit status ${status}`}`);
  return found;
}

/** All that the compiler counts of what goes to memory and back for want of registers. */
const spills = ({ stats }) =>
  Object.entries(stats).reduce((sum, [name, value]) => (/^(spill|fill)/i.test(name) && !/reg$/.test(name) ? sum + Number(value) : sum), 0);

/** Registers and what runs at a time, by whatever names the compiler has. */
function words({ stats }) {
  const shown = Object.entries(stats).filter(([name]) =>
    /^(GPRs|Number of GPRs|VGPRs|Max warps|Subgroups per SIMD|Threads|Max Waves Per Core|subgroup$|Latency|Cycles)/i.test(name),
  );
  return shown.map(([name, value]) => `${name} ${value}`).join(', ');
}

console.log(`Batch ${values.batch}. Spills and fills of each kernel are counted once, however often it is in a step.\n`);
for (const tier of values.tiers.split(',')) {
  for (const arch of values.archs.split(',')) {
    console.log(
      `### ${arch}, ${tier}\n\n| GPU | kernels | spills and fills | ${HEAVY.join(' | ')} |\n| --- | --- | --- | ${HEAVY.map(() => '---').join(' | ')} |`,
    );
    for (const gpu of values.gpus.split(',')) {
      const found = kernels(gpu, arch, tier);
      if (found.length === 0) continue;
      // Of the kernels of a name that of most dispatches and workgroups.
      const size = ({ count, groups }) => count * groups.split('x').reduce((product, n) => product * Number(n), 1);
      const heaviest = (name) => found.filter(({ kernel }) => kernel.split(',')[0] === name).sort((a, b) => size(b) - size(a))[0];
      const cells = HEAVY.map((name) => {
        const one = heaviest(name);
        return one ? `${words(one)}${spills(one) > 0 ? `, **${spills(one)} spilled**` : ''}` : '';
      });
      console.log(`| ${gpu} | ${found.length} | ${found.reduce((sum, one) => sum + spills(one), 0)} | ${cells.join(' | ')} |`);
    }
    console.log('');
  }
}
