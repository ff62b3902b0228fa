// Layouts of folders as people have them, small: what becomes of each, or the sentence that refuses it.

import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { type FolderListing, type ScanOptions, scanFolder } from '../../app/sources/folder-scan.ts';
import { openData } from '../../app/sources/source.ts';
import { hybridError } from '../support/expect-error.ts';
import { imageFile } from '../support/images.ts';
import { tempFolder } from '../support/temp-folder.ts';

let PNG: Buffer;
beforeAll(async () => {
  PNG = await imageFile('png', 4, 4);
});

/** A folder of these files; `null` is a small picture. */
function folderOf(files: Readonly<Record<string, Uint8Array | string | null>>): string {
  const folder = tempFolder();
  for (const [path, data] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), data ?? PNG);
  }
  return folder;
}

const pictures = (...paths: readonly string[]): Record<string, null> => Object.fromEntries(paths.map((path) => [path, null]));
/** `part: file=class …` for each part, sorted. */
const told = ({ classes, parts }: FolderListing): Record<string, string> =>
  Object.fromEntries(
    [...parts].map(([part, list]) => [
      part,
      list
        .map(({ path, label }) => `${path}=${classes[label]}`)
        .sort()
        .join(' '),
    ]),
  );
const scan = async (files: Parameters<typeof folderOf>[0], options?: ScanOptions) => scanFolder(folderOf(files), options);
const warnings = ({ notices }: FolderListing): string =>
  notices.flatMap(({ level, text }) => (level === 'warning' ? [text] : [])).join('\n');

describe('parts by their usual names', () => {
  it.each([
    ['Train', 'Test'],
    ['TRAIN', 'VAL'],
    ['training', 'testing'],
    ['training_set', 'test_set'],
    ['seg_train', 'seg_test'],
    ['train', 'dev'],
    ['train', 'holdout'],
    ['train', 'Validation'],
    ['train', 'eval'],
    ['training data', 'testing data'],
    ['train_set_images', 'test_set_images'],
    ['Train Images', 'Val Images'],
    ['data-train', 'data-test'],
  ])('%s and %s are parts, not classes', async (train, other) => {
    const listing = await scan(pictures(`${train}/cat/1.png`, `${train}/dog/2.png`, `${other}/cat/3.png`));
    expect(listing.classes).toEqual(['cat', 'dog']);
    const part = /^(val|dev)/i.test(other) ? 'validation' : 'test';
    expect(told(listing)).toEqual({ train: `${train}/cat/1.png=cat ${train}/dog/2.png=dog`, [part]: `${other}/cat/3.png=cat` });
    expect(listing.notices).toEqual([]);
  });

  it('one more level of the same name, and folders that archives put around everything, are entered', async () => {
    const listing = await scan(
      pictures('intel/seg_train/seg_train/sea/1.png', 'intel/seg_train/seg_train/ice/2.png', 'intel/seg_test/seg_test/ice/3.png'),
    );
    expect(told(listing)).toEqual({
      train: 'intel/seg_train/seg_train/ice/2.png=ice intel/seg_train/seg_train/sea/1.png=sea',
      test: 'intel/seg_test/seg_test/ice/3.png=ice',
    });
  });

  it('folders that are not used are named, with the reason', async () => {
    const listing = await scan(pictures('train/a/1.png', 'train/b/2.png', 'test1/9.png', 'pred/8.png'));
    expect(Object.keys(told(listing))).toEqual(['train']);
    expect(warnings(listing)).toMatch(/"test1" is not used: its images are in no class folders/);
    expect(warnings(listing)).toMatch(/"pred" is not used/);
  });

  it('classes that are all names of parts are refused', async () => {
    for (const files of [pictures('Train/1.png', 'Test/2.png'), pictures('val/a/1.png', 'test/b/1.png')]) {
      expect((await hybridError('E_DATA', scan(files))).message).toMatch(/names of parts of a set/);
    }
  });

  it('folders that all hold the same folders are told: the classes may be those inside', async () => {
    const folds = await scan(pictures('fold1/a/1.png', 'fold1/b/2.png', 'fold2/a/3.png', 'fold2/b/4.png'));
    expect(folds.classes).toEqual(['fold1', 'fold2']);
    expect(warnings(folds)).toMatch(
      /: "fold1", "fold2" are used as the classes, and each of them contains the same folders \("a", "b"\): if those are/,
    );
    for (const more of ['fold2/c/5.png', 'fold2/5.png']) {
      expect(warnings(await scan(pictures('fold1/a/1.png', 'fold1/b/2.png', 'fold2/a/3.png', 'fold2/b/4.png', more)))).toBe('');
    }
  });

  it('two folders for one part are a question', async () => {
    const error = await hybridError('E_DATA', scan(pictures('train/a/1.png', 'train/b/1.png', 'test/a/2.png', 'testing/a/3.png')));
    expect(error.message).toMatch(/two folders for the test images, "test" and "testing"/);
  });

  it('a class may be called test where there is no train, and is told', async () => {
    const listing = await scan(pictures('control/1.png', 'test/2.png'));
    expect(listing.classes).toEqual(['control', 'test']);
    expect(warnings(listing)).toContain('the folder "test" is used as a class');
  });

  it('NFC and NFD of one name are one class, and two folders of one part that look alike are refused', async () => {
    const nfc = 'caf\u00e9';
    const nfd = nfc.normalize('NFD');
    const listing = await scan(pictures(`train/${nfc}/1.png`, 'train/bar/2.png', `test/${nfd}/3.png`));
    expect(told(listing).test).toBe(`test/${nfd}/3.png=${nfc}`);
    expect((await hybridError('E_DATA', scan(pictures(`${nfc}/1.png`, `${nfd}/2.png`)))).message).toMatch(/look alike/);
  });

  it('pictures are told by their contents: without an ending, or with that of something else', async () => {
    const listing = await scan({ ...pictures('a/1', 'a/2.dat', 'b/3.png'), 'b/notes': 'text', 'b/list.dat': 'BMW' });
    expect(told(listing).train).toBe('a/1=a a/2.dat=a b/3.png=b');
    expect(listing.others).toBe(2);
  });
});

describe('tables of labels', () => {
  const FLAT = pictures('train/1.png', 'train/2.png', 'train/3.png', 'test/4.png');

  it.each([
    ["Kaggle's trainLabels.csv: ids without ending", { ...FLAT, 'trainLabels.csv': 'id,label\n1,frog\n2,truck\n3,frog\n' }],
    ['file names', { ...FLAT, 'train.csv': 'filename,label\n1.png,frog\n2.png,truck\n3.png,frog\n' }],
    [
      'paths from a folder above',
      { ...FLAT, 'labels.csv': 'path,class\n./data/train/1.png,frog\ndata\\train\\2.png,truck\ndata/train/3.png,frog\n' },
    ],
    [
      'semicolons, quotes, CRLF and a byte order mark',
      { ...FLAT, 'labels.csv': '\ufeff"image";"label"\r\n"1.png";"frog"\r\n"2.png";"truck"\r\n"3.png";"frog"\r\n' },
    ],
    ['tabs', { ...FLAT, 'labels.tsv': 'image\tlabel\n1.png\tfrog\n2.png\ttruck\n3.png\tfrog\n' }],
    ['no header', { ...FLAT, 'labels.csv': '1.png,frog\n2.png,truck\n3.png,frog\n' }],
    ['one column a class', { ...FLAT, 'train.csv': 'image_id,frog,truck\n1,1,0\n2,0,1\n3,1.0,0.0\n' }],
    ['another ending', { ...FLAT, 'train.csv': 'image,label\n1.jpg,frog\n2.jpeg,truck\n3.jpg,frog\n' }],
    [
      'more columns, one of them called label',
      { ...FLAT, 'train.csv': 'id,width,label,source\n1,4,frog,web\n2,4,truck,web\n3,4,frog,x\n' },
    ],
    ['UTF-16', { ...FLAT, 'labels.csv': Buffer.from('\ufeffid,label\n1,frog\n2,truck\n3,frog\n', 'utf16le') }],
    [
      'an example of an answer beside it',
      { ...FLAT, 'trainLabels.csv': 'id,label\n1,frog\n2,truck\n3,frog\n', 'sampleSubmission.csv': 'id,label\n4,cat\n' },
    ],
  ])('%s', async (_, files) => {
    const listing = await scan(files);
    expect(told(listing)).toEqual({ train: 'train/1.png=frog train/2.png=truck train/3.png=frog' });
    expect(listing.classes).toEqual(['frog', 'truck']);
    expect(warnings(listing)).toContain('1 image is in no table of labels: not used');
  });

  it('the table is none of the files that are left out, and it is said how many images it is about', async () => {
    const listing = await scan({ ...pictures('all/1.png', 'all/2.png'), 'labels.csv': 'id,label\n1,a\n2,b\n', 'notes.txt': 'none' });
    expect(listing.others).toBe(1);
    expect(listing.notices.map(({ text }) => text)).toContainEqual(expect.stringMatching(/labels\.csv says the classes of 2 images$/));
  });

  it('train and test have a table each', async () => {
    const listing = await scan({
      ...pictures('train/1.png', 'train/2.png', 'test/1.png'),
      'train.csv': 'id,label\n1,a\n2,b\n',
      'test.csv': 'id,label\n1,b\n',
    });
    expect(told(listing)).toEqual({ train: 'train/1.png=a train/2.png=b', test: 'test/1.png=b' });
  });

  it('a table of test images without classes is told, and not used', async () => {
    const listing = await scan({ ...FLAT, 'train.csv': 'id,label\n1,a\n2,b\n3,a\n', 'test.csv': 'id\n4\n' });
    expect(Object.keys(told(listing))).toEqual(['train']);
    expect(warnings(listing)).toMatch(/test\.csv is not used: .*one column only/);
  });

  it.each([
    ['metadata.jsonl', '{"file_name":"1.png","label":"dog","tags":[1]}\n\n{"file_name":"2.png","label":"cat"}\n'],
    ['labels.json', '{"1.png":"dog","2.png":"cat"}'],
    ['annotations.json', '[{"file":"1.png","label":"dog"},{"label":"cat","file":"2.png","__proto__":3}]'],
    ['labels.txt', '1.png dog\n2.png cat\n'],
  ])('%s is a table, beside the images or in the folder of a part', async (name, text) => {
    const files = { 'images/1.png': null, 'images/2.png': null };
    expect(told(await scan({ ...files, [name]: text }))).toEqual({ train: 'images/1.png=dog images/2.png=cat' });
    const inPart = await scan({
      'train/1.png': null,
      'train/2.png': null,
      [`train/${name}`]: text,
      'test/1.png': null,
      'test/2.png': null,
      [`test/${name}`]: text,
    });
    expect(told(inPart)).toEqual({ train: 'train/1.png=dog train/2.png=cat', test: 'test/1.png=dog test/2.png=cat' });
  });

  it.each([
    ['x.jsonl', '{"file":"1.png"', /is not JSON that can be read in line 1/],
    ['x.json', '{', /is not JSON that can be read: /],
    ['x.json', '[1]', /is not a list of objects with a file and a class each/],
    ['x.json', '"a"', /is not a list of objects/],
    ['x.json', '[]', /./],
    ['x.json', '{}', /is empty/],
  ])('%s of %s is refused', async (name, text, message) => {
    const folder = folderOf({ 'images/1.png': null, 'images/2.png': null, [name]: text });
    expect((await hybridError('E_DATA', scanFolder(folder, { labels: join(folder, name) }))).message).toMatch(message);
  });

  it('a file that may say the classes is named where no table is found', async () => {
    const error = await hybridError(
      'E_DATA',
      scan({ 'images/1.png': null, 'images/2.png': null, 'list.txt': '1.png a', 'README.txt': 'x' }),
    );
    expect(error.message).toMatch(/holds no class folders, and no table/);
    expect(error.remedy).toMatch(/^If list\.txt says them, name it with `labels`\. Else: give a folder/);
  });

  it('a column says the part', async () => {
    const listing = await scan({
      ...pictures('images/1.png', 'images/2.png', 'images/3.png'),
      'meta.csv': 'file,label,split\n1,a,train\n2,b,Training\n3,a,valid\n',
    });
    expect(told(listing)).toEqual({ train: 'images/1.png=a images/2.png=b', validation: 'images/3.png=a' });
  });

  it('numbers are classes in the order of their values', async () => {
    const listing = await scan({
      ...pictures('images/1.png', 'images/2.png', 'images/3.png'),
      'labels.csv': 'id,level\n1,10\n2,9\n3,10\n',
    });
    expect(listing.classes).toEqual(['9', '10']);
  });

  it('--labels and --label-column name what is not clear', async () => {
    const files = { ...FLAT, 'a.csv': 'id,colour,shape\n1,red,round\n2,blue,round\n3,red,flat\n' };
    const error = await hybridError('E_DATA', scan(files));
    expect(error.message).toMatch(/several columns that could say the class: "colour", "shape"/);
    expect(error.remedy).toContain('labelColumn');
    const folder = folderOf(files);
    expect((await scanFolder(folder, { labels: join(folder, 'a.csv'), labelColumn: 'Colour' })).classes).toEqual(['blue', 'red']);
    const wrong = await hybridError('E_DATA', scanFolder(folder, { labels: join(folder, 'a.csv'), labelColumn: 'color' }));
    expect(wrong.remedy).toBe('Did you mean colour?');
    const none = await hybridError('E_DATA', scanFolder(folder, { labels: join(folder, 'no.csv') }));
    expect(none.message).toMatch(/no\.csv does not exist/);
  });

  it.each([
    ['a file that is not there', 'id,label\n1,a\n2,b\n7,a\n', /names 1 of 3 files that are not there: "7"/],
    ['a class that is missing', 'id,label\n1,a\n2,\n3,b\n', /no class in row 3/],
    ['two classes for one image', 'id,label\n1,a\n1,b\n2,a\n', /calls "1" "a" in one row and "b" in row 3/],
    ['one class', 'id,label\n1,a\n2,a\n', /one class only/],
    ['a path that leads out', 'id,label\n1,a\n2,b\n../../etc/passwd,b\n', /not there: "..\/..\/etc\/passwd"/],
    ['no names of images', 'id,label\nx,a\ny,b\n', /no column with the names of the 3 images/],
    ['a class that speaks to the terminal', 'id,label\n1,a\n2,"b\u001b[2J"\n', /that is not a name/],
    ['an empty table', '', /is empty/],
    ['a header alone', 'id,label\n', /no rows/],
    ['zero bytes', 'id,label\n1,\0\n', /is not a text file/],
    ['two ones in a row', 'id,a,b\n1,1,0\n2,0,1\n3,1,1\n', /2 classes in row 4/],
  ])('%s is refused', async (_, table, message) => {
    const error = await hybridError('E_DATA', scan({ ...FLAT, 'train.csv': table }));
    expect(error.message).toMatch(message);
    expect(error.remedy).not.toBe('');
  });

  it('a table of a gigabyte is refused before it is read', async () => {
    const folder = folderOf({ ...FLAT, 'train.csv': 'id,label\n' });
    truncateSync(join(folder, 'train.csv'), 2 ** 30);
    const error = await hybridError('E_DATA', scanFolder(folder));
    expect(error.message).toMatch(/train\.csv has 1,073,741,824 bytes, more than the 134,217,728 that are read/);
  });

  it('links that lead back are told, and links to folders are followed where that is allowed', async () => {
    const folder = folderOf(pictures('a/1.png', 'b/2.png'));
    symlinkSync('..', join(folder, 'a', 'up'));
    expect((await hybridError('E_DATA', scanFolder(folder))).message).toMatch(/leads to a folder|leads out/);
    expect((await hybridError('E_DATA', scanFolder(folder, { followLinks: true }))).message).toMatch(
      /leads back to a folder that it lies in/,
    );
    const other = folderOf(pictures('3.png'));
    const linked = folderOf(pictures('a/1.png'));
    symlinkSync(other, join(linked, 'b'));
    expect(told(await scanFolder(linked, { followLinks: true }))).toEqual({ train: 'a/1.png=a b/3.png=b' });
  });

  it('two tables are a question', async () => {
    const error = await hybridError('E_DATA', scan({ ...FLAT, 'a.csv': 'id,label\n1,a\n2,b\n', 'b.csv': 'id,label\n1,a\n2,b\n' }));
    expect(error.message).toMatch(/two tables that may say the classes, "a.csv" and "b.csv"/);
    expect(error.remedy).toContain('`labels`');
  });

  it('a class for each image is no class', async () => {
    const files = pictures(...Array.from({ length: 30 }, (_, i) => `images/${i}.png`));
    const table = `id,label\n${Array.from({ length: 30 }, (_, i) => `${i},name ${i}`).join('\n')}\n`;
    expect((await hybridError('E_DATA', scan({ ...files, 'labels.csv': table }))).message).toMatch(/a class of its own for each/);
  });

  it('Latin-1 is read and told', async () => {
    const listing = await scan({ ...FLAT, 'train.csv': Buffer.from('id,label\n1,caf\u00e9\n2,bar\n3,bar\n', 'latin1') });
    expect(listing.classes).toEqual(['bar', 'caf\u00e9']);
    expect(listing.notices.map(({ text }) => text).join()).toContain('is read as Latin-1');
  });
});

describe('known layouts', () => {
  it('Tiny ImageNet: validation images by their list, test images without classes', async () => {
    const listing = await scan({
      ...pictures(
        'train/n01/images/n01_0.JPEG',
        'train/n02/images/n02_0.JPEG',
        'val/images/val_0.JPEG',
        'val/images/val_1.JPEG',
        'test/images/test_0.JPEG',
      ),
      'train/n01/n01_boxes.txt': 'n01_0.JPEG\t0\t0\t9\t9\n',
      'val/val_annotations.txt': 'val_0.JPEG\tn02\t0\t0\t9\t9\nval_1.JPEG\tn01\t0\t0\t9\t9\n',
      'wnids.txt': 'n01\nn02\n',
    });
    expect(told(listing)).toEqual({
      train: 'train/n01/images/n01_0.JPEG=n01 train/n02/images/n02_0.JPEG=n02',
      validation: 'val/images/val_0.JPEG=n02 val/images/val_1.JPEG=n01',
    });
    expect(warnings(listing)).toContain('"test" is not used');
  });

  it("Oxford's Pets: breeds by the names of the lists", async () => {
    const listing = await scan({
      ...pictures('images/Abyssinian_1.jpg', 'images/american_bulldog_10.jpg', 'images/Abyssinian_2.jpg'),
      'annotations/list.txt': '#Image CLASS-ID SPECIES BREED ID\nAbyssinian_1 1 1 1\n',
      'annotations/trainval.txt': 'Abyssinian_1 1 1 1\namerican_bulldog_10 2 2 1\n',
      'annotations/test.txt': 'Abyssinian_2 1 1 1\n',
    });
    expect(told(listing)).toEqual({
      train: 'images/Abyssinian_1.jpg=Abyssinian images/american_bulldog_10.jpg=american_bulldog',
      test: 'images/Abyssinian_2.jpg=Abyssinian',
    });
  });

  it('is opened as any folder is: decoded, with its parts', async () => {
    const folder = folderOf({ ...pictures('train/1.png', 'train/2.png', 'train/3.png'), 'trainLabels.csv': 'id,label\n1,a\n2,b\n3,a\n' });
    const { train, test } = await openData(folder, { cacheDir: tempFolder(), imageSize: [4, 4] });
    expect([train.size, train.classes, test]).toEqual([3, ['a', 'b'], null]);
  });

  it('a million classes are refused before anything is read', async () => {
    const table = `id,label\n${Array.from({ length: 60_000 }, (_, i) => `${i % 3},c${i}`).join('\n')}`;
    const error = await hybridError('E_DATA', scan({ ...pictures('images/0.png', 'images/1.png', 'images/2.png'), 'labels.csv': table }));
    expect(error.message).toMatch(/calls "0"/);
  });
});
