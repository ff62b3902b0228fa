import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { HybridError } from '../../runtime/base/errors.ts';
import { readPickle } from '../../runtime/formats/pickle.ts';
import { NUMPY_CONSTRUCTORS, type NumpyArray, PYTHON_CONSTRUCTORS } from '../../runtime/formats/pickle-numpy.ts';
import { ByteString, type PickleOptions } from '../../runtime/formats/pickle-values.ts';

const file = (name: string): Uint8Array => new Uint8Array(readFileSync(new URL(`../golden/pickles/${name}`, import.meta.url)));
const OPTIONS: PickleOptions = {
  constructors: new Map([...NUMPY_CONSTRUCTORS, ...PYTHON_CONSTRUCTORS]),
  remedy: (name) => `not ${name}`,
  source: 'x.pkl',
  code: 'E_DATA',
};
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'));
const read = (text: string): unknown => readPickle(bytes(text), OPTIONS).value;

function refusal(body: () => unknown): HybridError {
  const start = process.cpuUsage();
  try {
    body();
  } catch (error) {
    const { user, system } = process.cpuUsage(start);
    expect((user + system) / 1e6).toBeLessThan(1);
    expect(error).toMatchObject({ name: 'HybridError', code: 'E_DATA', remedy: expect.stringMatching(/./) });
    return error as HybridError;
  }
  throw new Error('it was read');
}

describe('pickles that Python writes', () => {
  it.each([0, 1, 2, 3, 4, 5])('are read in protocol %i', (protocol) => {
    const value = readPickle(file(`values-${protocol}.pkl`), OPTIONS).value as Map<unknown, unknown>;
    const values = value.get('self') as unknown[];
    expect([...value.values()][0]).toBe(values);
    expect(values.slice(0, 13)).toEqual([
      ...[1, 2, 300, 70000, 2 ** 40, -5, 2n ** 70n, true, false, null, 1.5, Number.NEGATIVE_INFINITY],
      'h\u00e9llo \u20ac\n\\',
    ]);
    expect(values.slice(13)).toEqual([Uint8Array.of(0, 255), [1], [1, 2], [1, 2, 3], [1, 2, 3, 4], new Set([1, 2]), new Map([['a', 1]])]);
    const arrays = value.get('arrays') as Map<string, NumpyArray>;
    expect(arrays.get('big')?.array).toEqual({ shape: [2, 3], data: Int32Array.of(0, 1, 2, 3, 4, 5) });
    expect(arrays.get('fortran')?.array).toEqual({ shape: [2, 3], data: Float64Array.of(0, 1, 2, 3, 4, 5) });
    expect(arrays.get('half')?.array).toEqual({ shape: [2], data: Float32Array.of(0.5, -2), type: 'f2' });
    expect(arrays.get('bool')?.array).toEqual({ shape: [2], data: Uint8Array.of(1, 0), type: 'b1' });
    expect(arrays.get('scalar')).toBe(2.5);
  });

  it('keep the str of Python 2 as bytes, and take it for text as a key', () => {
    const value = read(
      '\x80\x02}q\x01U\x06labels]q\x02(K\x01K\x02eU\x02\xff\x00U\x01xs.'.replace('U\x02\xff\x00U\x01xs', 'sU\x01bU\x02\xff\x00s'),
    );
    expect(value).toBeInstanceOf(Map);
    expect((value as Map<string, unknown>).get('labels')).toEqual([1, 2]);
    expect((value as Map<string, ByteString>).get('b')).toEqual(new ByteString(Uint8Array.of(255, 0)));
  });

  it('end where they end', () => {
    expect(readPickle(bytes('xxK\x07.yy'), { ...OPTIONS, start: 2 })).toEqual({ value: 7, end: 5 });
  });

  it('may contain themselves', () => {
    const value = read(']q\x01h\x01a.') as unknown[];
    expect(value[0]).toBe(value);
  });
});

describe('hostile pickles', () => {
  it.each([
    ['a call of os.system', "cos\nsystem\n(S'echo'\ntR.", 'os.system'],
    ['a call of posix.system', '\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04echo\x85R.', 'posix.system'],
    ['eval', '\x80\x02c__builtin__\neval\nX\x01\x00\x00\x001\x85R.', '__builtin__.eval'],
    ['an instance of subprocess.Popen', "(S'ls'\nisubprocess\nPopen\n.", 'subprocess.Popen'],
    ['a name that is never called', 'cbuiltins\nexec\n.', 'builtins.exec'],
    ['a nested name', '\x80\x04\x8c\x0bcollections\x8c\x1dOrderedDict.__init__.__call__\x93.', 'collections.OrderedDict.__init__'],
    ['constructor', 'cconstructor\nprototype\n.', 'constructor.prototype'],
    ['__proto__', 'c__proto__\nx\n.', '__proto__.x'],
  ])('%s is refused by its name', (_, text, name) => {
    const { message, remedy } = refusal(() => read(text));
    expect(message).toContain(name);
    expect(remedy).toContain(name);
  });

  it.each([
    ['nothing', '', 'ends at byte 0'],
    ['no STOP', 'K\x01', 'ends at byte 2'],
    ['an unknown byte', '\xff.', '0xff'],
    ['a registered extension', '\x82\x01.', 'EXT1'],
    ['an outside buffer', '\x97.', 'NEXT_BUFFER'],
    ['a text of 4 GB', 'X\xff\xff\xff\xff.', '4294967295 bytes'],
    ['bytes of 2^63', '\x8e\x00\x00\x00\x00\x00\x00\x00\x80.', 'bytes should follow'],
    ['a memo that is not there', 'h\x09.', 'value 9'],
    ['a call of no constructor', '(K\x01K\x02tR.', 'takes a value|no constructor'],
    ['a set of a number', 'cbuiltins\nset\n(K\x01t\x81.', 'a set is not understood'],
    ['a state for what takes none', '(lp0\nK\x01b.', 'takes none'],
    ['a call of a type', 'cnumpy\nndarray\n)R.', 'numpy.ndarray'],
    ['a stack that is empty', '0.', 'not there'],
    ['a mark for a value', '(.', 'mark'],
    ['no mark', 't.', 'mark'],
    ['values left over', 'K\x01K\x02.', 'too many'],
    ['an odd dictionary', '(K\x01d.', 'without a value'],
    ['an item of a list', ']K\x01K\x02s.', 'not a dictionary'],
    ['a protocol of the future', '\x80\x09N.', 'protocol 9'],
    ['a number of megabytes', `L${'9'.repeat(60_000)}L\n.`, 'whole number'],
    ['a line without end', `L${'9'.repeat(100_000)}`, 'no end'],
    ['an outside reference', 'K\x01Q.', 'outside'],
    ['objects in an array', 'cnumpy\ndtype\n(U\x02O8tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb.', '|'],
  ])('%s is refused', (_, text, words) => {
    if (words === '|') return expect(read(text)).toBeDefined();
    expect(refusal(() => read(text)).message).toMatch(new RegExp(words));
  });

  it('bombs end in less than a second', () => {
    // Each list holds the one before twice: 2^500,000 leaves, and as many objects as instructions.
    const doubling = `]q\x00${'](h\x00h\x00eq\x00'.repeat(10_000)}`;
    expect(Array.isArray(read(`${doubling}${'0'.repeat(10_000)}.`))).toBe(true);
    expect(refusal(() => read(`(${'}'.repeat(500_000)}t.`)).message).toContain('more than 400000');
    expect(refusal(() => read('N0'.repeat(2_000_000))).message).toContain('more than 2500000 instructions');
    // Tuples within tuples, as deep as there are bytes: nothing here recurses.
    expect(refusal(() => read(`)${'\x85'.repeat(500_000)}.`)).message).toContain('more than 400000');
    expect(Array.isArray(read(`)${'\x85'.repeat(300_000)}.`))).toBe(true);
  });

  it.each([0, 2, 4, 5])('protocol %i cut short at every byte is refused', (protocol) => {
    const whole = file(`values-${protocol}.pkl`);
    for (let length = 0; length < whole.length; length++) refusal(() => readPickle(whole.subarray(0, length), OPTIONS));
  });
});
