// The version of the package that this file is in; found in the same way from the sources and from dist.

import { createRequire } from 'node:module';

export function version(): string {
  return createRequire(import.meta.url)('@hybrid-train/hybrid/package.json').version;
}
