/** Endings of the files that weights are read from, for people. saved-weights.ts tells them apart by their contents. */
export const WEIGHT_FILES = '.safetensors, .keras, .h5, .npz, .onnx, .pth or .pt';
