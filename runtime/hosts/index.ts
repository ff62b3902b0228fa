// The host that there is: Node, so far. Another one takes its place here.

export { nodeHost as host } from './node.ts';
