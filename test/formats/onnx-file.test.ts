// What an ONNX file may do to its reader: nothing but be read, or be refused by what is wrong with it, soon and in bounded memory.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { HybridError } from '../../runtime/base/errors.ts';
import { externalFiles, looksLikeOnnx, readOnnx } from '../../runtime/formats/onnx-file.ts';
import { fromOnnx } from '../../runtime/interop/onnx-import.ts';
import { bytesOf, field, type HandModel, head, node, onnx, tensor, varint } from '../support/onnx.ts';

const open = (bytes: Uint8Array) => fromOnnx(readOnnx(bytes, { source: 'x.onnx' }), 'x.onnx', { mean: [0], std: [1] });

function refusal(bytes: Uint8Array): HybridError {
  const start = process.cpuUsage();
  try {
    open(bytes);
  } catch (error) {
    expect(error).toMatchObject({ name: 'HybridError', code: 'E_CHECKPOINT', exitStatus: 5, remedy: expect.stringMatching(/./) });
    // Of the processor, whatever else this machine does.
    const { user, system } = process.cpuUsage(start);
    expect((user + system) / 1e6).toBeLessThan(1);
    return error as HybridError;
  }
  throw new Error('it was read');
}

/** `x`, some nodes, and a head. */
const net = (nodes: readonly Uint8Array[], last: string, more: Partial<HandModel> = {}, channels = 3): Uint8Array => {
  const end = head(last, channels);
  return onnx({ ...more, nodes: [...nodes, ...end.nodes], constants: [...(more.constants ?? []), ...end.constants] });
};
const relu = (name: string, from: string) => node({ op: 'Relu', inputs: [from], name });
const SMALL = net([relu('relu', 'x')], 'relu');

describe('a file', () => {
  it('is read', () => {
    const { model, weights } = open(SMALL);
    expect(model.layers.map(({ type }) => type)).toEqual([
      'InputLayer',
      'Rescaling',
      'Activation',
      'GlobalAveragePooling2D',
      'Flatten',
      'Dense',
    ]);
    expect([...weights.values()].map(({ length }) => length)).toEqual([6]);
    expect(looksLikeOnnx(SMALL)).toBe(true);
  });

  it('that ends anywhere is refused', () => {
    for (let end = 0; end < SMALL.length; end++) {
      // What names the version comes last: without it nothing is a model.
      expect(refusal(SMALL.subarray(0, end)).message, `${end}`).toMatch(
        /^x\.onnx (is not an ONNX file that can be used|cannot be taken in): /,
      );
    }
  });

  it('with any byte another one is read, or refused', () => {
    let read = 0;
    for (let at = 0; at < SMALL.length; at++)
      for (const by of [0x01, 0x80, 0xff]) {
        const changed = SMALL.slice();
        changed[at] ^= by;
        try {
          open(changed);
          read++;
        } catch (error) {
          expect(error, `byte ${at} ^ ${by}`).toMatchObject({ name: 'HybridError', code: 'E_CHECKPOINT' });
        }
      }
    // Bytes of weights and of what only people read.
    expect(read).toBeGreaterThan(50);
  });

  it.each([
    ['nothing', new Uint8Array(), /it has no graph/],
    ['four gigabytes in a field', bytesOf(field(1, 8), varint(0x3an), varint(0xffff_ffffn)), /claims 4294967295 bytes, and 0 are left/],
    ['a number without an end', bytesOf(Uint8Array.of(8), new Uint8Array(20).fill(0x80)), /impossible number/],
    ['an old form of messages', bytesOf(field(1, 8), Uint8Array.of((9 << 3) | 3)), /unknown kind 3/],
    ['no version', onnx({ nodes: [] }).subarray(0, 20), /./],
    ['two graphs', bytesOf(SMALL, field(7, new Uint8Array())), /it has two graphs/],
    [
      'more nodes than any network',
      bytesOf(
        field(1, 8),
        field(7, bytesOf(...new Array(20_001).fill(field(1, node({ op: 'A', inputs: [] }))))),
        field(8, bytesOf(field(1, ''), field(2, 17))),
      ),
      /more than 20000 nodes/,
    ],
    [
      'more fields than any model',
      bytesOf(
        field(1, 8),
        new Uint8Array(5_000_000).map((_, i) => (i % 2 ? 1 : 0xa0 >> 1)),
      ),
      /more fields than any model|graph/,
    ],
    [
      'a constant that is too short',
      onnx({ nodes: head('x').nodes, constants: [tensor('kernel', [3, 2], new Uint8Array(20))] }),
      /"kernel" has 20 bytes for 6 elements of float/,
    ],
    [
      'a constant of an impossible shape',
      onnx({ nodes: head('x').nodes, constants: [tensor('kernel', [2 ** 40, 2 ** 40], new Uint8Array(4))] }),
      /impossible shape/,
    ],
    [
      'a constant of a negative size',
      onnx({ nodes: head('x').nodes, constants: [tensor('kernel', [-1, 2], new Uint8Array(4))] }),
      /a size of -1/,
    ],
    [
      'a constant of text',
      onnx({ nodes: head('x').nodes, constants: [bytesOf(field(1, 1), field(2, 8), field(8, 'kernel'), field(6, 'a'))] }),
      /holds text/,
    ],
    [
      'two constants of one name',
      onnx({ ...head('x'), constants: [tensor('kernel', [3, 2]), tensor('kernel', [3, 2])] }),
      /two of its constants are called "kernel"/,
    ],
    ['an image of an impossible size', net([], 'x', { input: ['n', 3, 2 ** 31, 2 ** 31] }), /has the shape/],
    ['no image', net([], 'x', { input: ['n', 3] }), /2 axes/],
    ['numbers of another kind', net([], 'x', { inputType: 7 }), /elements of int64/],
    ['operators of tomorrow', net([], 'x', { opset: 99 }), /version 99 of ONNX's operators/],
    ['nodes in a circle', net([relu('a', 'b'), relu('b', 'a')], 'b'), /its node Relu "a" reads "b", which nothing before it makes/],
    ['a value that is made twice', net([relu('a', 'x'), relu('a', 'x')], 'a'), /its node Relu "a" makes "a", which another one makes/],
    [
      'an operator that is not read',
      net([node({ op: 'Einsum', inputs: ['x'], name: 'far' })], 'far'),
      /its node Einsum "far" is of an operator that is not read/,
    ],
    [
      'an operator of somebody',
      net([node({ op: 'Gelu', inputs: ['x'], name: 'g', domain: 'com.microsoft' })], 'g'),
      /its node Gelu of com\.microsoft "g" is of an operator/,
    ],
    [
      'constants that a node does not name',
      net([node({ op: 'Gather', inputs: ['c'], name: 'g' }), node({ op: 'Mul', inputs: ['x', 'g'], name: 'm' })], 'm', {
        constants: [tensor('c', [3])],
      }),
      /its node Gather "g" lacks operand 2/,
    ],
    [
      'one constant to be added to none',
      net([node({ op: 'Add', inputs: ['c'], name: 'a' }), node({ op: 'Mul', inputs: ['x', 'a'], name: 'm' })], 'm', {
        constants: [tensor('c', [1])],
      }),
      /its node Add "a" lacks operand 2/,
    ],
    [
      'a hole among constants that are joined',
      net(
        [
          node({ op: 'Concat', inputs: ['c', '', 'c'], name: 'j', attributes: { axis: 0 } }),
          node({ op: 'Mul', inputs: ['x', 'j'], name: 'm' }),
        ],
        'm',
        {
          constants: [tensor('c', [1])],
        },
      ),
      /its node Concat "j" lacks operand 2/,
    ],
    [
      'an attribute that nobody knows',
      net([node({ op: 'Relu', inputs: ['x'], name: 'r', attributes: { steep: 3 } })], 'r'),
      /its node Relu "r" has the attribute steep 3, which is not supported/,
    ],
    [
      'a subgraph in a subgraph',
      net([node({ op: 'Relu', inputs: ['x'], name: 'r', attributes: { body: { bytes: deep(20_000) } } })], 'r'),
      /attribute body/,
    ],
    [
      'nothing from the input',
      onnx({ nodes: [node({ op: 'Constant', inputs: [], attributes: { value_int: 1 } })], output: 'constant' }),
      /does not depend on its input/,
    ],
    [
      'more images than fit',
      net([node({ op: 'Upsample', inputs: ['x', 's'], name: 'u' })], 'u', { opset: 9, constants: [tensor('s', [4], [1, 1, 4096, 4096])] }),
      /would become \[32768, 32768, 3\] numbers/,
    ],
    [
      'a constant of more numbers than there are',
      onnx({
        nodes: [node({ op: 'ConstantOfShape', inputs: ['s'], name: 'c' }), node({ op: 'Add', inputs: ['x', 'c'] })],
        constants: [tensor('s', [2], [2n ** 20n, 2n ** 20n])],
        output: 'add',
      }),
      /makes more numbers than the file has room for/,
    ],
    [
      'a number that is none',
      net([node({ op: 'Mul', inputs: ['x', 'c'], name: 'm' })], 'm', { constants: [tensor('c', [], [Number.NaN])] }),
      /not finite/,
    ],
    [
      'a softmax in the middle',
      net([node({ op: 'Softmax', inputs: ['x'], name: 's', attributes: { axis: 1 } })], 's'),
      /makes probabilities before the end/,
    ],
    [
      'training',
      net([node({ op: 'BatchNormalization', inputs: ['x', 'c', 'c', 'c', 'c'], name: 'b', attributes: { training_mode: 1 } })], 'b', {
        constants: [tensor('c', [3])],
      }),
      /its node BatchNormalization "b" is that of training/,
    ],
    [
      'a window that pads more than it spans',
      net([node({ op: 'MaxPool', inputs: ['x'], name: 'p', attributes: { kernel_shape: [2, 2], pads: [2, 2, 2, 2] } })], 'p'),
      /has pads \[2, 2, 2, 2\] for a window/,
    ],
    [
      'several images in one',
      net([node({ op: 'Reshape', inputs: ['x', 's'], name: 'r' })], 'r', { constants: [tensor('s', [4], [2n, 3n, 8n, -1n])] }),
      /makes \[2, 3, 8, -1\] of \[samples, 3, 8, 8\]/,
    ],
  ] as const)('with %s is refused', (_, bytes, message) => {
    expect(refusal(bytes).message).toMatch(message);
  });

  it('of 10,000 nodes in a row is read or refused without a stack that ends', () => {
    const nodes = Array.from({ length: 11_000 }, (_, i) => relu(`r${i}`, i ? `r${i - 1}` : 'x'));
    const unread = [...nodes, node({ op: 'Einsum', inputs: ['r10999'], name: 'far' })];
    // What is not read is told before anything is made.
    expect(refusal(net(unread, 'far')).message).toMatch(/node Einsum "far"/);
  });
});

/** An attribute that is a graph of a node with such an attribute, and so on. */
function deep(levels: number): Uint8Array {
  // Lengths grow with depth: written from the inside.
  let bytes = bytesOf(field(20, 5));
  for (let level = 0; level < Math.min(levels, 400); level++) bytes = bytesOf(field(6, field(1, field(5, bytes))), field(20, 5));
  return bytes;
}

describe('weights in files beside it', () => {
  const entry = (key: string, value: string) => field(13, bytesOf(field(1, key), field(2, value)));
  const beside = (location: string, offset = '8', length = '24') => {
    const { nodes } = head('x');
    const kernel = bytesOf(
      field(1, 3),
      field(1, 2),
      field(2, 1),
      field(8, 'kernel'),
      entry('location', location),
      entry('offset', offset),
      entry('length', length),
      field(14, 1),
    );
    return onnx({ nodes, constants: [kernel] });
  };
  const data = new Uint8Array(Float32Array.from({ length: 8 }, (_, i) => i).buffer);

  it('are read', () => {
    expect(externalFiles(beside('x.onnx.data'))).toEqual(['x.onnx.data']);
    const file = readOnnx(beside('x.onnx.data'), { external: new Map([['x.onnx.data', data]]) });
    expect([...(file.constants.get('kernel')?.values() as Float32Array)]).toEqual([2, 3, 4, 5, 6, 7]);
  });

  it.each(['../secret', '/etc/passwd', 'a/b', 'a\\b', '..', '', 'C:x', 'a\0b'])('are looked for in no other folder: %j', (location) => {
    expect(() => externalFiles(beside(location))).toThrow(/only files in the same folder are read/);
  });

  it.each([
    ['16', '24', /ends at byte 40 of "d", which has 32/],
    ['8', '20', /"kernel" has 20 bytes for 6 elements/],
    ['-8', '24', /has the offset "-8"/],
    ['99999999999999999999', '24', /has the offset/],
  ])('at %s, %s bytes, are refused', (offset, length, message) => {
    const file = () =>
      readOnnx(beside('d', offset, length), { external: new Map([['d', data]]) })
        .constants.get('kernel')
        ?.values();
    expect(file).toThrow(message);
  });
});

describe('types of numbers', () => {
  const kernel = (type: number, more: Uint8Array) => {
    const { nodes } = head('x');
    const constant = bytesOf(field(1, 3), field(1, 2), field(2, type), field(8, 'kernel'), more);
    return [
      ...(readOnnx(onnx({ nodes, constants: [constant] }))
        .constants.get('kernel')
        ?.values() as ArrayLike<number> & Iterable<number>),
    ];
  };
  const bytes = (array: ArrayBufferView) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  const NUMBERS = [0, 1, -2, 0.5, 4, -0.25];
  it.each([
    ['float, raw', 1, field(9, bytes(Float32Array.from(NUMBERS)))],
    ['float, as floats', 1, field(4, bytes(Float32Array.from(NUMBERS)))],
    ['double, raw', 11, field(9, bytes(Float64Array.from(NUMBERS)))],
    ['double, as doubles', 11, field(10, bytes(Float64Array.from(NUMBERS)))],
    ['float16, raw', 10, field(9, bytes(Uint16Array.of(0, 0x3c00, 0xc000, 0x3800, 0x4400, 0xb400)))],
    ['float16, as numbers', 10, field(5, bytesOf(...[0, 0x3c00, 0xc000, 0x3800, 0x4400, 0xb400].map((n) => varint(BigInt(n)))))],
    ['bfloat16, raw', 16, field(9, bytes(Uint16Array.of(0, 0x3f80, 0xc000, 0x3f00, 0x4080, 0xbe80)))],
  ] as const)('%s', (_, type, more) => {
    expect(kernel(type, more)).toEqual(NUMBERS);
  });

  it('whole numbers, in both forms', () => {
    expect(kernel(7, field(7, bytesOf(...[0n, 1n, -2n, 3n, 2n ** 40n, -1n].map(varint))))).toEqual([0, 1, -2, 3, 2 ** 40, -1]);
    expect(kernel(6, field(9, bytes(Int32Array.of(0, 1, -2, 3, 4, -5))))).toEqual([0, 1, -2, 3, 4, -5]);
  });

  it('that do not go with the shape, or with the type, are refused', () => {
    expect(() => kernel(7, field(7, bytesOf(...[0n, 1n].map(varint))))).toThrow(/has 2 numbers, and 6 are due/);
    expect(() => kernel(1, field(7, bytesOf(varint(1n))))).toThrow(/values of another type than float/);
    expect(() => kernel(1, bytesOf(field(9, new Uint8Array(24)), field(4, new Uint8Array(24))))).toThrow(/its values twice/);
    expect(() => kernel(11, field(9, bytes(Float64Array.of(1e300, 0, 0, 0, 0, 0))))).toThrow(/which no float32 holds/);
    expect(() => kernel(14, field(9, new Uint8Array(24)))).toThrow(/elements of type 14/);
  });
});

it('fixtures have constants for all that they read', () => {
  const bytes = new Uint8Array(readFileSync(new URL('../golden/onnx/residual.onnx', import.meta.url)));
  const { nodes, constants, opset, producer } = readOnnx(bytes);
  expect([opset, producer]).toEqual([17, 'pytorch']);
  for (const { inputs } of nodes)
    for (const name of inputs)
      expect(constants.has(name) || nodes.some(({ outputs }) => outputs.includes(name)) || name === 'input').toBe(true);
});

it('a mean of numbers that may be negative may be, too: zeros around it are no windows of the largest', () => {
  const mean = node({ op: 'AveragePool', inputs: ['x'], name: 'm', attributes: { kernel_shape: [2, 2] } });
  const most = (from: string) =>
    node({ op: 'MaxPool', inputs: [from], name: 'p', attributes: { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] } });
  const types = (bytes: Uint8Array) => open(bytes).model.layers.map(({ type }) => type);
  expect(types(net([mean, most('m')], 'p'))).not.toContain('ZeroPadding2D');
  expect(types(net([mean, relu('r', 'm'), most('r')], 'p'))).toContain('ZeroPadding2D');
});

it('a mean over no axes is that of all, samples too, and is refused', () => {
  const nodes = [...head('x').nodes, node({ op: 'ReduceMean', inputs: ['gemm'], name: 'mean', attributes: { axes: [] } })];
  const { message } = refusal(onnx({ nodes, constants: head('x').constants, output: 'mean' }));
  expect(message).toMatch(/its node ReduceMean "mean" reduces the axis of the samples/);
});
