// The host that there is: Node. In a page another one takes its place (index.browser.ts).

export { nodeHost as host } from './node.ts';
