// A node as its rule sees it: operands by place, attributes by name and kind. What a rule has not asked for it does not know, so that an attribute
// which nobody read ends the conversion: nothing that a file says is passed over.

import { HybridError } from '../../base/errors.ts';
import type { OnnxFileNode, OnnxFileTensor } from '../../formats/onnx-file.ts';
import { quote } from '../../formats/zip.ts';
import { Constant, Value } from './value.ts';

/** What all nodes of a file share. */
export interface Surroundings {
  /** Name of the file, for messages. */
  readonly source: string;
  readonly opset: number;
  /** How many samples the graph is written for: 1 where it takes any number, for such graphs were traced with one. */
  readonly samples: number;
  /** Counts numbers that are made, against the size of the file. */
  spend(numbers: number, node: NodeView): void;
}

export const REMEDY = 'docs/file-formats.md lists the operators of ONNX that are read, and how.';

export class NodeView {
  readonly op: string;
  readonly outputs: readonly string[];
  readonly opset: number;
  readonly samples: number;
  /** Its operands in order; undefined where one is left out. */
  readonly inputs: readonly (Value | Constant | undefined)[];
  /** Name of the node, which may be empty, and of the constants that it reads. */
  readonly name: string;
  readonly #node: OnnxFileNode;
  readonly #surroundings: Surroundings;
  readonly #asked = new Set<string>();

  constructor(node: OnnxFileNode, inputs: readonly (Value | Constant | undefined)[], surroundings: Surroundings) {
    this.op = node.op;
    this.name = node.name;
    this.outputs = node.outputs;
    this.opset = surroundings.opset;
    this.samples = surroundings.samples;
    this.inputs = inputs;
    this.#node = node;
    this.#surroundings = surroundings;
  }

  /** Ends the conversion: the node, then `what`. */
  refuse(what: string, remedy = REMEDY, cause?: unknown): never {
    return refuseNode(this.#surroundings.source, this.#node, what, remedy, cause);
  }

  spend(numbers: number): void {
    this.#surroundings.spend(numbers, this);
  }

  // Attributes.

  #attribute(name: string): unknown {
    this.#asked.add(name);
    return this.#node.attributes.get(name);
  }

  has(name: string): boolean {
    return this.#node.attributes.has(name);
  }

  number(name: string, usual: number): number {
    const value = this.#attribute(name) ?? usual;
    return typeof value === 'number' ? value : this.refuse(`has no number for ${name}`);
  }

  integer(name: string, usual: number): number {
    const value = this.number(name, usual);
    return Number.isInteger(value) ? value : this.refuse(`has ${name} ${value}`);
  }

  text(name: string, usual: string): string {
    const value = this.#attribute(name) ?? usual;
    return typeof value === 'string' ? value : this.refuse(`has no text for ${name}`);
  }

  integers(name: string): readonly number[] | undefined {
    const value = this.#attribute(name);
    if (value === undefined) return undefined;
    return Array.isArray(value) && value.every(Number.isInteger) ? value : this.refuse(`has no whole numbers for ${name}`);
  }

  floats(name: string): readonly number[] | undefined {
    const value = this.#attribute(name);
    return value === undefined || Array.isArray(value) ? value : this.refuse(`has no numbers for ${name}`);
  }

  tensor(name: string): OnnxFileTensor | undefined {
    const value = this.#attribute(name);
    if (value === undefined || (typeof value === 'object' && !Array.isArray(value))) return value as OnnxFileTensor | undefined;
    return this.refuse(`has no tensor for ${name}`);
  }

  /** Whole numbers that older versions have as an attribute, and newer ones as an operand; undefined: nobody says. */
  integersAt(name: string, input: number): readonly number[] | undefined {
    const attribute = this.integers(name);
    const operand = this.inputs[input];
    if (operand === undefined) return attribute;
    if (!(operand instanceof Constant)) return this.refuse(`has ${name} that depend on the images`);
    if (attribute !== undefined || operand.shape.length > 1 || operand.size > 65_536) this.refuse(`has ${name} that are no list`);
    const values = Array.from(operand.values);
    // Also what depends on the number of samples.
    return values.every((value) => Number.isInteger(value) || Number.isNaN(value))
      ? values
      : this.refuse(`has no whole numbers for ${name}`);
  }

  /** Ends the conversion where an attribute was not asked for. */
  done(): void {
    for (const [name, value] of this.#node.attributes)
      if (!this.#asked.has(name))
        this.refuse(`has the attribute ${shown(name)}${typeof value === 'number' ? ` ${value}` : ''}, which is not supported`);
  }

  // Operands.

  value(input = 0): Value {
    const found = this.inputs[input];
    return found instanceof Value
      ? found
      : this.refuse(`reads ${found ? 'a constant' : 'nothing'} where it should read what follows from the images`);
  }

  constant(input: number): Constant {
    return this.optional(input) ?? this.refuse(`lacks operand ${input + 1}`);
  }

  optional(input: number): Constant | undefined {
    const found = this.inputs[input];
    return found instanceof Value ? this.refuse(`has an operand ${input + 1} that depends on the images`) : found;
  }

  /** The one number of an operand that is left out or constant. */
  scalar(input: number, usual: number): number {
    const found = this.optional(input);
    if (!found) return usual;
    return found.size === 1 ? found.values[0] : this.refuse(`has ${found.size} numbers as operand ${input + 1}, and one is read`);
  }

  /** Floats of an operand with `count` numbers, in whatever shape. */
  vector(input: number, count: number): Float32Array {
    const constant = this.constant(input);
    if (constant.size !== count) this.refuse(`has ${constant.size} numbers as operand ${input + 1}, and ${count} are due`);
    this.spend(count);
    return Float32Array.from(constant.values);
  }
}

const shown = (text: string): string => (/^[\w.:-]{1,60}$/.test(text) ? text : quote(text));

export function refuseNode(source: string, { op, name, domain }: OnnxFileNode, what: string, remedy = REMEDY, cause?: unknown): never {
  const called = name === '' ? '' : ` ${quote(name)}`;
  const of = domain === '' || domain === 'ai.onnx' ? '' : ` of ${shown(domain)}`;
  throw new HybridError('E_CHECKPOINT', `${source} cannot be taken in: its node ${shown(op)}${of}${called} ${what}`, remedy, { cause });
}
