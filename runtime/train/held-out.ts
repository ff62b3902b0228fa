// What a run measures on images that it does not train on: the validation behind each epoch, and the test at the end.

import type { Loader } from '../data/loader.ts';
import { evaluateWith } from './evaluate.ts';
import type { Metrics } from './events.ts';
import type { Training } from './training.ts';
import { type TestTimeAugmentation, withViews } from './views.ts';

/** With the average of the weights in their place, where the run has one. */
export function validationOf(run: Training): Promise<Metrics> {
  const { average, session } = run;
  const measure = () => evaluate(run, session.loader('validation'), 'the validation');
  return average ? average.shown(session.executable, measure) : measure();
}

/** With the weights that are on the device; with test-time augmentation, where that is asked for, and then what it is without is told besides. */
export async function testOf(run: Training): Promise<Metrics> {
  const { options, session, reporter } = run;
  const plain = await evaluate(run, session.loader('test'), 'the test');
  if (options.tta === 'none') return plain;
  const seen = await evaluate(run, session.loader('test'), 'the test', options.tta);
  const accuracy = `${(100 * plain.accuracy).toFixed(2)} %`;
  reporter.say(`Without test-time augmentation: test accuracy ${accuracy}, loss ${plain.loss.toFixed(4)}.`);
  return seen;
}

async function evaluate(
  { options, session, watchdog }: Training,
  loader: Loader,
  what: string,
  tta: TestTimeAugmentation = 'none',
): Promise<Metrics> {
  const { model, signal } = options;
  const onProgress = (done: number, total: number) => watchdog.begin(what, `${done} of ${total} images`);
  onProgress(0, loader.dataset.size);
  const { loss, accuracy } = await evaluateWith(withViews(session.executable, model.input, tta), model.classes, loader, {
    signal,
    onProgress,
  });
  return { loss, accuracy };
}
