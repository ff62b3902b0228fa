// All layers by Keras' names of their classes: what a module here exports under the name of a class is a layer.

import * as arranging from './arranging.ts';
import * as attention from './attention.ts';
import * as convolution from './convolution.ts';
import * as core from './core.ts';
import type { AnyLayer, LayerDefinition } from './define-layer.ts';
import * as framing from './framing.ts';
import type { ConfigOf, OptionsOf, Schema } from './kinds.ts';
import type { Place } from './layer.ts';
import * as merging from './merging.ts';
import * as normalization from './normalization.ts';
import * as pooling from './pooling.ts';

const MODULES = { ...core, ...convolution, ...normalization, ...pooling, ...merging, ...framing, ...arranging, ...attention };
type Modules = typeof MODULES;

/** Classes of layers. */
export type LayerType = {
  [K in keyof Modules]: Modules[K] extends LayerDefinition<infer T, infer _S> ? (K extends T ? K : never) : never;
}[keyof Modules];

/** The one table of layers. */
export const LAYERS = Object.fromEntries(
  Object.entries(MODULES).filter(([name, value]) => (value as Partial<AnyLayer>).type === name),
) as unknown as { readonly [T in LayerType]: Modules[T] };

type SchemaOf<T extends LayerType> = Modules[T] extends LayerDefinition<infer _T, infer S> ? (S extends Schema ? S : never) : never;

/** All settings of a layer. */
export type LayerConfig<T extends LayerType = LayerType> = T extends LayerType ? ConfigOf<SchemaOf<T>> : never;
/** What is given for a layer: Keras' arguments in camel case. */
export type LayerOptions<T extends LayerType> = OptionsOf<SchemaOf<T>>;

/** A layer in its place in a model. */
export type Layer<T extends LayerType = LayerType> = T extends LayerType
  ? Place & { readonly type: T; readonly config: LayerConfig<T> }
  : never;

/** The definition of a class; undefined: there is none. */
export const layerNamed = (type: string): AnyLayer | undefined => (Object.hasOwn(LAYERS, type) ? LAYERS[type as LayerType] : undefined);
