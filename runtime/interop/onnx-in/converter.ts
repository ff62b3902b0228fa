// From an ONNX graph to a model of layers: walks the nodes that lead to the output, in their order, by the rules beside this file, and keeps the
// weights of the layers that they make. What the rules share is here: layers with weights, names, and the order of axes.

import { HybridError } from '../../base/errors.ts';
import type { OnnxFile, OnnxFileNode } from '../../formats/onnx-file.ts';
import { quote } from '../../formats/zip.ts';
import { callLayer, type LayerInstance, type LayerTensor, layerOf } from '../../layers/functional.ts';
import { LAYERS, type LayerOptions, type LayerType } from '../../layers/index.ts';
import { type Shape, sizeOf, type VariableRole } from '../../layers/layer.ts';
import { assemble } from '../../model/layered-model.ts';
import type { Model } from '../../model/model.ts';
import { FOLDS, foldConstants } from './fold.ts';
import { NodeView, REMEDY, refuseNode } from './node-view.ts';
import { Constant, MOST_ELEMENTS, Value } from './value.ts';

/** What a node becomes: a value for each output. */
export type Rule = (c: Converter, node: NodeView) => Value | Constant | readonly (Value | Constant)[];
export type Rules = Readonly<Record<string, Rule | undefined>>;

type Weights = Partial<Record<VariableRole, Float32Array>>;

/** Layers in all, those of patterns that were taken up by others included. */
const MOST_LAYERS = 10_000;
/** Of a value. */
const MOST_AXES = 16;
/** Numbers that may be made of a file: so many times its bytes, and some for shapes. */
const SPENT = { times: 4, more: 4_000_000 } as const;

export class Converter {
  readonly #file: OnnxFile;
  readonly #source: string;
  readonly #samples: number;
  readonly #rules: Rules;
  readonly #weights = new Map<LayerInstance, () => Weights>();
  readonly #names = new Set<string>();
  #layers = 0;
  #left: number;
  #node: OnnxFileNode | undefined;

  constructor(file: OnnxFile, source: string, samples: number, rules: Rules) {
    this.#file = file;
    this.#samples = samples;
    this.#source = source;
    this.#rules = rules;
    this.#left = SPENT.times * file.bytes + SPENT.more;
  }

  /** The value of the output. @param images The value of the graph's input, by its name. */
  run(images: readonly [name: string, value: Value], output: string): Value {
    const nodes = this.#needed(output);
    const values = new Map<string, Value | Constant>([...this.#file.constants].map(([name, tensor]) => [name, Constant.of(tensor)]));
    if (values.has(images[0])) this.#refuse('its input is a constant');
    values.set(...images);
    for (const node of nodes) {
      this.#node = node;
      const inputs = node.inputs.map((name) =>
        name === ''
          ? undefined
          : (values.get(name) ?? refuseNode(this.#source, node, `reads ${quote(name)}, which nothing before it makes`)),
      );
      const results = this.#convert(node, inputs);
      for (const [k, name] of node.outputs.entries()) {
        if (name === '') continue;
        if (values.has(name)) refuseNode(this.#source, node, `makes ${quote(name)}, which already exists`);
        const result = results[k];
        if (result) values.set(name, result);
      }
    }
    const result = values.get(output);
    return result instanceof Value ? result : this.#refuse('its output does not depend on its input');
  }

  /** The nodes that lead to the output, in the order of the file; those of operators that are not known are refused before any work. */
  #needed(output: string): OnnxFileNode[] {
    const makers = new Map<string, OnnxFileNode>();
    for (const node of this.#file.nodes)
      for (const name of node.outputs) {
        if (name === '') continue;
        if (makers.has(name)) refuseNode(this.#source, node, `makes ${quote(name)}, which another one makes`);
        makers.set(name, node);
      }
    const needed = new Set<OnnxFileNode>();
    const names = [output];
    for (let name = names.pop(); name !== undefined; name = names.pop()) {
      const node = makers.get(name);
      if (!node || needed.has(node)) continue;
      needed.add(node);
      for (const input of node.inputs) names.push(input);
    }
    const nodes = this.#file.nodes.filter((node) => needed.has(node));
    for (const node of nodes) {
      const known = node.domain === '' || node.domain === 'ai.onnx';
      if (!known || (!Object.hasOwn(this.#rules, node.op) && !Object.hasOwn(FOLDS, node.op)))
        refuseNode(this.#source, node, 'is of an operator that is not read');
    }
    return nodes;
  }

  #convert(node: OnnxFileNode, inputs: readonly (Value | Constant | undefined)[]): readonly (Value | Constant)[] {
    const view = new NodeView(node, inputs, {
      source: this.#source,
      opset: this.#file.opset,
      samples: this.#samples,
      spend: (numbers) => this.#spend(numbers),
    });
    try {
      const constants = inputs.every((input): input is Constant | undefined => !(input instanceof Value));
      const fold = constants && inputs.length > 0 && inputs[0] ? FOLDS[node.op] : undefined;
      const rule = this.#rules[node.op];
      const result = fold
        ? foldConstants(view, fold, inputs as (Constant | undefined)[])
        : rule
          ? rule(this, view)
          : view.refuse('is read of constants only');
      view.done();
      const results = Array.isArray(result) ? (result as readonly (Value | Constant)[]) : [result as Value | Constant];
      if (results.some(({ shape }) => shape.length > MOST_AXES)) view.refuse(`makes more than ${MOST_AXES} axes`);
      return results;
    } catch (error) {
      // What a layer cannot be is told of the node that would have been it.
      if (!(error instanceof HybridError) || error.code !== 'E_USAGE') throw error;
      return view.refuse(`would be a layer that cannot be: ${error.message}`, error.remedy, error);
    }
  }

  #spend(numbers: number): void {
    this.#left -= numbers;
    if (this.#left >= 0) return;
    if (this.#node) refuseNode(this.#source, this.#node, 'makes more numbers than the file has room for', 'Export the model again.');
    this.#refuse('it makes more numbers than it has room for');
  }

  #refuse(what: string, remedy = REMEDY): never {
    throw new HybridError('E_CHECKPOINT', `${this.#source} cannot be taken in: ${what}`, remedy);
  }

  /** A layer of the node. `weights` are made when the model is there, of the layers that are in it. */
  layer<T extends LayerType>(
    type: T,
    options: LayerOptions<T>,
    inputs: LayerTensor | readonly LayerTensor[],
    weights?: () => Weights,
    name?: string,
  ): LayerTensor {
    if (++this.#layers > MOST_LAYERS) this.#refuse(`it would have more than ${MOST_LAYERS} layers`);
    const own = name === undefined ? undefined : this.#free(name);
    const layer = layerOf(LAYERS[type], { ...(options as object), ...(own !== undefined && { name: own }) });
    const tensor = callLayer(layer, inputs);
    if (weights) this.#weights.set(layer, weights);
    if (sizeOf(tensor.shape) > MOST_ELEMENTS) this.#refuse(`an image would become [${tensor.shape.join(', ')}] numbers`);
    return tensor;
  }

  /** A name of the node's own that no other layer has; undefined: its layer is numbered. */
  #free(name: string): string | undefined {
    const plain = name
      .replace(/[^A-Za-z0-9_.-]+/g, '_')
      .replace(/^[^A-Za-z0-9]+/, '')
      .slice(0, 200);
    if (plain === '') return undefined;
    let free = plain;
    for (let k = 1; this.#names.has(free); k++) free = `${plain}_${k}`;
    this.#names.add(free);
    return free;
  }

  /** The model that ends in a value of the classes. */
  model(name: string, input: LayerTensor, output: LayerTensor): { readonly model: Model; readonly weights: Map<string, Float32Array> } {
    this.#node = undefined;
    const { model, instances } = this.#assembled(name, input, output);
    const weights = new Map<string, Float32Array>();
    for (const { index, variables, repeats, name } of model.layers) {
      if (repeats !== undefined || variables.length === 0) continue;
      const made = this.#weights.get(instances[index])?.() ?? {};
      for (const { name: path, role, shape } of variables) {
        const values = made[role];
        this.#spend(sizeOf(shape));
        if (values?.length !== sizeOf(shape))
          this.#refuse(`its layer ${name} has ${values?.length ?? 'no'} numbers for a ${role} of [${shape.join(', ')}]`);
        weights.set(path, values);
      }
    }
    return { model, weights };
  }

  #assembled(name: string, input: LayerTensor, output: LayerTensor): ReturnType<typeof assemble> {
    try {
      return assemble({ name, input, output });
    } catch (error) {
      if (!(error instanceof HybridError) || error.code !== 'E_USAGE') throw error;
      return this.#refuse(error.message, error.remedy);
    }
  }

  // The order of axes.

  /** The value as a tensor whose axes are these of ONNX's, in this order. */
  inOrder(value: Value, order: readonly number[]): LayerTensor {
    const { flat } = value.facts;
    if (flat) return flat.inOrder();
    if (`${order}` === `${value.order}`) return value.tensor;
    const shape = order.map((axis) => value.shape[axis]);
    const moving = (axes: readonly number[]) => `${axes.filter((axis) => value.shape[axis] !== 1)}`;
    if (moving(order) === moving(value.order)) return this.shaped(value.tensor, shape);
    return this.layer('Permute', { dims: order.map((axis) => value.order.indexOf(axis) + 1) }, value.tensor);
  }

  /** As an image [height, width, channels]; refuses what is none. */
  image(node: NodeView, value: Value): LayerTensor {
    if (value.shape.length !== 3) node.refuse(`reads [${['samples', ...value.shape].join(', ')}], and only images are read by it here`);
    return this.inOrder(value, IMAGE);
  }

  /** The value with an axis as the last one here, numbers of a vector in ONNX's order. */
  withLast(value: Value, axis: number): Value {
    const { flat, notNegative, isImage } = value.facts;
    if (flat) return new Value(value.shape, value.order, () => flat.inOrder(), { notNegative, isImage });
    if (value.last === axis) return value;
    const order = [...value.order.filter((other) => other !== axis), axis];
    return new Value(value.shape, order, () => this.inOrder(value, order), { notNegative, isImage });
  }

  /** The same numbers in another shape. */
  shaped(x: LayerTensor, shape: Shape): LayerTensor {
    if (`${x.shape}` === `${shape}`) return x;
    return shape.length === 1 ? this.layer('Flatten', {}, x) : this.layer('Reshape', { targetShape: [...shape] }, x);
  }

  /**
   * The value in another shape of ONNX's. Axes that are split or joined are so where they lie, as far as that is possible; a vector of all of them
   * stays in the order of here, which whoever reads it is told.
   */
  reshaped(node: NodeView, value: Value, shape: Shape): Value {
    if (`${shape}` === `${value.shape}`) return value;
    if (sizeOf(shape) !== sizeOf(value.shape) || shape.length === 0 || !shape.every((n) => Number.isSafeInteger(n) && n > 0))
      node.refuse(`makes [${shape.join(', ')}] of [${value.shape.join(', ')}] for each sample`);
    const groups = groupsOf(value.shape, shape);
    const of = new Map(groups.flatMap((group) => group.from.map((axis) => [axis, group] as const)));
    // Axes in the order of here, those that become one axis, or several of one, side by side in their own order.
    const placed = value.order.filter((axis) => value.shape[axis] !== 1);
    const arranged: number[] = [];
    const done = new Set<Group>();
    const into: number[] = shape.flatMap((size, axis) => (size === 1 ? [axis] : []));
    for (const axis of placed) {
      const group = of.get(axis) as Group;
      if (done.has(group)) continue;
      done.add(group);
      for (const from of group.from) arranged.push(from);
      for (const to of group.to) into.push(to);
    }
    const { notNegative, isImage } = value.facts;
    const result = into.map((axis) => shape[axis]);
    const ones = value.shape.flatMap((size, axis) => (size === 1 ? [axis] : []));
    const inOrder = () => this.shaped(this.inOrder(value, [...ones, ...arranged]), result);
    const stays = `${arranged}` === `${placed}`;
    if (stays && !value.facts.flat) return new Value(shape, into, this.shaped(value.tensor, result), { notNegative, isImage });
    if (shape.length > 1 || value.facts.flat) return new Value(shape, into, inOrder(), { notNegative, isImage });
    const sizes = value.order.map((axis) => value.shape[axis]);
    return new Value(shape, [0], this.shaped(value.tensor, result), { notNegative, isImage, flat: { sizes, order: value.order, inOrder } });
  }
}

/** Order of an image here: ONNX has channels, height, width. */
export const IMAGE = [1, 2, 0] as const;

/** Axes that become others together. */
interface Group {
  readonly from: number[];
  readonly to: number[];
}

/** Which axes of a shape become which of another, axes of size 1 left out. */
function groupsOf(from: Shape, to: Shape): Group[] {
  const longer = (shape: Shape) => shape.flatMap((size, axis) => (size === 1 ? [] : [axis]));
  const [sources, targets] = [longer(from), longer(to)];
  const groups: Group[] = [];
  for (let i = 0, k = 0; i < sources.length; ) {
    const group: Group = { from: [sources[i]], to: [targets[k]] };
    let [a, b] = [from[sources[i++]], to[targets[k++]]];
    while (a !== b) {
      if (a < b) {
        group.from.push(sources[i]);
        a *= from[sources[i++]];
      } else {
        group.to.push(targets[k]);
        b *= to[targets[k++]];
      }
    }
    groups.push(group);
  }
  return groups;
}
