// The epilogue of conv, depthwise and normalize (runtime/ops/epilogue.ts) for one access: bias is added by the caller.

import type { Epilogue as EpilogueAttrs } from '../../runtime/ops/epilogue.ts';
import { activationWgsl } from './expression.ts';
import type { Lanes } from './wgsl.ts';

/** What kernels are generated for: with `bias` they add one first. */
export type Epilogue = EpilogueAttrs & { readonly bias?: boolean };

export const epilogueDeclarations = ({ activation, parameters, derivative }: Epilogue, lanes: Lanes): string =>
  activation ? activationWgsl(activation, parameters, { x: 'u', slope: derivative }, lanes).declarations : '';

/** Statements that finish and store `value` (an expression, bias included) at access `at`; leaves the result in `y`. */
export function finish({ activation, parameters, derivative }: Epilogue, lanes: Lanes, value: string, at: string): string {
  if (!activation) return `let y = ${value}; set_y(${at}, y);`;
  const { statements, texts } = activationWgsl(activation, parameters, { x: 'unfinished', slope: derivative }, lanes);
  const [y, slope] = texts;
  return `let unfinished = ${value}; ${statements} let y = ${y}; set_y(${at}, y);${derivative ? ` set_derivative(${at}, ${slope});` : ''}`;
}
