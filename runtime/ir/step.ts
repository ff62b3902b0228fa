// What changes from step to step without being a tensor: one small block of 32-bit words on every device. The kernels' side of it is
// made of this file: asm/lib/abi.gen.ts for the wasm device (asm/abi/generate.mjs), a struct in WGSL for the GPU (gpu/lowering/step.ts).

/** The numbers that an update is told, by name. A new one is a line here, and its use. */
export const SCALARS = [
  'learningRate',
  /** Decoupled, as in AdamW: w ← w − w · weightDecay · learningRate. */
  'weightDecay',
  /** Of the moving statistics of batch normalisation, in Keras' sense: new = old · momentum + batch · (1 − momentum). */
  'bnMomentum',
] as const;
export type ScalarName = (typeof SCALARS)[number];
/** The scalars of an update. */
export type Scalars = Readonly<Record<ScalarName, number>>;

/** Scalars of a run that is no update. */
export const NO_SCALARS = Object.fromEntries(SCALARS.map((name) => [name, 0])) as unknown as Scalars;

/** What changes from step to step without being a tensor: the scalars of an update, and which rows and draws a run is of. */
export interface StepScalars extends Scalars {
  /** Rows of this run. */
  readonly rows: number;
  readonly epoch: number;
  readonly seed: bigint;
}

/** The words of the block in front of the scalars, which are f32. */
export const STEP_HEAD = { rows: 'i32', epoch: 'u32', seedLow: 'u32', seedHigh: 'u32' } as const;
/** Words of the block. */
export const STEP_WORDS = Object.keys(STEP_HEAD).length + SCALARS.length;

/** Writes the block to the byte `offset` of a buffer. */
export function writeStep(buffer: ArrayBufferLike, offset: number, step: StepScalars): void {
  const words = new Uint32Array(buffer, offset, STEP_WORDS);
  const floats = new Float32Array(buffer, offset, STEP_WORDS);
  const { rows, epoch, seed } = step;
  words.set([rows, epoch, Number(BigInt.asUintN(32, seed)), Number(BigInt.asUintN(32, seed >> 32n))]);
  for (const [i, name] of SCALARS.entries()) floats[STEP_WORDS - SCALARS.length + i] = step[name];
}
