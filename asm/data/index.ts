// All data kernels, one module. What a kernel is: abi.ts.

export { crop } from "./crop";
export { erase } from "./erase";
export { interleave } from "./interleave";
export { normalize } from "./normalize";
