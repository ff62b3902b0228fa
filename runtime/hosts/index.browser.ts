// The host of a page. A build for browsers takes it in the place of index.ts: `browser` in package.json says so of every file of this kind.

export { pageHost as host } from './page.ts';
