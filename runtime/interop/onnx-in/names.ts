// Names of layers that come from nodes.

import type { NodeView } from './node-view.ts';
import { Value } from './value.ts';

/** What people call the layer: the module that its weights are of, else the path of the node. */
export function nameOf(node: NodeView): string | undefined {
  for (const input of node.inputs) {
    const name = input && !(input instanceof Value) ? input.name : '';
    const [, module] = /^([\w.]*[A-Za-z]\w*(?:\.\w+)*)\.(?:weight|bias|running_mean)$/.exec(name) ?? [];
    if (module) return module;
  }
  // PyTorch's `/layer1/layer1.0/conv1/Conv`: each module with the name of the one around it.
  const parts = node.name.split('/').filter((part) => part !== '');
  if (parts.length > 1 && parts[parts.length - 1].startsWith(node.op)) parts.pop();
  const own: string[] = [];
  for (const part of parts) {
    const before = own[own.length - 1];
    if (before !== undefined && part.startsWith(`${before}.`)) own[own.length - 1] = part;
    else own.push(part);
  }
  return parts.length > 0 && node.name.includes('/') ? own.join('.') : undefined;
}
