// The text of every kernel of the webgpu device that a compiler of WGSL can be asked about: of all models' programs, of every op's cases and of
// what the host brings along, in the forms that GPUs and makers get. Nothing computes; no device is needed.

import { COPY, MULTIPLY_ADD } from '../../gpu/host/bounds.ts';
import { compileAll } from '../../gpu/host/program.ts';
import { gatherDispatch } from '../../gpu/host/resident.ts';
import { lowerings } from '../../gpu/lowering/index.ts';
import type { Lowering, LoweringContext } from '../../gpu/lowering/lowering.ts';
import { PROFILES, type Profile } from '../../gpu/lowering/profile.ts';
import { plainStorage, storages } from '../../gpu/lowering/storage.ts';
import { gpuOps } from '../../gpu/ops/index.ts';
import type { ModelGraphs } from '../../runtime/device.ts';
import type { Node, ValueId } from '../../runtime/ir/graph.ts';
import { ARCHITECTURE_NAMES, buildModel } from '../../runtime/model/architectures.ts';
import type { Model } from '../../runtime/model/model.ts';
import { OPTIMIZERS, type OptimizerName } from '../../runtime/optim/index.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { allCases } from './cases.ts';
import { isHalf } from './dispatch-runner.ts';
import { testNode } from './test-node.ts';

export interface KernelSource {
  /** The kernel, and whose it is: the first of those that have this text. */
  readonly name: string;
  readonly code: string;
  /** Whether it asks for f16. */
  readonly half: boolean;
}

/** What kernels are generated for, but for the tier, under a name. */
interface Form extends Pick<LoweringContext, 'limits' | 'choose'> {
  readonly name: string;
  readonly barriers: boolean;
  readonly profile?: Profile;
}

const limits = (storageBuffers: number) => ({ workgroupStorage: 16_384, invocations: 256, storageBuffers });
const makers = Object.entries(PROFILES) as [string, Profile][];
/** Registers, as software adapters get them, and barriers, as every maker's GPUs do; with as few buffers as WebGPU promises; and what is raced. */
const FORMS: readonly Form[] = [
  ...[8, 16].map((buffers) => ({ name: `registers, ${buffers} buffers`, barriers: false, limits: limits(buffers) })),
  { name: 'barriers, 8 buffers', barriers: true, limits: limits(8) },
  ...makers.map(([maker, profile]) => ({ name: maker, barriers: true, profile, limits: limits(16) })),
  ...makers.flatMap(([maker, profile]) =>
    [1, 2, 3, 4].map((n) => ({
      ...{ name: `${maker}, candidate ${n}`, barriers: true, profile, limits: limits(16) },
      choose: ({ candidates }: { readonly candidates: readonly string[] }) => Math.min(n, candidates.length - 1),
    })),
  ),
];

/** Networks that have all products that are raced. */
const RACED: readonly string[] = ['conv-pooling', 'convmixer-2stage'];
/** Rows that fill tiles, and some that do not. */
const CAPACITIES = [128, 5];
/** Networks at the size that they are trained with; of others a small image is enough. */
const modelOf = (arch: string): Model =>
  arch === 'convmixer'
    ? buildModel(arch, { input: [30, 30, 1], classes: 7, dim: 36, depth: 2, patch: 3, kernel: 7, dropout: 0.1 })
    : buildModel(arch, { input: arch === 'efficientnet-lite0' ? [64, 64, 3] : [32, 32, 3], classes: 10 });

export function everyKernel(): KernelSource[] {
  const sources = new Map<string, KernelSource>();
  const add = (name: string, code: string): void => {
    if (!sources.has(code)) sources.set(code, { name, code, half: /^enable f16;/m.test(code) });
  };
  for (const arch of ARCHITECTURE_NAMES) ofModel(arch, add);
  ofCases(add);
  ofHost(add);
  return [...sources.values()];
}

type Add = (name: string, code: string) => void;

/** Training with its evaluation and prediction, in both tiers. */
function ofModel(arch: string, add: Add): void {
  const model = modelOf(arch);
  ofGraphs(trainingGraphs(model), `of ${arch}`, formsFor(arch), add);
  if (arch !== 'convmixer') return;
  for (const name of Object.keys(OPTIMIZERS) as OptimizerName[]) {
    const { train } = trainingGraphs(model, { optimizer: { name }, clipNorm: 1 });
    ofGraphs({ train }, `with ${name}`, FORMS.slice(0, 3), add, ({ phase }) => phase === 'update');
  }
}

/** What is raced is of the same products in all networks, and a profile's tiles are full ones. */
const formsFor = (arch: string): (Form & { readonly capacities?: readonly number[] })[] =>
  FORMS.filter(({ choose }) => !choose || RACED.includes(arch)).map((form) => (form.profile ? form : { ...form, capacities: CAPACITIES }));

function ofGraphs(
  graphs: ModelGraphs,
  whose: string,
  forms: ReturnType<typeof formsFor>,
  add: Add,
  isWanted: (node: Node) => boolean = () => true,
): void {
  for (const precision of ['f32', 'f16'] as const)
    for (const [program, graph] of Object.entries(compileAll(graphs, { capacity: 1, seed: 0n }, precision === 'f16'))) {
      const context = { precision, storage: storages(graph, precision), spec: (id: ValueId) => graph.values[id].spec };
      for (const node of graph.nodes.filter((one) => !gpuOps[one.op].traits?.view && isWanted(one)))
        for (const { capacities = CAPACITIES.slice(0, 1), ...form } of forms)
          for (const capacity of capacities)
            lower(node, { ...context, capacity }, form, (kernel, code) =>
              add(`${kernel} (${node.op}) ${whose}, ${program}, ${precision}, ${form.name}`, code),
            );
    }
}

/** Every case of every op, with images stored as f32 and as f16; profiles choose between texts that products of networks have. */
function ofCases(add: Add): void {
  for (const { op, case: one } of allCases()) {
    const { node, specs } = testNode(op, one.inputs, one.attrs, one.updates, gpuOps);
    for (const precision of ['f32', 'f16'] as const) {
      const half = specs.map((spec) => precision === 'f16' && isHalf(spec));
      if (precision === 'f16' && !half.includes(true)) continue;
      const storage = (id: ValueId) => (half[id] ? ('f16' as const) : plainStorage({ spec: specs[id] }));
      const context = { precision, storage, spec: (id: ValueId) => specs[id], capacity: one.rows };
      for (const form of FORMS.slice(0, 4))
        lower(node, context, form, (kernel, code) => add(`${kernel} (${op}), ${one.name}, ${precision}, ${form.name}`, code));
    }
  }
}

type Context = Pick<LoweringContext, 'precision' | 'storage' | 'spec' | 'capacity'>;

function lower(node: Node, context: Context, { barriers, profile, limits: own, choose }: Form, each: Add): void {
  const lowering = (lowerings as Readonly<Record<string, Lowering | undefined>>)[node.op];
  if (!lowering) throw new Error(`the webgpu device has no kernel of ${node.op}`);
  let scratch = 0;
  const features = { f16: context.precision === 'f16', subgroups: false, subgroupMatrix: false, barriers, profile } as const;
  const whole: LoweringContext = { ...context, limits: own, choose, features, scratch: () => ({ scratch: scratch++ }) };
  for (const { kernel, code } of lowering(node as never, whole)) each(kernel, code);
}

/** What the host has of its own: batches of a set that the device holds, and what its bounds are measured with. */
function ofHost(add: Add): void {
  add('bounds: multiply-adds', MULTIPLY_ADD);
  add('bounds: copy', COPY);
  const image = { offset: 0, stride: 3072, seed: 0x1234_5678_9abc_def0n } as const;
  for (const shape of [[32, 32, 3] as const, [7, 9, 1] as const])
    for (const layout of ['interleaved', 'planar'] as const)
      for (const flip of [true, false, 'alternate'] as const)
        for (const padding of [null, shape.slice(2).map(() => 0)])
          for (const parts of [1, 3]) {
            const set = { ...image, shape, layout, flip, padding, crop: 4 };
            const { code } = gatherDispatch(set, Array(parts).fill({ count: 10 }), CAPACITIES[0]);
            add(`gather, ${[shape.join('×'), layout, `flip ${flip}`, padding ?? 'reflected', `${parts} buffers`].join(', ')}`, code);
          }
}
