// asc: -O1
// The machine's own bounds, as WebAssembly sees them: how fast a core multiplies and adds out of registers, and how fast
// memory is copied. What other kernels reach is measured against these (hybrid bench kernels).

import { BoundsCopyArgs, BoundsMultiplyAddArgs, madd, nextTask } from '../lib/abi';

/** Multiply-adds of a task, over 12 chains: enough to hide the latency of one. */
export function boundsMultiplyAdd(args: BoundsMultiplyAddArgs): void {
  const tasks = args.tasks;
  const rounds = args.rounds;
  const result = args.result;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const x = f32x4.splat(<f32>0.999);
    const y = f32x4.splat(<f32>0.001);
    let a0 = y;
    let a1 = y;
    let a2 = y;
    let a3 = y;
    let a4 = y;
    let a5 = y;
    let a6 = y;
    let a7 = y;
    let a8 = y;
    let a9 = y;
    let a10 = y;
    let a11 = y;
    for (let i = 0; i < rounds; i++) {
      a0 = madd(a0, x, y);
      a1 = madd(a1, x, y);
      a2 = madd(a2, x, y);
      a3 = madd(a3, x, y);
      a4 = madd(a4, x, y);
      a5 = madd(a5, x, y);
      a6 = madd(a6, x, y);
      a7 = madd(a7, x, y);
      a8 = madd(a8, x, y);
      a9 = madd(a9, x, y);
      a10 = madd(a10, x, y);
      a11 = madd(a11, x, y);
    }
    // Sums that nobody stores would not be computed.
    const sum = f32x4.add(
      f32x4.add(f32x4.add(a0, a1), f32x4.add(a2, a3)),
      f32x4.add(f32x4.add(f32x4.add(a4, a5), f32x4.add(a6, a7)), f32x4.add(f32x4.add(a8, a9), f32x4.add(a10, a11))),
    );
    v128.store(result + ((<usize>task) << 4), sum);
  }
}

/** Copies blocks of memory, 64 bytes at a time. */
export function boundsCopy(args: BoundsCopyArgs): void {
  const blocks = args.blocks;
  const bytes = <usize>args.bytes;
  for (let block = nextTask(); block < blocks; block = nextTask()) {
    let from = args.from + <usize>block * bytes;
    let to = args.to + <usize>block * bytes;
    const end = from + bytes;
    while (from < end) {
      v128.store(to, v128.load(from));
      v128.store(to, v128.load(from, 16), 16);
      v128.store(to, v128.load(from, 32), 32);
      v128.store(to, v128.load(from, 48), 48);
      from += 64;
      to += 64;
    }
  }
}
