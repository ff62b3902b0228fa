// x·scale + offset with numbers that are known when the graph is built: rescaling, means of a few tensors, constants in formulas. And tensors of
// one number, for what is to be had where nothing else is.

import { defineOp } from '../ir/define-op.ts';
import { type AttrsOf, attr, need } from '../ir/signature.ts';
import { activation, channelsOf, kinds, parameter } from './check.ts';

const { features } = kinds;

const numbers = attr.either(
  attr.number,
  attr.custom<readonly number[]>('a list of finite numbers', (value) => Array.isArray(value) && value.every(Number.isFinite)),
);
const affineAttrs = {
  /** One for all, or one for each channel. */
  scale: attr.otherwise(1, numbers),
  offset: attr.otherwise(0, numbers),
};

/** Scale and offset of each channel, or one of each for all, as f32. */
export function affineCoefficients({
  scale = 1,
  offset = 0,
}: AttrsOf<typeof affineAttrs>): { readonly scale: number; readonly offset: number }[] {
  const [scales, offsets] = [[scale].flat(), [offset].flat()] as number[][];
  return Array.from({ length: Math.max(scales.length, offsets.length) }, (_, c) => ({
    scale: Math.fround(scales[c % scales.length]),
    offset: Math.fround(offsets[c % offsets.length]),
  }));
}

const affine = defineOp({
  doc: 'y = x·f32(scale) + f32(offset), with one number for all or one for each channel',
  inputs: { x: features },
  outputs: { y: features },
  attrs: affineAttrs,
  infer({ x }, { scale = 1, offset = 0 }) {
    const channels = channelsOf(x.shape);
    for (const [name, values] of Object.entries({ scale, offset }))
      need([values].flat().length === 1 || [values].flat().length === channels, `a ${name} of one number or of ${channels}`);
    return { y: x };
  },
  gradient: (g, { attrs: { scale }, d: { y: dy } }) => ({ x: () => g.one('affine', { x: dy }, { scale }) }),
  reference({ inputs: { x }, outputs: { y } }, attrs) {
    const coefficients = affineCoefficients(attrs);
    for (let i = 0; i < y.data.length; i++) {
      const { scale, offset } = coefficients[i % coefficients.length];
      y.data[i] = x.data[i] * scale + offset;
    }
  },
  traits: { inPlace: 'x' },
});

const fill = defineOp({
  doc: 'a tensor that is f32(value) everywhere, of every sample or, with `parameter`, without rows',
  inputs: {},
  outputs: { y: { text: 'f32', fits: ({ dtype }) => dtype === 'f32' } },
  attrs: { shape: attr.shape, value: attr.number, parameter: attr.optional(attr.flag) },
  infer: (_, attrs) => ({ y: attrs.parameter ? parameter(attrs.shape) : activation(attrs.shape) }),
  reference({ outputs: { y } }, { value }) {
    y.data.fill(Math.fround(value));
  },
});

export const constants = { affine, fill };
