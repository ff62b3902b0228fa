// The epilogue of conv, depthwise and normalize (runtime/ops/epilogue.ts) for one access: bias is added by the caller.

import type { Epilogue as EpilogueAttrs } from '../../runtime/ops/epilogue.ts';
import { reluOf } from './elementwise.ts';
import { geluFunctions } from './gelu.ts';
import type { Lanes } from './wgsl.ts';

/** What kernels are generated for: with `bias` they add one first. */
export type Epilogue = EpilogueAttrs & { readonly bias?: boolean };

export const epilogueDeclarations = ({ activation }: Epilogue, lanes: Lanes): string => (activation === 'gelu' ? geluFunctions(lanes) : '');

/** Statements that finish and store `value` (an expression, bias included) at access `at`; leaves the result in `y`. */
export function finish({ activation, derivative }: Epilogue, lanes: Lanes, value: string, at: string): string {
  const store = `set_y(${at}, y);`;
  if (activation === 'gelu') {
    return `let g = gelu(${value}); let y = g.value; ${store}${derivative ? ` set_derivative(${at}, g.derivative);` : ''}`;
  }
  if (activation === 'relu') return `let u = ${value}; let y = ${reluOf('u', lanes)}; ${store}`;
  return `let y = ${value}; ${store}`;
}
