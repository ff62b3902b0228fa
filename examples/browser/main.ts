// A page that learns to tell pictures apart, on the machine that shows it: pictures become classes, the last layer of a network that knows CIFAR-10
// is trained anew for them, and the result is tried and taken along. What is of the library is in `learn`, `answer` and `download`.

import type { Classifier, Device, TrainedModel } from '@hybrid-train/hybrid';
import { adaptModel, augmentOptions, exportModel, isAbortError, openClassifier, openDevice, train } from '@hybrid-train/hybrid';
import { decodeFiles, type LabelledImage, labelledFiles, splitDataset } from '@hybrid-train/hybrid/data';
import { EXPORT_FORMATS, type ExportFormat, readWeightsFile } from '@hybrid-train/hybrid/formats';

const BACKBONE = new URL('../../models/convmixer-2stage-cifar10.safetensors', import.meta.url);
const BATCH = 32;
/** Steps of a training: its length must not depend on how many pictures there are. */
const STEPS = 250;
/** Share of the pictures that is held back to measure with, where there are ten of a class on average. */
const HELD_BACK = 0.2;
const STOPPED = 'Training was stopped before its first epoch had ended.';

const get = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
const say = (text: string): void => void (get('status').textContent = text);
const percent = (share: number): string => `${Math.round(100 * share)}\u00a0%`;
const [trainButton, stopButton] = [get<HTMLButtonElement>('train'), get<HTMLButtonElement>('stop')];
const progress = get<HTMLProgressElement>('progress');

// ── Pictures

interface Class {
  readonly element: HTMLElement;
  readonly name: HTMLInputElement;
  readonly pictures: Blob[];
}
const classes: Class[] = [];
const nameOf = ({ name }: Class): string => name.value.trim() || name.placeholder;

function addClass(name = ''): Class {
  const part = get<HTMLTemplateElement>('class').content.cloneNode(true) as DocumentFragment;
  const element = part.querySelector('fieldset') as HTMLElement;
  const [title, files] = element.querySelectorAll('input');
  title.value = name;
  let number = 1;
  while (classes.some((other) => nameOf(other) === `Class ${number}`)) number++;
  title.placeholder = `Class ${number}`;
  const one: Class = { element, name: title, pictures: [] };
  files.onchange = () => {
    addPictures(one, [...(files.files ?? [])]);
    files.value = '';
  };
  (element.querySelector('.record') as HTMLButtonElement).onclick = () => record(one).catch(fail);
  (element.querySelector('.remove') as HTMLButtonElement).onclick = () => {
    removeClass(one);
    get('add').focus();
  };
  title.oninput = update;
  get('classes').append(element);
  classes.push(one);
  update();
  return one;
}

function removeClass(one: Class): void {
  for (const { src } of one.element.querySelectorAll('img')) URL.revokeObjectURL(src);
  one.element.remove();
  classes.splice(classes.indexOf(one), 1);
  update();
}

function addPictures(one: Class, images: readonly Blob[]): void {
  const pictures = images.filter(({ type }) => type.startsWith('image/'));
  if (pictures.length < images.length)
    say(`Left out because they are no pictures: ${images.length - pictures.length} of ${images.length} files.`);
  one.pictures.push(...pictures);
  const thumbnails = pictures.map((picture) => Object.assign(new Image(), { src: URL.createObjectURL(picture), alt: '', loading: 'lazy' }));
  one.element.querySelector('.pictures')?.append(...thumbnails);
  update();
}

/** Each folder with pictures is a class, added to the one of its name where there is one. Of a set with a folder test only the rest is taught. */
function addFolders(files: Iterable<File>): void {
  let images: LabelledImage[];
  try {
    images = labelledFiles(files, { part: 'train' });
  } catch (error) {
    fail(error);
    return;
  }
  const byLabel = Map.groupBy(images, ({ label }) => label);
  if (byLabel.size === 0) say('There is no folder with pictures. Single pictures are dropped on their class.');
  else for (const one of classes.filter(({ pictures, name }) => pictures.length === 0 && name.value === '')) removeClass(one);
  for (const [label, own] of byLabel) {
    const pictures = own.map(({ image }) => image);
    addPictures(classes.find((one) => nameOf(one) === label) ?? addClass(label), pictures);
  }
}

/** Files that were dropped, those in folders too; their paths are where `labelledFiles` looks for them. */
async function droppedFiles({ items }: DataTransfer): Promise<File[]> {
  const found: File[] = [];
  const walk = async (entry: FileSystemEntry): Promise<void> => {
    if (entry.isFile) {
      const file = await new Promise<File>((done, no) => (entry as FileSystemFileEntry).file(done, no));
      found.push(Object.defineProperty(file, 'webkitRelativePath', { value: entry.fullPath.slice(1) }));
      return;
    }
    const reader = (entry as FileSystemDirectoryEntry).createReader();
    const more = () => new Promise<FileSystemEntry[]>((done, no) => reader.readEntries(done, no));
    // A reader gives some hundred entries at a time.
    for (let entries = await more(); entries.length > 0; entries = await more()) for (const one of entries) await walk(one);
  };
  for (const entry of [...items].map((item) => item.webkitGetAsEntry())) if (entry) await walk(entry);
  return found;
}

/** What follows from the pictures and from whether the network is being trained. */
function update(): void {
  for (const one of classes) {
    const { length } = one.pictures;
    const text = length === 0 ? 'no pictures' : length === 1 ? '1 picture' : `${length} pictures`;
    (one.element.querySelector('output') as HTMLElement).textContent = text;
    (one.element.querySelector('legend') as HTMLElement).textContent = nameOf(one);
    one.element.querySelector('.remove')?.setAttribute('aria-label', `Remove ${nameOf(one)}`);
  }
  const names = new Set(classes.filter(({ pictures }) => pictures.length > 0).map(nameOf));
  trainButton.disabled = busy || names.size < 2;
  stopButton.disabled = !busy;
}

// ── The webcam, where there is one

const video = Object.assign(document.createElement('video'), { muted: true, playsInline: true });
let stream: MediaStream | undefined;

/** Shows it in a place of the page. */
async function openCamera(place: Element): Promise<void> {
  stream ??= await navigator.mediaDevices.getUserMedia({ video: { width: 320, height: 240 } });
  place.prepend(video);
  video.srcObject = stream;
  await video.play();
}

function closeCamera(): void {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = undefined;
  video.remove();
  get('live').setAttribute('aria-pressed', 'false');
}

function frame(): Promise<Blob> {
  const side = Math.min(video.videoWidth, video.videoHeight);
  const canvas = Object.assign(document.createElement('canvas'), { width: 128, height: 128 });
  const from = [(video.videoWidth - side) / 2, (video.videoHeight - side) / 2] as const;
  canvas.getContext('2d')?.drawImage(video, ...from, side, side, 0, 0, 128, 128);
  return new Promise((done, no) =>
    canvas.toBlob((blob) => (blob ? done(blob) : no(new Error('The webcam gives no picture.'))), 'image/png'),
  );
}

async function record(one: Class): Promise<void> {
  closeCamera();
  await openCamera(one.element);
  for (let i = 0; i < 10 && stream && video.parentElement === one.element; i++) {
    await new Promise((done) => setTimeout(done, 200));
    addPictures(one, [await frame()]);
  }
  closeCamera();
}

async function live(): Promise<void> {
  if (get('live').getAttribute('aria-pressed') === 'true') return closeCamera();
  get('shown').replaceChildren();
  await openCamera(get('shown'));
  get('live').setAttribute('aria-pressed', 'true');
  while (stream && video.parentElement === get('shown')) {
    await answer(await frame());
    await new Promise(requestAnimationFrame);
  }
}

// ── Training

let busy = false;
let device: Device | undefined;
let backbone: TrainedModel | undefined;
let learned: TrainedModel | undefined;
let classifier: Classifier | undefined;
let stopping = new AbortController();

/** What was measured after each epoch. */
interface Seen {
  readonly accuracy: number[];
  readonly loss: number[];
}
/** `least`: what the top of the figure is at least. */
const CURVES = [
  { of: 'accuracy', title: 'Right answers', least: 1, text: percent },
  { of: 'loss', title: 'Loss', least: 1e-9, text: (loss: number) => loss.toFixed(2) },
] as const;

async function loadBackbone(): Promise<TrainedModel> {
  const { trained } = await readWeightsFile(new Uint8Array(await (await fetch(BACKBONE)).arrayBuffer()));
  if (!trained) throw new Error(`${BACKBONE} is no model.`);
  return trained;
}

async function learn(signal: AbortSignal): Promise<void> {
  const images = classes.flatMap((one) => one.pictures.map((image): LabelledImage => ({ image, label: nameOf(one) })));
  say('The network is being loaded.');
  progress.removeAttribute('value');
  device ??= await openDevice('wasm', { onNotice: (text) => Object.assign(get('notice'), { textContent: text, hidden: false }) });
  const known = (backbone ??= await loadBackbone());
  const { set, skipped } = await decodeFiles(images, { shape: known.model.input, signal });
  const { model, weights } = adaptModel(known, { classes: set.classes });
  const valFraction = set.size < 10 * set.classes.length ? 0 : HELD_BACK;
  const { train: taught, validation } = splitDataset(set, { valFraction, split: 'stratified' });
  const epochs = Math.max(10, Math.min(100, Math.round(STEPS / Math.ceil(taught.size / BATCH))));
  const leftOut = skipped.length > 0 ? ` Left out because the browser cannot read them: ${skipped.length} of ${images.length} files.` : '';
  say(`The network looks at ${taught.size} pictures.${leftOut}`);
  const run = train({
    ...{ device, signal, model, epochs, validation, train: taught, init: weights, batch: BATCH, learningRate: 5e-3 },
    // What the frozen layers make of a picture is computed once, so that an epoch takes milliseconds.
    ...{ freeze: 'backbone', augment: augmentOptions('flip'), schedule: { name: 'one-cycle' }, weightDecay: 1e-2 },
  });
  const seen: Seen[] = [taught, validation].flatMap((part) => (part ? { accuracy: [], loss: [] } : []));
  for await (const event of run) {
    if (event.type !== 'epoch') continue;
    for (const [i, { accuracy, loss }] of [event.train, event.validation].flatMap((part) => part ?? []).entries()) {
      seen[i].accuracy.push(accuracy);
      seen[i].loss.push(loss);
    }
    progress.value = event.epoch / epochs;
    for (const curve of CURVES) draw(curve, seen, epochs);
  }
  const { reason, epochs: done, best } = await run.result;
  if (!best) return say(STOPPED);
  learned = { model, weights: await run.weights, classes: set.classes, license: known.license };
  const before = classifier;
  classifier = await openClassifier(learned, { device });
  await before?.close();
  const right = seen.map(({ accuracy }) => percent(accuracy[best.epoch - 1]));
  const held = validation ? `, and ${right[1]} of those held back` : '';
  const end = `${reason === 'aborted' ? 'Stopped' : 'Done'} after ${done} epochs.`;
  say(`${end} Epoch ${best.epoch} is kept, with the lowest loss: ${right[0]} of the pictures are right${held}.${leftOut}`);
  get('answer').textContent = 'Ready for a picture.';
  get('probabilities').replaceChildren();
  for (const control of document.querySelectorAll<HTMLButtonElement>('#try :disabled')) control.disabled = false;
}

/** A line for the pictures of training, and one for those held back. */
function draw({ of, title, least, text }: (typeof CURVES)[number], seen: readonly Seen[], epochs: number): void {
  const lines = seen.map((part) => part[of]);
  const top = lines.flat().reduce((most, value) => Math.max(most, value), least);
  const points = (line: number[]) => line.map((value, i) => `${(100 * i) / (epochs - 1)},${40 - (38 * value) / top}`).join(' ');
  const last = lines.map((line) => text(line.at(-1) ?? 0));
  const held = lines.length > 1 ? `, <span class="held">held back ${last[1]}</span>` : '';
  const drawn = lines.map((line, i) => `<polyline class="${i > 0 ? 'held' : ''}" points="${points(line)}" />`).join('');
  const figure = get(of);
  figure.hidden = false;
  figure.innerHTML = `<figcaption>${title} (up to ${text(top)}): training ${last[0]}${held}</figcaption>
    <svg viewBox="0 0 100 40" preserveAspectRatio="none" aria-hidden="true">${drawn}</svg>`;
}

// ── Trying it, and taking it along

async function answer(picture: Blob): Promise<void> {
  const used = classifier;
  if (!used) return;
  const { label, probabilities } = await used.classify(new Uint8Array(await picture.arrayBuffer()));
  // Screen readers speak what changes here.
  if (get('answer').textContent !== label) get('answer').textContent = label;
  const rows = used.classes.map((name, i) => {
    const [row, text] = [document.createElement('li'), document.createElement('label')];
    text.append(`${name}: ${percent(probabilities[i])}`, Object.assign(document.createElement('meter'), { value: probabilities[i] }));
    row.append(text);
    return row;
  });
  get('probabilities').replaceChildren(...rows);
}

async function show(picture: Blob | undefined): Promise<void> {
  if (!picture || !classifier) return;
  closeCamera();
  const image = Object.assign(new Image(), { src: URL.createObjectURL(picture), alt: 'The picture that was chosen' });
  image.onload = image.onerror = () => URL.revokeObjectURL(image.src);
  get('shown').replaceChildren(image);
  await answer(picture);
}

async function download(format: ExportFormat): Promise<void> {
  if (!learned) return;
  const file = await exportModel(learned, format);
  const href = URL.createObjectURL(new Blob([file as Uint8Array<ArrayBuffer>]));
  Object.assign(document.createElement('a'), { href, download: `model${EXPORT_FORMATS[format]}` }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

// ── What people do

const fail = (error: unknown): void => say(error instanceof Error ? error.message : String(error));

trainButton.onclick = async () => {
  busy = true;
  update();
  stopButton.focus();
  stopping = new AbortController();
  await learn(stopping.signal).catch((error) => (isAbortError(error) ? say(STOPPED) : fail(error)));
  busy = false;
  progress.value ||= 0; // no longer undecided
  update();
  trainButton.focus();
};
stopButton.onclick = () => stopping.abort();
get('add').onclick = () => addClass().name.focus();
get('live').onclick = () => live().catch(fail);
for (const button of get('downloads').querySelectorAll('button')) button.onclick = () => download(button.value as ExportFormat).catch(fail);
get<HTMLInputElement>('folder').onchange = ({ target }) => addFolders((target as HTMLInputElement).files ?? []);
get<HTMLInputElement>('picture').onchange = ({ target }) => show((target as HTMLInputElement).files?.[0]).catch(fail);

const dropPlace = (event: DragEvent): Element | undefined => (event.target as Element).closest?.('.drop') ?? undefined;
window.ondragover = (event) => {
  event.preventDefault();
  for (const place of document.querySelectorAll('.drop')) place.classList.toggle('over', place === dropPlace(event));
};
window.ondrop = async (event) => {
  event.preventDefault();
  for (const place of document.querySelectorAll('.over')) place.classList.remove('over');
  const place = dropPlace(event);
  const files = event.dataTransfer ? await droppedFiles(event.dataTransfer) : [];
  const one = classes.find(({ element }) => element === place);
  if (one) addPictures(one, files);
  else if (place?.closest('#try')) show(files[0]).catch(fail);
  else addFolders(files);
};

addClass();
addClass();
navigator.mediaDevices?.enumerateDevices().then((all) => {
  document.body.classList.toggle(
    'has-camera',
    all.some(({ kind }) => kind === 'videoinput'),
  );
}, fail);
