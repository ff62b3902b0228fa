// A program of the GPU as commands that can be encoded: pipelines and bind groups are made once, a run is one encoder.

import type { Dispatch } from '../lowering/lowering.ts';
import { describeDispatch, type PlacedDispatch } from './program.ts';
import type { Stopwatch } from './stopwatch.ts';

/** A dispatch that can be encoded. */
export interface Command<D extends Dispatch = Dispatch> {
  readonly dispatch: D;
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
}

/** A program with the sizes of its dispatches for the rows of the last run: they are the same nearly always. */
export class Program<D extends Dispatch = Dispatch> {
  readonly commands: readonly Command<D>[];
  #rows = 0;
  #workgroups: (readonly [number, number, number])[] = [];

  constructor(commands: readonly Command<D>[]) {
    this.commands = commands;
  }

  /** What its dispatches are, for people. */
  get names(): string[] {
    return this.commands.map(({ dispatch }) => nameOf(dispatch));
  }

  /** In one pass; in one for each dispatch where their times are taken. */
  encode(encoder: GPUCommandEncoder, rows: number, stopwatch?: Stopwatch): void {
    const workgroups = this.#workgroupsOf(rows);
    let pass = stopwatch ? null : encoder.beginComputePass();
    let current: GPUComputePipeline | undefined;
    for (const [i, { pipeline, bindGroup }] of this.commands.entries()) {
      if (stopwatch) {
        pass = encoder.beginComputePass({ timestampWrites: stopwatch.ofPass(i) });
        current = undefined;
      }
      const into = pass as GPUComputePassEncoder;
      if (pipeline !== current) into.setPipeline((current = pipeline));
      into.setBindGroup(0, bindGroup);
      const [x, y, z] = workgroups[i];
      into.dispatchWorkgroups(x, y, z);
      if (stopwatch) into.end();
    }
    if (stopwatch) stopwatch.resolve(encoder);
    else pass?.end();
  }

  /** So many times in one pass, whose time is taken as a whole. */
  repeat(encoder: GPUCommandEncoder, rows: number, repeats: number, stopwatch?: Stopwatch): void {
    const workgroups = this.#workgroupsOf(rows);
    const pass = encoder.beginComputePass(stopwatch && { timestampWrites: stopwatch.ofPass(0) });
    for (let repeat = 0; repeat < repeats; repeat++) {
      for (const [i, { pipeline, bindGroup }] of this.commands.entries()) {
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, bindGroup);
        pass.dispatchWorkgroups(...workgroups[i]);
      }
    }
    pass.end();
    stopwatch?.resolve(encoder);
  }

  #workgroupsOf(rows: number) {
    if (rows !== this.#rows) this.#workgroups = this.commands.map(({ dispatch }) => dispatch.workgroups(rows));
    this.#rows = rows;
    return this.#workgroups;
  }
}

const nameOf = (dispatch: Dispatch | PlacedDispatch): string => ('node' in dispatch ? describeDispatch(dispatch) : dispatch.kernel);
