// ONNX's form of the layers of layers/framing.ts.

import type { OnnxRules } from './emitter.ts';

export const framing = {
  ZeroPadding2D: {
    emit(e, { name, config }, [x]) {
      const [[top, bottom], [left, right]] = config.padding;
      return e.node('Pad', name, [x, e.integers(`${name}/pads`, [0, 0, top, left, 0, 0, bottom, right])]);
    },
  },
  Cropping2D: {
    emit(e, { name, config, inputShape }, [x]) {
      const [[top, bottom], [left, right]] = config.cropping;
      const from = e.integers(`${name}/starts`, [top, left]);
      const to = e.integers(`${name}/ends`, [inputShape[0] - bottom, inputShape[1] - right]);
      return e.node('Slice', name, [x, from, to, e.integers(`${name}/axes`, [2, 3])]);
    },
  },
  CenterCrop: {
    emit(e, { name, config, inputShape }, [x]) {
      const [top, left] = [Math.floor((inputShape[0] - config.height) / 2), Math.floor((inputShape[1] - config.width) / 2)];
      const from = e.integers(`${name}/starts`, [top, left]);
      const to = e.integers(`${name}/ends`, [top + config.height, left + config.width]);
      return e.node('Slice', name, [x, from, to, e.integers(`${name}/axes`, [2, 3])]);
    },
  },
} satisfies Partial<OnnxRules>;
