// Activations: what Keras 3.15.1 computes (in doubles, with TensorFlow 2.21), slopes included; gradients; and that every entry of the table is here.

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { printWgsl } from '../../gpu/kernels/expression.ts';
import { add, costOfExpression, exactGelu, exactGeluDerivative, exp, named } from '../../runtime/ir/expression.ts';
import type { Attrs } from '../../runtime/ir/graph.ts';
import { ACTIVATION_NAMES, ACTIVATIONS, type Activation, activationFunctions } from '../../runtime/ops/activations.ts';
import { expectClose } from '../support/close.ts';
import { checkGradient } from '../support/gradient-check.ts';
import { runReference } from '../support/reference.ts';
import { expectRefused } from '../support/refuse.ts';
import { samples, uniform } from '../support/tensors.ts';

const X = [-90, -4.5, -3, -1, -0.5, -1e-3, 0.25, 1, 2.5, 6.5, 90];

/** y and dy/dx at the points of X. */
const KNOWN: readonly (readonly [op: Activation, attrs: Attrs, y: readonly number[], slope: readonly number[]])[] = [
  ['hardTanh', {}, [-1, -1, -1, -1, -0.5, -0.001, 0.25, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0]],
  [
    'gelu',
    {},
    [0, -1.52895346e-5, -0.004049694778, -0.1586552581, -0.1542687709, -0.0004996010578, 0.149676581, 0.8413447419, 2.484475835, 6.5, 90],
    [0, -6.852918432e-5, -0.0119456488, -0.08331546645, 0.1325048806, 0.4992021157, 0.6953733517, 1.083315466, 1.037611089, 1.000000002, 1],
  ],
  [
    'geluTanh',
    {},
    [0, -5.136738567e-6, -0.003637392324, -0.1588080097, -0.1542859902, -0.0004996010578, 0.1496753507, 0.8411919903, 2.484915733, 6.5, 90],
    [0, -2.932227627e-5, -0.01158416716, -0.08296408293, 0.1326300967, 0.4992021157, 0.6953540951, 1.082964083, 1.037951577, 1, 1],
  ],
  ['relu', {}, [0, 0, 0, 0, 0, 0, 0.25, 1, 2.5, 6.5, 90], [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1]],
  [
    'leakyRelu',
    {},
    [-18.00000027, -0.9000000134, -0.6000000089, -0.200000003, -0.1000000015, -0.000200000003, 0.25, 1, 2.5, 6.5, 90],
    [0.200000003, 0.200000003, 0.200000003, 0.200000003, 0.200000003, 0.200000003, 1, 1, 1, 1, 1],
  ],
  [
    'leakyRelu',
    { slope: 0.3 },
    [-27.00000107, -1.350000054, -0.9000000358, -0.3000000119, -0.150000006, -0.0003000000119, 0.25, 1, 2.5, 6.5, 90],
    [0.3000000119, 0.3000000119, 0.3000000119, 0.3000000119, 0.3000000119, 0.3000000119, 1, 1, 1, 1, 1],
  ],
  ['clippedRelu', {}, [0, 0, 0, 0, 0, 0, 0.25, 1, 2.5, 6, 6], [0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0]],
  ['clippedRelu', { limit: 2 }, [0, 0, 0, 0, 0, 0, 0.25, 1, 2, 2, 2], [0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0]],
  [
    'rectifier',
    { slope: 0.25, threshold: 0.5, limit: 2 },
    [-22.625, -1.25, -0.875, -0.375, -0.25, -0.12525, -0.0625, 1, 2, 2, 2],
    [0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 1, 0, 0, 0],
  ],
  [
    'elu',
    {},
    [-1, -0.9888910035, -0.9502129316, -0.6321205588, -0.3934693403, -0.0009995001666, 0.25, 1, 2.5, 6.5, 90],
    [0, 0.01110899654, 0.04978706837, 0.3678794412, 0.6065306597, 0.9990004998, 1, 1, 1, 1, 1],
  ],
  [
    'elu',
    { alpha: 0.5 },
    [-0.5, -0.4944455017, -0.4751064658, -0.3160602794, -0.1967346701, -0.0004997500833, 0.25, 1, 2.5, 6.5, 90],
    [0, 0.005554498269, 0.02489353418, 0.1839397206, 0.3032653299, 0.4995002499, 1, 1, 1, 1, 1],
  ],
  [
    'selu',
    {},
    [
      -1.758099341, -1.738568621, -1.670568729, -1.111330738, -0.6917581878, -0.001757220584, 0.2626752468, 1.050700987, 2.626752468,
      6.829556418, 94.56308886,
    ],
    [
      0, 0.01953071949, 0.08753061208, 0.646768603, 1.066341153, 1.75634212, 1.050700987, 1.050700987, 1.050700987, 1.050700987,
      1.050700987,
    ],
  ],
  [
    'sigmoid',
    {},
    [
      8.194012624e-40, 0.01098694263, 0.04742587318, 0.2689414214, 0.3775406688, 0.49975, 0.5621765009, 0.7310585786, 0.92414182,
      0.9984988177, 1,
    ],
    [
      8.194012624e-40, 0.01086622972, 0.04517665973, 0.1966119332, 0.2350037122, 0.2499999375, 0.2461340827, 0.1966119332, 0.07010371655,
      0.001498928709, 0,
    ],
  ],
  [
    'hardSigmoid',
    {},
    [0, 0, 0, 0.3333333333, 0.4166666667, 0.4998333333, 0.5416666667, 0.6666666667, 0.9166666667, 1, 1],
    [0, 0, 0, 0.1666666667, 0.1666666667, 0.1666666667, 0.1666666667, 0.1666666667, 0.1666666667, 0, 0],
  ],
  [
    'tanh',
    {},
    [
      -1, -0.9997532108, -0.9950547537, -0.761594156, -0.4621171573, -0.0009999996667, 0.2449186624, 0.761594156, 0.9866142982,
      0.9999954794, 1,
    ],
    [0, 0.0004935173991, 0.009866037165, 0.4199743416, 0.786447733, 0.999999, 0.9400148488, 0.4199743416, 0.02659222668, 9.041276755e-6, 0],
  ],
  [
    'softplus',
    {},
    [
      8.194012624e-40, 0.01104774485, 0.04858735157, 0.3132616875, 0.4740769842, 0.6926473056, 0.8259394199, 1.313261688, 2.578889734,
      6.50150231, 90,
    ],
    [
      8.194012624e-40, 0.01098694263, 0.04742587318, 0.2689414214, 0.3775406688, 0.49975, 0.5621765009, 0.7310585786, 0.92414182,
      0.9984988177, 1,
    ],
  ],
  [
    'softsign',
    {},
    [-0.989010989, -0.8181818182, -0.75, -0.5, -0.3333333333, -0.000999000999, 0.2, 0.5, 0.7142857143, 0.8666666667, 0.989010989],
    [0.0001207583625, 0.03305785124, 0.0625, 0.25, 0.4444444444, 0.998002996, 0.64, 0.25, 0.08163265306, 0.01777777778, 0.0001207583625],
  ],
  [
    'exponential',
    {},
    [
      8.194012624e-40,
      0.01110899654,
      0.04978706837,
      0.3678794412,
      0.6065306597,
      0.9990004998,
      1.284025417,
      Math.E,
      12.18249396,
      665.141633,
      1.220403294e39,
    ],
    [
      8.194012624e-40,
      0.01110899654,
      0.04978706837,
      0.3678794412,
      0.6065306597,
      0.9990004998,
      1.284025417,
      Math.E,
      12.18249396,
      665.141633,
      1.220403294e39,
    ],
  ],
  [
    'silu',
    {},
    [
      -7.374611362e-38, -0.04944124184, -0.1422776195, -0.2689414214, -0.1887703344, -0.00049975, 0.1405441252, 0.7310585786, 2.31035455,
      6.490242315, 90,
    ],
    [
      -7.292671235e-38, -0.03791109112, -0.08810410602, 0.07232948813, 0.2600388127, 0.4995000001, 0.6237100216, 0.9276705119, 1.099401111,
      1.008241854, 1,
    ],
  ],
  [
    'hardSilu',
    {},
    [0, 0, 0, -0.3333333333, -0.2083333333, -0.0004998333333, 0.1354166667, 0.6666666667, 2.291666667, 6.5, 90],
    [0, 0, 0, 0.1666666667, 0.3333333333, 0.4996666667, 0.5833333333, 0.8333333333, 1.333333333, 1, 1],
  ],
  [
    'mish',
    {},
    [
      -7.374611362e-38, -0.04971282931, -0.1456474613, -0.3034014614, -0.2207437747, -0.000599679984, 0.1695724097, 0.8650983883,
      2.471392305, 6.499970704, 90,
    ],
    [
      -7.292671235e-38, -0.03838791249, -0.09339311453, 0.05921675588, 0.2895106779, 0.5993599522, 0.7541726677, 1.04903622, 1.04112953,
      1.000053997, 1,
    ],
  ],
];

test('every activation is compared with Keras', () => {
  expect([...new Set(KNOWN.map(([op]) => op))].sort()).toEqual([...ACTIVATION_NAMES].sort());
});

describe.each(KNOWN)('%s %o', (op, attrs, y, slope) => {
  test('is that of Keras, and so is its slope', () => {
    const of = activationFunctions(op, attrs);
    const values = X.map(of.y);
    expectClose(values, y, { absolute: 1e-9, relative: 1e-6 }, 'y');
    expectClose(
      X.map((x, i) => of.slope(of.slopeOf === 'x' ? x : values[i])),
      slope,
      { absolute: 1e-9, relative: 1e-6 },
      'slope',
    );
  });

  test('gradient', () => {
    // Clear of where they bend: at 0, ±3, the threshold and the limits.
    const x = samples(3, [7], (i) => uniform(1, -4.4, 4.4)(i) + 0.013);
    expect(checkGradient(op, [x], attrs)).toEqual([`${op}Grad`]);
  });
});

test('a stored slope gives the gradient of x', () => {
  const [dy, x] = [samples(3, [5], uniform(1)), samples(3, [5], uniform(2, -4, 4))];
  for (const op of ACTIVATION_NAMES.filter((name) => ACTIVATIONS[name].slopeOf === 'x')) {
    const stored = { ...x, data: x.data.map(activationFunctions(op).slope) };
    expect(runReference(`${op}Grad`, [dy, stored], { from: 'derivative' })).toEqual(runReference(`${op}Grad`, [dy, x], { from: 'input' }));
  }
});

test('NaN comes through, and large numbers make none', () => {
  for (const op of ACTIVATION_NAMES) {
    const { y, slope, slopeOf } = activationFunctions(op);
    expect(y(Number.NaN), op).toBeNaN();
    for (const x of [-1e30, 1e30]) {
      expect(y(x), `${op}(${x})`).not.toBeNaN();
      expect(slope(slopeOf === 'x' ? x : y(x)), `slope of ${op} at ${x}`).not.toBeNaN();
    }
  }
});

test('what is done twice costs once, and parameters are known by name', () => {
  expect(costOfExpression(ACTIVATIONS.relu.y)).toBe(1);
  expect(costOfExpression(ACTIVATIONS.gelu.y)).toBe(20);
  expect(costOfExpression(ACTIVATIONS.silu.y)).toBeLessThan(30);
  const x = samples(1, [3], uniform(1));
  expectRefused('leakyRelu', [x], { alpha: 0.1 }, 'leakyRelu has no attribute alpha');
  expectRefused('elu', [x], { alpha: -1 }, 'attribute alpha of elu is a');
  expectRefused('normalize', [x, x, x], { epilogue: { activation: 'swish' } }, 'attribute epilogue of normalize');
});

test('WGSL: GELU of what has a name is called behind it, and once for value and slope', () => {
  const inner = exp(named('x'));
  const { statements, texts } = printWgsl([add(exactGelu(inner), inner), exactGeluDerivative(inner)], { x: 'x' }, 1);
  expect(statements.split('\n')).toEqual(['let common0 = exp(x);', 'let common1 = gelu(common0);']);
  expect(texts).toEqual(['(common1.value + common0)', 'common1.derivative']);
});

test('an activation is an entry of the table and its answers here: its name stands nowhere else', () => {
  const places = [
    'runtime/ops/elementwise.ts',
    'runtime/ops/epilogue.ts',
    'runtime/compile/fuse.ts',
    'asm/abi/elementwise.ts',
    'asm/lowering/elementwise.ts',
    'asm/lowering/epilogue.ts',
    'gpu/kernels/expression.ts',
    'gpu/kernels/epilogue.ts',
    'gpu/lowering/elementwise.ts',
    'runtime/layers/activations.ts',
  ];
  for (const place of places)
    expect(readFileSync(new URL(`../../${place}`, import.meta.url), 'utf8'), place).not.toMatch(/mish|softplus|hardSilu/i);
});
