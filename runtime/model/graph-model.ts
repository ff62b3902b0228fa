// A model whose author writes its forward pass with the graph builder, in place of a list of layers. Training, evaluation and
// prediction take it as they take any model; summary, figures and the formats of other programs need layers, and do not.

import { HybridError } from '../base/errors.ts';
import { formatShape, type Graph, type ValueId } from '../ir/graph.ts';
import { type AnyLayer, buildLayer, configOf, refusal, type VariableSpec } from '../layers/define-layer.ts';
import { LAYERS, type LayerOptions, type LayerType } from '../layers/index.ts';
import { snakeCase } from '../layers/kinds.ts';
import type { Shape, VariableInfo, VariableRole } from '../layers/layer.ts';
import { type FrozenLayers, LayerBuilder, type Mode } from '../layers/layer-builder.ts';
import { addOutputs, type WithLoss } from './graph-parts.ts';
import type { GraphModel } from './model.ts';

/** A forward pass and what goes into it. */
export interface GraphModelOptions {
  /** For people, and for the checkpoints. */
  readonly name: string;
  /** [height, width, channels] of the images. */
  readonly input: readonly [number, number, number];
  /** At least 2. */
  readonly classes: number;
  /**
   * Adds the forward pass to `g` and returns the logits, f32 [classes] per sample. `images` are u8 [height, width, channels] per sample; the op
   * `rescale` makes them floats. Called once for each mode; both times it must declare the same variables in the same order.
   */
  build(g: ModelBuilder, images: ValueId): ValueId;
}

/** A graph builder that knows what a model has besides ops: variables with initial values, and layers. */
export class ModelBuilder extends LayerBuilder {
  /** Declared so far, in order. */
  readonly variables: VariableInfo[] = [];
  /** Of variables by path, and of layers by name. */
  readonly #declared = new Map<string, number>();
  readonly #named = new Map<string, number>();

  /**
   * A trained parameter of the layer that `label` names: `<label>/vars/<k>`, the k-th of that label. A `kernel` (two axes or more, the last of
   * them inputs and outputs) begins with Glorot's uniform distribution, `gamma` with ones, `bias` and `beta` with zeros.
   */
  variable(role: 'kernel' | 'bias' | 'gamma' | 'beta', shape: Shape): ValueId {
    if (role === 'kernel' && shape.length < 2)
      throw new HybridError(
        'E_USAGE',
        `a kernel of shape [${shape}] in ${this.label}`,
        'Give it two axes or more, the last for inputs and outputs.',
      );
    return this.#declare(this.label, role, { shape, initializer: INITIALIZERS[role] });
  }

  /**
   * A layer of Keras' with its variables: `g.layer('AveragePooling2D', x, { poolSize: 2 })`. Its variables are `<label>/<class>[_k]/vars/<i>`,
   * the class in snake case. Throws E_USAGE where the settings are wrong or do not go with the shape of x.
   */
  layer<T extends LayerType>(type: T, x: ValueId | readonly ValueId[], options: LayerOptions<T>): ValueId {
    const definition: AnyLayer = LAYERS[type];
    const path = this.#numbered(`${this.label}/${snakeCase(type)}`);
    const config = configOf(definition, options, refusal(definition, path));
    const inputs = typeof x === 'number' ? [x] : x;
    const specs = definition.variables?.(
      config,
      inputs.map((id) => this.spec(id).shape),
    );
    const declared = Object.entries(specs ?? {}).map(([role, spec]) => {
      const at = spec.within === undefined ? path : `${path}/${spec.within}`;
      return [role, this.#declare(at, role as VariableRole, spec)];
    });
    return buildLayer(this, definition, { config, name: path, path, inputs, vars: Object.fromEntries(declared) });
  }

  /** Batch normalisation over rows and pixels, with gamma, beta and both moving statistics as variables. x f32 […, C] per sample → the same. */
  batchNormalization(x: ValueId, { epsilon = 1e-3 }: { readonly epsilon?: number } = {}): ValueId {
    return this.layer('BatchNormalization', x, { epsilon });
  }

  #declare(path: string, role: VariableRole, { shape, initializer, kind = 'parameter' }: VariableSpec): ValueId {
    const k = this.#declared.get(path) ?? 0;
    this.#declared.set(path, k + 1);
    const name = `${path}/vars/${k}`;
    this.variables.push({ name, shape, kind, role, initializer });
    return this.state(name, shape, kind);
  }

  #numbered(name: string): string {
    const k = this.#named.get(name) ?? 0;
    this.#named.set(name, k + 1);
    return k === 0 ? name : `${name}_${k}`;
  }
}

const INITIALIZERS = { kernel: 'glorot_uniform', bias: 'zeros', gamma: 'ones', beta: 'zeros' } as const;

/**
 * A model of one's own, for `train`, `evaluate` and `predict`. Throws E_USAGE where the forward pass cannot be built, gives no logits, or
 * declares other variables for inference than in training.
 */
export function graphModel({ name, input, classes, build }: GraphModelOptions): GraphModel {
  checkSizes(name, input, classes);
  const assemble = (mode: Mode, loss: WithLoss, frozen?: FrozenLayers): ModelBuilder => {
    const g = new ModelBuilder(`${name} ${mode}`, mode, frozen);
    const images = g.images(input);
    const labels = loss ? g.input('labels', { dtype: 'i32', shape: [], perSample: true }) : null;
    const logits: unknown = build(g, images);
    if (typeof logits !== 'number')
      throw new HybridError(
        'E_USAGE',
        `build of ${name} returned ${logits instanceof Promise ? 'a promise' : logits === null ? 'null' : typeof logits}, and no value of its graph`,
        'Return the logits: what `g.one`, `g.add` or `g.layer` returned last.',
      );
    const { dtype, perSample, shape } = g.spec(logits);
    if (dtype !== 'f32' || !perSample || `${shape}` !== `${classes}`) {
      const found = `${dtype} ${formatShape(g.spec(logits))}`;
      throw new HybridError(
        'E_USAGE',
        `${name} ends in ${found} where logits of ${classes} classes are wanted`,
        `End with f32 [n, ${classes}].`,
      );
    }
    // What makes probabilities of them at the end is left to the loss, as in models of layers.
    const last = g.nodes.find(({ op, outputs }) => op === 'softmax' && outputs[0] === logits);
    addOutputs(g, last ? last.inputs[0] : logits, labels, loss);
    return g;
  };
  const { variables } = assemble('train', false);
  const others = assemble('inference', false).variables;
  const first = [...variables.keys(), ...others.keys()].find((i) => describe(variables[i]) !== describe(others[i]));
  if (first !== undefined) {
    const [training, inference] = [describe(variables[first]), describe(others[first])];
    throw new HybridError(
      'E_USAGE',
      `${name} declares ${training} in training, but ${inference} in inference`,
      'Declare the same variables in the same order in both modes.',
    );
  }
  const forward: GraphModel['forward'] = (mode, { loss, frozen }): Graph => assemble(mode, loss, frozen).finish();
  return { arch: name, input, classes, variables, forward };
}

function checkSizes(name: string, input: unknown, classes: unknown): void {
  const isSize = (n: unknown): boolean => Number.isSafeInteger(n) && (n as number) > 0;
  if (!Array.isArray(input) || input.length !== 3 || !input.every(isSize))
    throw new HybridError(
      'E_USAGE',
      `${name} has images of ${Array.isArray(input) ? `[${input}]` : typeof input}`,
      'Give [height, width, channels], whole numbers above 0.',
      { field: 'input' },
    );
  if (!isSize(classes) || (classes as number) < 2)
    throw new HybridError('E_USAGE', `${name} has ${classes} classes`, 'Give a whole number, 2 or more.', { field: 'classes' });
}

const describe = (variable: VariableInfo | undefined): string =>
  variable ? `${variable.role} ${variable.name} [${variable.shape}]` : 'nothing';
