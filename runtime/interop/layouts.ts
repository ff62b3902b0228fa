// Weights in the layouts of programs that keep channels first, PyTorch and ONNX, and back.

import type { Shape } from '../layers/layer.ts';

interface Tensor {
  readonly shape: Shape;
  readonly data: Float32Array;
}

/** Kernel of a convolution from [height, width, in, out] to [out, in, height, width]; of a depthwise one from [h, w, C, m] to [C·m, 1, h, w]. */
export function channelsFirst([h, w, inputs, outputs]: Shape, data: Float32Array, depthwise: boolean): Tensor {
  const shape = depthwise ? [inputs * outputs, 1, h, w] : [outputs, inputs, h, w];
  const result = new Float32Array(data.length);
  const pixels = h * w;
  for (let pixel = 0, from = 0; pixel < pixels; pixel++) {
    for (let i = 0; i < inputs; i++) {
      for (let o = 0; o < outputs; o++) result[(depthwise ? i * outputs + o : o * inputs + i) * pixels + pixel] = data[from++];
    }
  }
  return { shape, data: result };
}

/**
 * Kernel of a dense layer from [in, out] to [out, in].
 * @param image Of a layer that reads a flattened image [h, w, C]: its inputs come in the order of [C, h, w] then.
 */
export function transposed([inputs, outputs]: Shape, data: Float32Array, image: Shape | null): Tensor {
  const [h, w, channels] = image ?? [1, 1, inputs];
  const result = new Float32Array(data.length);
  for (let i = 0; i < inputs; i++) {
    const place = (i % channels) * h * w + Math.floor(i / channels);
    for (let o = 0; o < outputs; o++) result[o * inputs + place] = data[i * outputs + o];
  }
  return { shape: [outputs, inputs], data: result };
}

/** The other way of `channelsFirst`: to a kernel [height, width, in, out], or [h, w, C, m] of a depthwise one, whose shape is given. */
export function channelsLast([h, w, inputs, outputs]: Shape, data: Float32Array, depthwise: boolean): Float32Array {
  const result = new Float32Array(data.length);
  const pixels = h * w;
  for (let pixel = 0, to = 0; pixel < pixels; pixel++) {
    for (let i = 0; i < inputs; i++) {
      for (let o = 0; o < outputs; o++) result[to++] = data[(depthwise ? i * outputs + o : o * inputs + i) * pixels + pixel];
    }
  }
  return result;
}

/** The other way of `transposed`, of a dense layer that reads no image: to a kernel [in, out], whose shape is given. */
export function untransposed([inputs, outputs]: Shape, data: Float32Array): Float32Array {
  return transposed([outputs, inputs], data, null).data;
}
