// ONNX files: a protocol-buffer message that holds a graph of standard operators. Here is the part of the message that
// inference models need, under the names and field numbers of the public specification, and the writer of it.

import protobuf from 'protobufjs';
import { unlessForbidden } from '../base/restrictions.ts';

const SCHEMA = `
  syntax = "proto3";
  package onnx;
  message ModelProto {
    int64 ir_version = 1; string producer_name = 2; string producer_version = 3; string doc_string = 6; GraphProto graph = 7;
    repeated OperatorSetIdProto opset_import = 8; repeated StringStringEntryProto metadata_props = 14;
  }
  message OperatorSetIdProto { string domain = 1; int64 version = 2; }
  message StringStringEntryProto { string key = 1; string value = 2; }
  message GraphProto {
    repeated NodeProto node = 1; string name = 2; repeated TensorProto initializer = 5; string doc_string = 10;
    repeated ValueInfoProto input = 11; repeated ValueInfoProto output = 12;
  }
  message NodeProto {
    repeated string input = 1; repeated string output = 2; string name = 3; string op_type = 4; repeated AttributeProto attribute = 5;
  }
  message AttributeProto { string name = 1; float f = 2; int64 i = 3; bytes s = 4; repeated int64 ints = 8; int32 type = 20; }
  message TensorProto { repeated int64 dims = 1; int32 data_type = 2; string name = 8; bytes raw_data = 9; }
  message ValueInfoProto { string name = 1; TypeProto type = 2; string doc_string = 3; }
  message TypeProto { Tensor tensor_type = 1; message Tensor { int32 elem_type = 1; TensorShapeProto shape = 2; } }
  message TensorShapeProto { repeated Dimension dim = 1; message Dimension { oneof value { int64 dim_value = 1; string dim_param = 2; } } }
`;

/** Of the specification that came with operator set 17. */
const IR_VERSION = 8;
const ELEMENT = { float: 1, uint8: 2, int64: 7 } as const;
const ATTRIBUTE = { float: 1, int: 2, string: 3, ints: 7 } as const;
/** A value of an attribute. */
type OnnxAttribute = number | string | readonly number[] | { readonly float: number };

export interface OnnxNode {
  readonly op: string;
  /** Unique; for people who look at the graph. */
  readonly name: string;
  readonly inputs: readonly string[];
  readonly output: string;
  /** Whole numbers are written as int, lists as ints; a float has to say so. */
  readonly attributes?: Readonly<Record<string, OnnxAttribute>>;
}

/** A constant. */
export interface OnnxTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array | BigInt64Array;
}

/** An input or output of the graph; a text in the shape is a size that is free. */
export interface OnnxValue {
  readonly name: string;
  readonly type: 'float' | 'uint8';
  readonly shape: readonly (number | string)[];
  readonly doc?: string;
}

export interface OnnxModel {
  readonly name: string;
  readonly doc: string;
  readonly opset: number;
  readonly producer: { readonly name: string; readonly version: string };
  readonly nodes: readonly OnnxNode[];
  readonly constants: ReadonlyMap<string, OnnxTensor>;
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  readonly metadata: ReadonlyMap<string, string>;
}

/** The same model gives the same bytes. */
export function writeOnnx(model: OnnxModel): Uint8Array {
  const Message = protobuf.parse(SCHEMA, { keepCase: true }).root.lookupType('onnx.ModelProto');
  const message = {
    ir_version: IR_VERSION,
    producer_name: model.producer.name,
    producer_version: model.producer.version,
    doc_string: model.doc,
    opset_import: [{ domain: '', version: model.opset }],
    metadata_props: [...model.metadata].map(([key, value]) => ({ key, value })),
    graph: {
      name: model.name,
      node: model.nodes.map(({ op, name, inputs, output, attributes = {} }) => ({
        op_type: op,
        name,
        input: inputs,
        output: [output],
        attribute: Object.entries(attributes).map(attributeOf),
      })),
      initializer: [...model.constants].map(([name, { shape, data }]) => ({
        name,
        dims: shape,
        data_type: data instanceof Float32Array ? ELEMENT.float : ELEMENT.int64,
        raw_data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
      })),
      input: model.inputs.map(valueInfo),
      output: model.outputs.map(valueInfo),
    },
  };
  const forbidden = 'ONNX files are written by the package protobufjs, which makes code at run time, and this process may not';
  return unlessForbidden(forbidden, () => Message.encode(message).finish());
}

function attributeOf([name, value]: [string, OnnxAttribute]) {
  if (typeof value === 'string') return { name, type: ATTRIBUTE.string, s: new TextEncoder().encode(value) };
  if (typeof value === 'number') return { name, type: ATTRIBUTE.int, i: value };
  return 'float' in value ? { name, type: ATTRIBUTE.float, f: value.float } : { name, type: ATTRIBUTE.ints, ints: value };
}

function valueInfo({ name, type, shape, doc }: OnnxValue) {
  const dim = shape.map((size) => (typeof size === 'number' ? { dim_value: size } : { dim_param: size }));
  return { name, doc_string: doc, type: { tensor_type: { elem_type: ELEMENT[type], shape: { dim } } } };
}
