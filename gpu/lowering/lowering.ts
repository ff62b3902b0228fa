// From a node of the graph to dispatches of the webgpu device: the contract between the host, which owns device and buffers, and
// the files of this folder, which know the ops.

import type { Precision } from '../../runtime/device.ts';
import type { Node, TensorSpec, ValueId } from '../../runtime/ir/graph.ts';
import type { Storage } from '../kernels/wgsl.ts';
