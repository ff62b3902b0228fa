// Python's pickles, read without executing anything: a pickle is a program for a small stack machine, and what makes it dangerous is that it
// may name any function and call it. Here a name is looked up in a list of constructors that the caller gives, each of which only makes data;
// every other name ends the reading, with the name in the message.
//
// A file may come from anywhere, so a program is bounded: every instruction takes at least one byte and makes at most one object, so memory
// and time follow from the size of the file, and instructions and containers are counted on top of that. Nothing here recurses. An object may
// contain itself, or contain one object a million times over (a "memo bomb"): that costs nothing here, and whoever walks a value that was
// read must bound the depth of its walk.

import { fromLatin1, latin1 } from '../base/bytes.ts';
import { HybridError } from '../base/errors.ts';
import { ByteString, type Constructor, PickleName, type PickleOptions, replacingText, textOf, type Unpickled } from './pickle-values.ts';
import { type Fail, quote } from './zip.ts';

/** Far above what a table of 50,000 tensors needs; a file of that many single-byte instructions is read in well under a second. */
const MAX_INSTRUCTIONS = 2_500_000;
/** Lists, tuples, dictionaries and sets: an empty one is a byte in the file and some hundred in memory. */
const MAX_CONTAINERS = 400_000;
/** Digits or bytes of a whole number: parsing takes quadratic time. */
const MAX_INTEGER_BYTES = 1024;
/** Of text that ends with a line: names and numbers of protocol 0. */
const MAX_LINE_BYTES = 65_536;
/** The newest protocol of Python 3.14. */
const NEWEST_PROTOCOL = 5;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Marks the beginning of the items of a tuple, list or dictionary on the stack. */
const MARK = Symbol('mark');

/**
 * Reads one pickle of protocol 0 to 5.
 * @throws HybridError with `code`: for a name that is not among the constructors, for anything that is no complete pickle, and for one that
 * is larger than any table of weights or labels.
 */
export function readPickle(bytes: Uint8Array, options: PickleOptions): Unpickled {
  return new Machine(bytes, options).run();
}

type Action = (m: Machine) => void;

class Machine {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #options: PickleOptions;
  readonly #stack: unknown[] = [];
  readonly #memo = new Map<number, unknown>();
  /** Which values a constructor made, to complete them by their own rule. */
  readonly #made = new WeakMap<object, Constructor>();
  #at: number;
  #instructions = 0;
  #containers = 0;

  constructor(bytes: Uint8Array, options: PickleOptions) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#options = options;
    this.#at = options.start ?? 0;
  }

  readonly #fail: Fail = (what, cause) => {
    const { code, source } = this.#options;
    throw new HybridError(
      code,
      `${source} cannot be read as a pickle: ${what}`,
      'If the file was copied or downloaded, download it again.',
      {
        cause,
      },
    );
  };

  run(): Unpickled {
    for (;;) {
      if (++this.#instructions > MAX_INSTRUCTIONS) this.#fail(`it has more than ${MAX_INSTRUCTIONS} instructions`);
      const opcode = this.#byte();
      if (opcode === STOP) break;
      const action = Machine.#ACTIONS[opcode];
      if (action === undefined) this.#unknown(opcode);
      action(this);
    }
    const value = this.#pop();
    if (this.#stack.length > 0) this.#fail(`it ends with ${this.#stack.length} values too many`);
    return { value, end: this.#at };
  }

  #unknown(opcode: number): never {
    const name = REFUSED[opcode];
    return this.#fail(
      name
        ? `it uses ${name} at byte ${this.#at - 1}, which is not read`
        : `byte ${this.#at - 1} (0x${opcode.toString(16).padStart(2, '0')}) is not an instruction`,
    );
  }

  /** Instructions by their names in Python's pickletools: the byte, and what it does. */
  static readonly #INSTRUCTIONS: Readonly<Record<string, readonly [byte: string, action: Action]>> = {
    PROTO: [
      '\x80',
      (m) => {
        const protocol = m.#byte();
        if (protocol > NEWEST_PROTOCOL) m.#fail(`it is of protocol ${protocol}, and protocols up to ${NEWEST_PROTOCOL} are read`);
      },
    ],
    FRAME: [
      '\x95',
      (m) => {
        // Frames only tell a reader how much to fetch at once.
        m.#size(8);
      },
    ],
    NONE: ['N', (m) => m.#push(null)],
    NEWTRUE: ['\x88', (m) => m.#push(true)],
    NEWFALSE: ['\x89', (m) => m.#push(false)],
    INT: ['I', (m) => m.#push(m.#integerLine())],
    LONG: ['L', (m) => m.#push(m.#integerLine())],
    BININT: [
      'J',
      (m) => {
        m.#need(4);
        m.#push(m.#view.getInt32((m.#at += 4) - 4, true));
      },
    ],
    BININT1: ['K', (m) => m.#push(m.#byte())],
    BININT2: [
      'M',
      (m) => {
        m.#need(2);
        m.#push(m.#view.getUint16((m.#at += 2) - 2, true));
      },
    ],
    LONG1: ['\x8a', (m) => m.#push(m.#long(m.#byte()))],
    LONG4: ['\x8b', (m) => m.#push(m.#long(m.#size(4)))],
    FLOAT: ['F', (m) => m.#push(m.#floatLine())],
    BINFLOAT: [
      'G',
      (m) => {
        m.#need(8);
        m.#push(m.#view.getFloat64((m.#at += 8) - 8));
      },
    ],
    STRING: ['S', (m) => m.#push(m.#quoted())],
    SHORT_BINSTRING: ['U', (m) => m.#push(new ByteString(m.#take(m.#byte())))],
    BINSTRING: ['T', (m) => m.#push(new ByteString(m.#take(m.#size(4))))],
    UNICODE: ['V', (m) => m.#push(m.#escaped(m.#line()))],
    SHORT_BINUNICODE: ['\x8c', (m) => m.#push(m.#text(m.#byte()))],
    BINUNICODE: ['X', (m) => m.#push(m.#text(m.#size(4)))],
    BINUNICODE8: ['\x8d', (m) => m.#push(m.#text(m.#size(8)))],
    SHORT_BINBYTES: ['C', (m) => m.#push(m.#take(m.#byte()))],
    BINBYTES: ['B', (m) => m.#push(m.#take(m.#size(4)))],
    BINBYTES8: ['\x8e', (m) => m.#push(m.#take(m.#size(8)))],
    BYTEARRAY8: ['\x96', (m) => m.#push(m.#take(m.#size(8)))],
    MARK: ['(', (m) => m.#push(MARK)],
    POP: ['0', (m) => m.#pop(true)],
    POP_MARK: ['1', (m) => m.#toMark()],
    DUP: ['2', (m) => m.#push(m.#top())],
    EMPTY_TUPLE: [')', (m) => m.#push(m.#container([]))],
    EMPTY_LIST: [']', (m) => m.#push(m.#container([]))],
    EMPTY_DICT: ['}', (m) => m.#push(m.#container(new Map()))],
    EMPTY_SET: ['\x8f', (m) => m.#push(m.#container(new Set()))],
    TUPLE1: ['\x85', (m) => m.#tuple(1)],
    TUPLE2: ['\x86', (m) => m.#tuple(2)],
    TUPLE3: ['\x87', (m) => m.#tuple(3)],
    TUPLE: ['t', (m) => m.#push(m.#container(m.#toMark()))],
    LIST: ['l', (m) => m.#push(m.#container(m.#toMark()))],
    FROZENSET: ['\x91', (m) => m.#push(m.#container(new Set(m.#toMark())))],
    DICT: [
      'd',
      (m) => {
        const items = m.#toMark();
        const dictionary = m.#container(new Map());
        m.#setItems(dictionary, items);
        m.#push(dictionary);
      },
    ],
    APPEND: [
      'a',
      (m) => {
        const item = m.#pop();
        m.#append([item]);
      },
    ],
    APPENDS: [
      'e',
      (m) => {
        const items = m.#toMark();
        m.#append(items);
      },
    ],
    SETITEM: [
      's',
      (m) => {
        const value = m.#pop();
        const key = m.#pop();
        m.#setItems(m.#top(), [key, value]);
      },
    ],
    SETITEMS: [
      'u',
      (m) => {
        const items = m.#toMark();
        m.#setItems(m.#top(), items);
      },
    ],
    ADDITEMS: [
      '\x90',
      (m) => {
        const items = m.#toMark();
        const set = m.#top();
        if (!(set instanceof Set)) return m.#fail('it adds items to what is not a set');
        for (const item of items) set.add(item);
      },
    ],
    PUT: ['p', (m) => m.#remember(m.#index(m.#line()))],
    BINPUT: ['q', (m) => m.#remember(m.#byte())],
    LONG_BINPUT: ['r', (m) => m.#remember(m.#size(4))],
    MEMOIZE: ['\x94', (m) => m.#remember(m.#memo.size)],
    GET: ['g', (m) => m.#recall(m.#index(m.#line()))],
    BINGET: ['h', (m) => m.#recall(m.#byte())],
    LONG_BINGET: ['j', (m) => m.#recall(m.#size(4))],
    GLOBAL: [
      'c',
      (m) => {
        const module = m.#line();
        m.#push(m.#named(`${module}.${m.#line()}`));
      },
    ],
    STACK_GLOBAL: [
      '\x93',
      (m) => {
        const name = textOf(m.#pop());
        const module = textOf(m.#pop());
        if (name === undefined || module === undefined) return m.#fail('it names a constructor by what is not text');
        m.#push(m.#named(`${module}.${name}`));
      },
    ],
    REDUCE: [
      'R',
      (m) => {
        const args = m.#pop();
        m.#push(m.#call(m.#pop(), args));
      },
    ],
    NEWOBJ: [
      '\x81',
      (m) => {
        const args = m.#pop();
        m.#push(m.#call(m.#pop(), args));
      },
    ],
    NEWOBJ_EX: [
      '\x92',
      (m) => {
        const named = m.#pop();
        const args = m.#pop();
        if (!(named instanceof Map) || named.size > 0) return m.#fail('it calls a constructor with named arguments');
        m.#push(m.#call(m.#pop(), args));
      },
    ],
    INST: [
      'i',
      (m) => {
        const module = m.#line();
        const name = m.#named(`${module}.${m.#line()}`);
        m.#push(m.#call(name, m.#toMark()));
      },
    ],
    OBJ: [
      'o',
      (m) => {
        const [name, ...args] = m.#toMark();
        m.#push(m.#call(name, args));
      },
    ],
    BUILD: [
      'b',
      (m) => {
        const state = m.#pop();
        m.#complete(m.#top(), state);
      },
    ],
    PERSID: ['P', (m) => m.#push(m.#persistent(m.#line()))],
    BINPERSID: ['Q', (m) => m.#push(m.#persistent(m.#pop()))],
  };

  static readonly #ACTIONS: readonly (Action | undefined)[] = (() => {
    const table = new Array<Action | undefined>(256).fill(undefined);
    for (const [byte, action] of Object.values(Machine.#INSTRUCTIONS)) table[byte.charCodeAt(0)] = action;
    return table;
  })();

  // The program: bytes, numbers and text after an instruction.

  #need(bytes: number): void {
    const left = this.#bytes.length - this.#at;
    if (bytes > left) this.#fail(`it ends at byte ${this.#bytes.length}, and ${bytes} bytes should follow byte ${this.#at}`);
  }

  #byte(): number {
    this.#need(1);
    return this.#bytes[this.#at++];
  }

  /** A length or index, little-endian. */
  #size(bytes: 4 | 8): number {
    this.#need(bytes);
    const low = this.#view.getUint32(this.#at, true);
    const high = bytes === 8 ? this.#view.getUint32(this.#at + 4, true) : 0;
    this.#at += bytes;
    return high * 2 ** 32 + low;
  }

  #take(length: number): Uint8Array {
    this.#need(length);
    return this.#bytes.subarray(this.#at, (this.#at += length));
  }

  #text(length: number): string {
    const bytes = this.#take(length);
    try {
      return utf8.decode(bytes);
    } catch {
      // A lone surrogate, as Python writes file names that are not UTF-8.
      return replacingText(bytes);
    }
  }

  /** Up to the end of a line, without it. */
  #line(): string {
    const limit = Math.min(this.#bytes.length, this.#at + MAX_LINE_BYTES);
    let end = this.#at;
    while (end < limit && this.#bytes[end] !== 0x0a) end++;
    if (end === limit) this.#fail(`the line at byte ${this.#at} has no end`);
    const line = latin1(this.#bytes.subarray(this.#at, end));
    this.#at = end + 1;
    return line;
  }

  #integerLine(): number | bigint | boolean {
    const line = this.#line();
    // Protocol 0 writes truth values so.
    if (line === '00') return false;
    if (line === '01') return true;
    if (!/^[+-]?\d+L?$/.test(line) || line.length > MAX_INTEGER_BYTES) this.#fail(`${quote(line)} is not a whole number`);
    return narrow(BigInt(line.replace(/^\+|L$/g, '')));
  }

  #long(length: number): number | bigint {
    if (length > MAX_INTEGER_BYTES) this.#fail(`it has a whole number of ${length} bytes`);
    let value = 0n;
    const bytes = this.#take(length);
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]);
    return narrow(BigInt.asIntN(8 * length, value));
  }

  #floatLine(): number {
    const line = this.#line();
    const special: Record<string, number> = { nan: Number.NaN, inf: Number.POSITIVE_INFINITY, '-inf': Number.NEGATIVE_INFINITY };
    if (Object.hasOwn(special, line)) return special[line];
    const value = Number(line);
    if (line.trim() === '' || Number.isNaN(value)) this.#fail(`${quote(line)} is not a number`);
    return value;
  }

  #index(line: string): number {
    if (!/^\d{1,10}$/.test(line)) this.#fail(`${quote(line)} is not an index`);
    return Number(line);
  }

  /** A string of protocol 0: the Python literal of a `str`. */
  #quoted(): ByteString {
    const line = this.#line();
    const mark = line[0];
    if (line.length < 2 || (mark !== "'" && mark !== '"') || line.at(-1) !== mark) this.#fail(`${quote(line)} is not a quoted text`);
    const known: Record<string, string> = { n: '\n', r: '\r', t: '\t', '\\': '\\', "'": "'", '"': '"' };
    const text = line.slice(1, -1).replace(/\\(?:x([0-9a-fA-F]{2})|(.))/g, (whole, hex, character) => {
      if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
      return known[character] ?? whole;
    });
    return new ByteString(fromLatin1(text));
  }

  /** Text of protocol 0: Latin-1 with \u and \U escapes. */
  #escaped(line: string): string {
    return line.replace(/\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})/g, (whole, short, long) => {
      const code = Number.parseInt(short ?? long, 16);
      return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    });
  }

  // The stack and the memo.

  #push(value: unknown): void {
    this.#stack.push(value);
  }

  #pop(mark = false): unknown {
    if (this.#stack.length === 0) this.#fail(`at byte ${this.#at} it takes a value that is not there`);
    const value = this.#stack.pop();
    if (value === MARK && !mark) this.#fail(`at byte ${this.#at} it takes a mark for a value`);
    return value;
  }

  #top(): unknown {
    const value = this.#pop();
    this.#stack.push(value);
    return value;
  }

  /** The values above the last mark, which goes as well. */
  #toMark(): unknown[] {
    const mark = this.#stack.lastIndexOf(MARK);
    if (mark < 0) this.#fail(`at byte ${this.#at} it lacks a mark`);
    const items = this.#stack.slice(mark + 1);
    this.#stack.length = mark;
    return items;
  }

  #remember(index: number): void {
    this.#memo.set(index, this.#top());
  }

  #recall(index: number): void {
    if (!this.#memo.has(index)) this.#fail(`it asks for value ${index}, which it has not kept`);
    this.#push(this.#memo.get(index));
  }

  // Values.

  #container<T>(value: T): T {
    if (++this.#containers > MAX_CONTAINERS) this.#fail(`it has more than ${MAX_CONTAINERS} lists, tuples and dictionaries`);
    return value;
  }

  #tuple(length: number): void {
    const items = Array.from({ length }, () => this.#pop()).reverse();
    this.#push(this.#container(items));
  }

  #append(items: readonly unknown[]): void {
    const list = this.#top();
    if (Array.isArray(list)) for (const item of items) list.push(item);
    else this.#fail('it appends to what is not a list');
  }

  #setItems(dictionary: unknown, items: readonly unknown[]): void {
    const target = dictionary instanceof Map ? dictionary : this.#fail('it sets an item of what is not a dictionary');
    if (items.length % 2 !== 0) this.#fail('it sets a key without a value');
    for (let i = 0; i < items.length; i += 2) target.set(textOf(items[i]) ?? items[i], items[i + 1]);
  }

  // Names, and what is made by them.

  #named(name: string): PickleName {
    if (this.#options.constructors.has(name)) return new PickleName(name);
    const { code, source, remedy } = this.#options;
    throw new HybridError(code, `${source} is a pickle that asks for ${shown(name)}, which is not executed`, remedy(name));
  }

  #call(callee: unknown, args: unknown): unknown {
    const rule = callee instanceof PickleName ? this.#options.constructors.get(callee.name) : undefined;
    if (!rule || !(callee instanceof PickleName)) return this.#fail('it calls a value that is not a constructor');
    if (!rule.make) return this.#fail(`it calls ${shown(callee.name)}, which is a name here and not a constructor`);
    if (!Array.isArray(args)) return this.#fail(`it gives ${shown(callee.name)} arguments that are no tuple`);
    this.#container(null);
    const value = rule.make(args, this.#fail);
    if (typeof value === 'object' && value !== null) this.#made.set(value, rule);
    return value;
  }

  #complete(value: unknown, state: unknown): void {
    const rule = typeof value === 'object' && value !== null ? this.#made.get(value) : undefined;
    const complete = rule?.complete ?? this.#fail('it gives a state to a value that takes none');
    complete(value, state, this.#fail);
  }

  #persistent(id: unknown): unknown {
    const { persistent } = this.#options;
    if (!persistent) return this.#fail('it refers to something outside of it');
    return persistent(id, this.#fail);
  }
}

const narrow = (value: bigint): number | bigint =>
  value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;

/** A name from a file, safe to print: a plain dotted name as it is, else quoted. */
const shown = (name: string): string => (/^[\w.]{1,80}$/.test(name) ? name : quote(name));

const STOP = 0x2e;

/** Instructions of Python's that have no place in a file of data. */
const REFUSED: Readonly<Record<number, string>> = {
  130: 'a registered extension (EXT1)',
  131: 'a registered extension (EXT2)',
  132: 'a registered extension (EXT4)',
  151: 'a buffer outside the pickle (NEXT_BUFFER)',
  152: 'a buffer outside the pickle (READONLY_BUFFER)',
};
