// The events of a short run, as a training run would tell them: 3 epochs of 4 steps with 100 images each, 390 images in all.

import type { TrainEvent } from '../../runtime/train/events.ts';

export const START = {
  type: 'start',
  schema: 1,
  arch: 'convmixer',
  device: 'two threads',
  epochs: 3,
  stepsPerEpoch: 4,
  parameters: 12_345,
  trainImages: 390,
  validationImages: 40,
  testImages: 100,
} as const satisfies TrainEvent;

export function events({ epochs = 3, end = true }: { readonly epochs?: number; readonly end?: boolean } = {}): TrainEvent[] {
  const list: TrainEvent[] = [START];
  for (let epoch = 1; epoch <= epochs; epoch++) {
    for (let step = 1; step <= 4; step++) list.push(stepEvent(epoch, step));
    list.push({
      type: 'epoch',
      epoch,
      train: { loss: 2 / epoch, accuracy: 0.2 * epoch },
      validation: { loss: 2.2 / epoch, accuracy: 0.18 * epoch },
      lr: 0.002,
      imagesPerSecond: 195,
      seconds: 2.5,
      dataWait: 0.1,
      deviceWait: 0.8,
      best: true,
    });
  }
  if (end) {
    const test = { loss: 0.9, accuracy: 0.5432 };
    list.push({ type: 'end', reason: 'completed', epochs, best: { epoch: epochs, loss: 2.2 / epochs }, test, run: '/runs/first' });
  }
  return list;
}

export const stepEvent = (epoch: number, step: number): Extract<TrainEvent, { type: 'step' }> => ({
  type: 'step',
  epoch,
  step,
  loss: 3 - epoch / 2 - step / 10,
  accuracy: 0.1 * epoch + 0.01 * step,
  lr: 0.001 * epoch,
  imagesPerSecond: 200,
  dataWait: 0.05,
  deviceWait: 0.9,
  etaSeconds: 60,
});
