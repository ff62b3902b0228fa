// The base of executables that stand in front of another one: they change what they are for, and forward the rest. A member that is added
// to the contract is forwarded here, once.

import type { Batch, BatchMetrics, Executable, Hyperparameters, RunOptions, StateEntry, Update } from './device.ts';

export abstract class ForwardingExecutable implements Executable {
  /** What is forwarded to, as it is at the call. */
  protected abstract readonly target: Executable;

  get capacity(): number {
    return this.target.capacity;
  }

  get state(): readonly StateEntry[] {
    return this.target.state;
  }

  get memoryBytes(): number {
    return this.target.memoryBytes;
  }

  get stepsAhead(): number | undefined {
    return this.target.stepsAhead;
  }

  get profile(): Executable['profile'] {
    return this.target.profile?.bind(this.target);
  }

  gradient(batch: Batch, options?: RunOptions): Promise<BatchMetrics> {
    return this.target.gradient(batch, options);
  }

  update(hyper: Hyperparameters): Promise<Update> {
    return this.target.update(hyper);
  }

  calibrate(batch: Batch, bnMomentum: number, options?: RunOptions): Promise<void> {
    return this.target.calibrate(batch, bnMomentum, options);
  }

  evaluate(batch: Batch, options?: RunOptions): ReturnType<Executable['evaluate']> {
    return this.target.evaluate(batch, options);
  }

  predict(batch: Batch, options?: RunOptions): Promise<Float32Array> {
    return this.target.predict(batch, options);
  }

  read(name: string): Promise<Float32Array> {
    return this.target.read(name);
  }

  write(name: string, data: ArrayLike<number>): Promise<void> {
    return this.target.write(name, data);
  }

  close(): Promise<void> {
    return this.target.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
