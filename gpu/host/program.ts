// From compiled graphs to programs: flat lists of dispatches over the buffers of slots.ts. `layOut` decides without touching the
// GPU, so that memory and work of an executable can be told beforehand.

import { HybridError, invariant } from '../../runtime/base/errors.ts';
import { type CompiledGraphs, compileGraphs, PROGRAMS, type ProgramName } from '../../runtime/compile/programs.ts';
import type { CompileOptions, ModelGraphs } from '../../runtime/device.ts';
import type { Graph, Node, Phase } from '../../runtime/ir/graph.ts';
import { verify } from '../../runtime/ir/verify.ts';
import { lowerings } from '../lowering/index.ts';
import { scaleLoss } from '../lowering/loss-scale.ts';
import type { Dispatch, Lowering, LoweringContext } from '../lowering/lowering.ts';
import { mergeNodes } from '../lowering/merge.ts';
import { storages } from '../lowering/storage.ts';
import { type GpuNode, type GpuOpName, gpuOps } from '../ops/index.ts';
import { type BufferPlan, type LoweredNode, planBuffers, type Region } from './slots.ts';

/** What the kernels are generated for. */
export type KernelOptions = Pick<LoweringContext, 'precision' | 'limits' | 'features' | 'choose'>;

/** A dispatch, the node it belongs to, and the place of each binding. */
export interface PlacedDispatch extends Dispatch {
  readonly node: Node;
  readonly regions: readonly Region[];
}

export interface ProgramText {
  readonly name: ProgramName;
  readonly graph: keyof ModelGraphs;
  readonly dispatches: readonly PlacedDispatch[];
}

export interface Layout {
  readonly plan: BufferPlan;
  readonly programs: readonly ProgramText[];
  /** Where an output of a graph lies. */
  output(graph: keyof ModelGraphs, name: string): Region;
}

/** The graphs that are asked for, compiled, with their nodes merged for the GPU and, if wanted, the loss of training scaled. */
export function compileAll(graphs: ModelGraphs, options: CompileOptions, lossScale = false): CompiledGraphs {
  const compiled = compileGraphs(graphs, options);
  const finish = (graph: Graph): Graph => {
    const merged = mergeNodes(graph);
    verify(merged, gpuOps, 'merge');
    if (!lossScale) return merged;
    const scaled = scaleLoss(merged);
    verify(scaled, gpuOps, 'loss-scale');
    return scaled;
  };
  return Object.fromEntries(Object.entries(compiled).map(([key, graph]) => [key, finish(graph)]));
}

export function layOut(graphs: CompiledGraphs, capacity: number, options: KernelOptions): Layout {
  const keys = Object.keys(graphs) as (keyof ModelGraphs)[];
  const lowered = keys.map((key) => {
    const graph = graphs[key] as Graph;
    const storage = storages(graph, options.precision);
    return { graph, storage, nodes: graph.nodes.map((node) => lower(graph, node, { ...options, capacity, storage })) };
  });
  const plan = planBuffers(lowered, capacity);
  const programs: ProgramText[] = [];
  for (const [name, { graph: key, phases }] of Object.entries(PROGRAMS) as [ProgramName, (typeof PROGRAMS)[ProgramName]][]) {
    const g = keys.indexOf(key);
    if (g < 0) continue;
    const dispatches: PlacedDispatch[] = [];
    for (const [n, { node, dispatches: ofNode }] of lowered[g].nodes.entries()) {
      if (!(phases as readonly Phase[]).includes(node.phase)) continue;
      for (const dispatch of ofNode) {
        const regions = dispatch.bindings.map(({ operand }) => plan.region(g, n, operand));
        const placed = { ...dispatch, node, regions };
        check(placed, capacity, options);
        dispatches.push(placed);
      }
    }
    programs.push({ name, graph: key, dispatches });
  }
  return {
    plan,
    programs,
    output: (key, name) => plan.region(keys.indexOf(key), 0, { value: (graphs[key] as Graph).outputs[name] }),
  };
}

function lower(graph: Graph, node: Node, options: Omit<LoweringContext, 'spec' | 'scratch'>): LoweredNode {
  if (gpuOps[node.op].traits?.view) return { node, dispatches: [], scratch: [] };
  const scratch: number[] = [];
  const context: LoweringContext = {
    ...options,
    spec: (id) => graph.values[id].spec,
    scratch: (bytes) => ({ scratch: scratch.push(bytes) - 1 }),
  };
  const lowering = (lowerings as Readonly<Record<string, Lowering>>)[node.op];
  invariant(lowering, `the webgpu device cannot run ${node.op}`);
  return { node, dispatches: lowering(node as GpuNode<GpuOpName>, context), scratch };
}

/** What WebGPU would refuse, refused with a name. */
function check(dispatch: PlacedDispatch, capacity: number, { limits }: KernelOptions): void {
  const { bindings, regions } = dispatch;
  const what = describeDispatch(dispatch);
  invariant(bindings.length <= limits.storageBuffers, `${what} binds ${bindings.length} buffers of at most ${limits.storageBuffers}`);
  for (const [i, { access }] of bindings.entries()) {
    for (let j = 0; j < i; j++) {
      if (regions[i].buffer !== regions[j].buffer || (access === 'read' && bindings[j].access === 'read')) continue;
      const overlap = regions[i].offset < regions[j].offset + regions[j].bytes && regions[j].offset < regions[i].offset + regions[i].bytes;
      invariant(access === bindings[j].access && !overlap, `${what} writes a buffer that it also binds otherwise`);
    }
  }
  for (const size of dispatch.workgroups(capacity)) {
    if (Number.isInteger(size) && size >= 1 && size <= 65535) continue;
    throw new HybridError('E_MEMORY', `${what} needs ${dispatch.workgroups(capacity)} workgroups, 65535 at most`, 'Use a smaller `batch`.');
  }
}

export const describeDispatch = ({ kernel, node }: PlacedDispatch): string =>
  `${kernel} of ${node.label ? `${node.label}/` : ''}${node.op}`;

/** The programs as text, one line a dispatch. */
export function printPrograms({ programs, plan }: Layout, capacity: number): string {
  const lines: string[] = [];
  for (const { name, dispatches } of programs) {
    lines.push(`program ${name}: ${dispatches.length} dispatches`);
    for (const [i, { kernel, bindings, regions, node, workgroups }] of dispatches.entries()) {
      const shown = bindings.map(
        ({ access }, b) =>
          `${access === 'read' ? '' : '→'}${plan.buffers[regions[b].buffer].label}${regions[b].offset ? `+${regions[b].offset}` : ''}`,
      );
      const groups = workgroups(capacity).join('×');
      lines.push(`  ${String(i).padStart(4)}  ${kernel}(${shown.join(', ')}) × ${groups}  # ${node.phase} ${node.label}/${node.op}`);
    }
  }
  return `${lines.join('\n')}\n`;
}
