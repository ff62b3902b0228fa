// From compiled graphs to programs: where everything lies in the shared memory, and the flat lists of kernel calls.
//
// A program is a list of pairs of words, kernel index and address of the argument block, which the threads walk. It is laid
// down once. `layOut` decides without touching memory, so that the size of an executable can be told beforehand.

import { invariant } from '../../runtime/base/errors.ts';
import { type Plan, planMemory, type StatePlace } from '../../runtime/compile/plan.ts';
import { type CompiledGraphs, PROGRAMS, type ProgramName } from '../../runtime/compile/programs.ts';
import type { Exchange, ModelGraphs } from '../../runtime/device.ts';
import { elementCount, type Graph, type Node, type Phase, type ValueId } from '../../runtime/ir/graph.ts';
import { opTable } from '../../runtime/ops/index.ts';
import { loweringOf } from '../lowering/index.ts';
import type { Call, LoweringContext } from '../lowering/lowering.ts';
import { ALIGNMENT, ARENA, align, SCRATCH_BYTES } from './abi.ts';
import type { Program } from './gang.ts';

/** Pages of WebAssembly memory. */
export const PAGE_BYTES = 65536;

/** A kernel call and the node it belongs to. */
export interface PlacedCall extends Call {
  readonly node: Node;
}

/** A place of a program where the host may want to step in. */
export interface Stop {
  /** Calls of the program before it, at least one, and not all. */
  readonly after: number;
  /** Statistics that other devices may have to know of: addresses of two vectors, and the number of their elements. */
  readonly exchange?: { readonly kind: Parameters<Exchange>[0]; readonly first: number; readonly second: number; readonly length: number };
  /** A part of the gradients that is final from here on: its first byte in their range, and the one after its last. */
  readonly gradients?: { readonly begin: number; readonly end: number };
}

export interface ProgramText {
  readonly name: ProgramName;
  readonly calls: readonly PlacedCall[];
  readonly commit: number;
  /** The calls at its beginning that make what is kept from run to run: they are left out while no weights are written. */
  readonly prepared: number;
  /** In the order of the calls; in inference there are none. */
  readonly stops: readonly Stop[];
}

export interface Layout {
  readonly plan: Plan;
  readonly programs: readonly ProgramText[];
  /** Address of the threads' scratch areas. */
  readonly threadScratch: number;
  /** Address of a table of times for each thread, each one f64 more than the longest program has calls. */
  readonly times: number;
  /** Address of the programs and their argument blocks. */
  readonly text: number;
  /** Bytes of the whole memory, in whole pages. */
  readonly bytes: number;
  /** Address of an output of a graph. */
  output(graph: keyof ModelGraphs, name: string): number;
}

export function layOut(graphs: CompiledGraphs, capacity: number, threads: number): Layout {
  const keys = Object.keys(graphs) as (keyof ModelGraphs)[];
  const plan = planMemory(Object.values(graphs), capacity);
  const address = (graph: keyof ModelGraphs, id: ValueId): number => {
    const offset = plan.offset(keys.indexOf(graph), id);
    invariant(offset !== undefined, `${graphs[graph]?.values[id].name} has no place in the plan`);
    return ARENA + offset;
  };

  // What is made of weights is kept where they cannot change but by being written: in an executable that only predicts.
  const keeps = keys.every((key) => key === 'predict');
  const kept = align(ARENA + plan.bytes);
  let keptEnd = kept;
  // Shared scratch lives during one node: all nodes use the same place, behind what is kept; the largest need decides.
  let sharedScratch = kept;
  let sharedScratchEnd = kept;
  const lower = (key: keyof ModelGraphs, graph: Graph, node: Node): PlacedCall[] => {
    if (opTable[node.op].traits?.view) return [];
    let next = sharedScratch;
    const context: LoweringContext = {
      capacity,
      threads,
      spec: (id) => graph.values[id].spec,
      address: (id) => address(key, id),
      scratch(bytes) {
        const place = next;
        next = align(next + bytes);
        sharedScratchEnd = Math.max(sharedScratchEnd, next);
        return place;
      },
      kept(id, bytes) {
        if (!keeps || graph.values[id].role !== 'state') return undefined;
        const place = keptEnd;
        keptEnd = align(keptEnd + bytes);
        return place;
      },
    };
    const lowering = loweringOf(node.op);
    invariant(lowering, `the wasm device cannot run ${node.op}`);
    return lowering(node, context).map((call) => ({ ...call, node }));
  };

  if (keeps && graphs.predict) {
    // How much that is.
    for (const node of graphs.predict.nodes) lower('predict', graphs.predict, node);
    sharedScratch = keptEnd;
    sharedScratchEnd = keptEnd;
    keptEnd = kept;
  }

  const programs: ProgramText[] = [];
  for (const [name, { graph: key, phases }] of Object.entries(PROGRAMS) as [ProgramName, (typeof PROGRAMS)[ProgramName]][]) {
    const graph = graphs[key];
    if (!graph) continue;
    const calls: PlacedCall[] = [];
    const stops: Stop[] = [];
    /** Calls after which a value is complete. */
    const complete = new Map<ValueId, number>();
    for (const node of graph.nodes) {
      if (!(phases as readonly Phase[]).includes(node.phase)) continue;
      calls.push(...lower(key, graph, node));
      for (const id of node.outputs) complete.set(id, calls.length);
      const kind = opTable[node.op].traits?.exchanges;
      if (!kind) continue;
      const [first, second] = node.outputs.map((id) => address(key, id));
      const length = elementCount(graph.values[node.outputs[0]].spec);
      stops.push({ after: calls.length, exchange: { kind, first, second, length } });
    }
    if (name === 'gradient') {
      const { parameters, gradients } = plan.ranges;
      const tensors = graph.gradients.map(({ parameter, gradient }) => ({
        offset: (plan.state.get(graph.values[parameter].name) as StatePlace).offset - parameters.offset,
        after: complete.get(gradient) as number,
      }));
      for (const { after, ...part } of earlyParts(tensors, gradients.bytes)) {
        const same = stops.findIndex((stop) => stop.after === after);
        if (same >= 0) stops[same] = { ...stops[same], gradients: part };
        else if (after < calls.length) stops.push({ after, gradients: part });
      }
      stops.sort((a, b) => a.after - b.after);
    }
    const preparing = calls.filter((call) => call.keeps);
    programs.push({
      name,
      calls: [...preparing, ...calls.filter((call) => !call.keeps)],
      commit: calls.filter(({ node }) => node.phase !== 'update').length,
      prepared: preparing.length,
      stops,
    });
  }

  const threadScratch = align(sharedScratchEnd);
  const times = threadScratch + threads * SCRATCH_BYTES;
  const text = align(times + threads * 8 * (1 + Math.max(0, ...programs.map(({ calls }) => calls.length))));
  const end = programs.reduce((at, program) => at + textBytes(program), text);
  return {
    plan,
    programs,
    threadScratch,
    times,
    text,
    bytes: align(end, PAGE_BYTES),
    output: (key, name) => address(key, (graphs[key] as Graph).outputs[name]),
  };
}

/** Gradients leave in about so many parts, none of them smaller than this: small ones cost more than they bring. */
const PARTS = 4;
const LEAST_PART_BYTES = 2 ** 18;

/**
 * The backward pass finishes the gradients from the end of their range on. Cuts the range, between tensors, where enough has become
 * final; the rest at its beginning is final last.
 */
export function earlyParts(
  tensors: readonly { readonly offset: number; readonly after: number }[],
  bytes: number,
): { begin: number; end: number; after: number }[] {
  const least = Math.max(bytes / PARTS, LEAST_PART_BYTES);
  const parts: { begin: number; end: number; after: number }[] = [];
  let end = bytes;
  let after = 0;
  for (const tensor of tensors.toSorted((a, b) => b.offset - a.offset)) {
    after = Math.max(after, tensor.after);
    if (end - tensor.offset < least || tensor.offset === 0) continue;
    const last = parts.at(-1);
    if (last?.after === after) last.begin = tensor.offset;
    else parts.push({ begin: tensor.offset, end, after });
    end = tensor.offset;
  }
  return parts;
}

const argumentBytes = (call: Call): number => align(call.args.length * 4);
const textBytes = ({ calls }: ProgramText): number =>
  align(calls.length * CALL_BYTES) + calls.reduce((sum, call) => sum + argumentBytes(call), 0);

/** A program in memory, with the places where the host may step in. */
export interface WrittenProgram extends Program {
  readonly stops: readonly Stop[];
  /** As those of `ProgramText`. */
  readonly prepared: number;
}

/** Bytes of a call in a program: kernel index and address of the argument block. */
const CALL_BYTES = 8;

/** The calls from `begin` to before `end`, as a program. */
export function partOf(program: Program, begin: number, end: number): Program {
  return {
    address: program.address + begin * CALL_BYTES,
    calls: end - begin,
    commit: Math.min(Math.max(program.commit - begin, 0), end - begin),
    describe: (call) => program.describe(begin + call),
  };
}

/** Lays the programs down in memory. `kernels` is the list whose indices they use. */
export function writePrograms(layout: Layout, buffer: ArrayBufferLike, kernels: readonly string[]): Map<ProgramName, WrittenProgram> {
  const words = new Int32Array(buffer);
  const floats = new Float32Array(buffer);
  const index = new Map(kernels.map((name, i) => [name, i]));
  const written = new Map<ProgramName, WrittenProgram>();
  let address = layout.text;
  for (const program of layout.programs) {
    const { name, calls, commit, prepared, stops } = program;
    let block = address + align(calls.length * CALL_BYTES, ALIGNMENT);
    for (const [i, { kernel, args }] of calls.entries()) {
      const kernelIndex = index.get(kernel);
      invariant(kernelIndex !== undefined, `no kernel is called ${kernel}`);
      words[address / 4 + 2 * i] = kernelIndex;
      words[address / 4 + 2 * i + 1] = block; // wraps to a negative number above 2 GiB, as every address
      for (const [k, word] of args.entries()) {
        if (typeof word === 'number') words[block / 4 + k] = word;
        else floats[block / 4 + k] = word.f32;
      }
      block += argumentBytes(calls[i]);
    }
    written.set(name, { address, calls: calls.length, commit, prepared, stops, describe: (call) => describeCall(calls[call]) });
    address += textBytes(program);
  }
  return written;
}

const describeCall = ({ kernel, node }: PlacedCall): string => `${kernel} of ${node.label ? `${node.label}/` : ''}${node.op}`;

/** The programs as text, one line a kernel call. */
export function printPrograms({ programs }: Layout): string {
  const lines: string[] = [];
  for (const { name, calls } of programs) {
    lines.push(`program ${name}: ${calls.length} kernel calls`);
    for (const [i, { kernel, args, node }] of calls.entries()) {
      const words = args.map((word) => (typeof word === 'number' ? String(word) : `${word.f32}f`));
      const shown = words.length > 16 ? [...words.slice(0, 16), `… ${words.length} in all`] : words;
      lines.push(`  ${String(i).padStart(4)}  ${kernel}(${shown.join(', ')})  # ${node.phase} ${node.label}/${node.op}`);
    }
  }
  return `${lines.join('\n')}\n`;
}
