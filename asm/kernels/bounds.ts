// asc: -O1
// The machine's own bounds, as WebAssembly sees them: how fast a core multiplies and adds out of registers, and how fast
// memory is copied. What other kernels reach is measured against these (hybrid bench kernels).

import { BoundsCopyArgs, BoundsMultiplyAddArgs, BoundsMultiplyAddPairsArgs, madd, nextTask } from '../lib/abi';

/** Multiply-adds of a task, over 12 chains: enough to hide the latency of one. */
export function boundsMultiplyAdd(args: BoundsMultiplyAddArgs): void {
  const tasks = args.tasks;
  const rounds = args.rounds;
  const operands = args.operands;
  const result = args.result;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    // From memory: V8 makes constants anew at every use in a loop, which takes four times as long as the multiply-adds.
    const x = v128.load32_splat(operands);
    const y = v128.load32_splat(operands, 4);
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

/**
 * The same for V8's revectorizer: 24 chains, each with a neighbour to be joined with, in memory before and after. (It starts from neighbouring
 * stores, and joins no constants.) Not joined it runs out of registers.
 */
export function boundsMultiplyAddPairs(args: BoundsMultiplyAddPairsArgs): void {
  const tasks = args.tasks;
  const rounds = args.rounds;
  const operands = args.operands;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const at = args.chains + <usize>task * 384;
    const x = v128.load32_splat(operands);
    const y = v128.load32_splat(operands, 4);
    let a0 = v128.load(at);
    let a1 = v128.load(at, 16);
    let a2 = v128.load(at, 32);
    let a3 = v128.load(at, 48);
    let a4 = v128.load(at, 64);
    let a5 = v128.load(at, 80);
    let a6 = v128.load(at, 96);
    let a7 = v128.load(at, 112);
    let a8 = v128.load(at, 128);
    let a9 = v128.load(at, 144);
    let a10 = v128.load(at, 160);
    let a11 = v128.load(at, 176);
    let a12 = v128.load(at, 192);
    let a13 = v128.load(at, 208);
    let a14 = v128.load(at, 224);
    let a15 = v128.load(at, 240);
    let a16 = v128.load(at, 256);
    let a17 = v128.load(at, 272);
    let a18 = v128.load(at, 288);
    let a19 = v128.load(at, 304);
    let a20 = v128.load(at, 320);
    let a21 = v128.load(at, 336);
    let a22 = v128.load(at, 352);
    let a23 = v128.load(at, 368);
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
      a12 = madd(a12, x, y);
      a13 = madd(a13, x, y);
      a14 = madd(a14, x, y);
      a15 = madd(a15, x, y);
      a16 = madd(a16, x, y);
      a17 = madd(a17, x, y);
      a18 = madd(a18, x, y);
      a19 = madd(a19, x, y);
      a20 = madd(a20, x, y);
      a21 = madd(a21, x, y);
      a22 = madd(a22, x, y);
      a23 = madd(a23, x, y);
    }
    v128.store(at, a0);
    v128.store(at, a1, 16);
    v128.store(at, a2, 32);
    v128.store(at, a3, 48);
    v128.store(at, a4, 64);
    v128.store(at, a5, 80);
    v128.store(at, a6, 96);
    v128.store(at, a7, 112);
    v128.store(at, a8, 128);
    v128.store(at, a9, 144);
    v128.store(at, a10, 160);
    v128.store(at, a11, 176);
    v128.store(at, a12, 192);
    v128.store(at, a13, 208);
    v128.store(at, a14, 224);
    v128.store(at, a15, 240);
    v128.store(at, a16, 256);
    v128.store(at, a17, 272);
    v128.store(at, a18, 288);
    v128.store(at, a19, 304);
    v128.store(at, a20, 320);
    v128.store(at, a21, 336);
    v128.store(at, a22, 352);
    v128.store(at, a23, 368);
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
