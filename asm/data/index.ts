// All data kernels, one module. What a kernel is: abi.ts.

export { colour } from "./colour";
export { crop } from "./crop";
export { erase } from "./erase";
export { interleave } from "./interleave";
export { normalize } from "./normalize";
export { policy } from "./policy";
export { shuffle } from "./shuffle";
export { warp } from "./warp";
