// What the build writes for kernels: asm/lib/abi.gen.ts, what they know of the ABI, from what the host uses (asm/abi/constants.ts, the argument
// blocks of asm/lowering and runtime/ir/step.ts), and the kernels that are made of formulas (asm/abi/elementwise.ts).

import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import ts from 'typescript';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** TypeScript files of this repository as modules. (Node 20 cannot import them as they are.) They and what they import are written to a folder without types. */
async function load(...paths) {
  const folder = await mkdtemp(join(tmpdir(), 'hybrid-abi-'));
  const moduleOf = (path) => join(folder, relative(root, path).replace(/\.ts$/, '.mjs'));
  const seen = new Set();
  async function write(path) {
    if (seen.has(path)) return;
    seen.add(path);
    const { outputText } = ts.transpileModule(await readFile(path, 'utf8'), {
      compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
    });
    await mkdir(dirname(moduleOf(path)), { recursive: true });
    await writeFile(
      moduleOf(path),
      outputText.replace(/from '(\.[^']+)\.ts'/g, (_, imported) => `from '${imported}.mjs'`),
    );
    for (const [, imported] of outputText.matchAll(/from '(\.[^']+)'/g)) await write(join(dirname(path), imported));
  }
  try {
    for (const path of paths) await write(join(root, path));
    return await Promise.all(paths.map((path) => import(pathToFileURL(moduleOf(join(root, path))).href)));
  } finally {
    await rm(folder, { recursive: true });
  }
}

const TYPES = { ptr: 'usize', 'ptr?': 'usize', i32: 'i32', flag: 'i32', f32: 'f32', f64: 'f64' };
const capitalised = (name) => name[0].toUpperCase() + name.slice(1);

/** The files by their names in asm/, the names of the kernels that there have to be, and where their static data begins. */
export async function generate() {
  const [{ activationsSource, elementwiseSource }, { lossTermsSource }, { KERNELS }, { STRUCTS }, constants, step, dataWords, { PURPOSE }] =
    await load(
      'asm/abi/elementwise.ts',
      'asm/abi/loss.ts',
      'asm/lowering/index.ts',
      'asm/abi/fields.ts',
      'asm/abi/constants.ts',
      'runtime/ir/step.ts',
      'runtime/data/words.ts',
      'runtime/base/philox.ts',
    );
  const parts = [
    '// Written by asm/abi/generate.mjs (npm run build:asm): do not edit.',
    ...Object.entries(constants).map(([name, value]) => `export const ${name} = ${value};`),
    ...stepGetters(step),
    ...Object.entries(STRUCTS).map(([name, fields]) => classOf(capitalised(name), fields, STRUCTS)),
    ...Object.entries(KERNELS).map(([name, fields]) => classOf(`${capitalised(name)}Args`, fields, STRUCTS)),
  ];
  const files = {
    'lib/abi.gen.ts': `${parts.join('\n')}\n`,
    'lib/activations.gen.ts': activationsSource(),
    'lib/elementwise.gen.ts': elementwiseSource(),
    'lib/loss-terms.gen.ts': lossTermsSource(),
    'data/args.gen.ts': dataArguments(dataWords, PURPOSE),
  };
  return { files, kernels: Object.keys(KERNELS), STATIC_DATA: constants.STATIC_DATA };
}

/** `rows()`, `learningRate()`: the words of the step block. */
function stepGetters({ STEP_HEAD, SCALARS }) {
  const words = [...Object.entries(STEP_HEAD), ...SCALARS.map((name) => [name, 'f32'])];
  return [
    '/** Address of the step block. */',
    '// @ts-ignore: decorator\n@external("env", "step")\nexport declare const STEP: usize;',
    ...words.map(
      ([name, type], i) =>
        `// @ts-ignore: decorator\n@inline\nexport function ${name}(): ${type} {\n  return load<${type}>(STEP, ${4 * i});\n}`,
    ),
  ];
}

/** Classes over the arguments of data kernels, and the purposes of their draws. */
function dataArguments({ HEADER, KERNEL_WORDS, KERNEL_PURPOSES }, { shuffle }) {
  const fields = (words) => words.map((word) => `  ${word}: f64;\n`).join('');
  const classes = Object.entries(KERNEL_WORDS).map(([kernel, words]) => {
    const name = `${capitalised(kernel)}Args`;
    const single = words.filter((word) => !word.endsWith('[]'));
    if (words.slice(0, single.length).some((word) => word.endsWith('[]'))) throw new Error(`${kernel}: lists come last`);
    const lists = words.slice(single.length).map((word, i) => {
      const at = `changetype<usize>(this) + offsetof<${name}>() + ((<usize>(${i} * <i32>this.channels + k)) << 3)`;
      return `  ${word.slice(0, -2)}(k: i32): f64 {\n    return load<f64>(${at});\n  }\n`;
    });
    return `// @ts-ignore: decorator\n@unmanaged\nexport class ${name} extends DataArgs {\n${fields(single)}${lists.join('')}}\n`;
  });
  const purposes = Object.entries({ ...KERNEL_PURPOSES, shuffle });
  return [
    '// Written by asm/abi/generate.mjs (npm run build:asm) from runtime/data/words.ts: do not edit.\n',
    ...purposes.map(([kernel, purpose]) => `export const ${kernel.toUpperCase()}_PURPOSE: u32 = ${purpose};\n`),
    `// @ts-ignore: decorator\n@unmanaged\nexport class DataArgs {\n${fields(HEADER)}}\n`,
    ...classes,
  ].join('');
}

/** The words of a structure that is a field, and of those in it. */
const flatten = (field, kind, structs) =>
  kind in TYPES ? [[field, kind]] : Object.entries(structs[kind]).flatMap(([word, type]) => flatten(`${field}_${word}`, type, structs));

/** A class over an argument block. The fields of structures stand in line, which a getter gives as their class; a list follows behind. */
function classOf(name, fields, structs) {
  const lines = [];
  for (const [i, [field, kind]] of Object.entries(fields).entries()) {
    if (Array.isArray(kind)) {
      if (i !== Object.keys(fields).length - 1) throw new Error(`${name}: ${field} is a list, and only the last field can be one`);
      const entry = capitalised(kind[0]);
      const from = `changetype<usize>(this) + offsetof<${name}>() + <usize>i * offsetof<${entry}>()`;
      lines.push(`${field}: i32;`, `at(i: i32): ${entry} {\n    return changetype<${entry}>(${from});\n  }`);
    } else if (kind in TYPES) {
      lines.push(`${field}: ${TYPES[kind]};`);
    } else {
      const words = flatten(field, kind, structs);
      for (const [word, type] of words) lines.push(`${word}: ${TYPES[type]};`);
      const offset = `offsetof<${name}>("${words[0][0]}")`;
      lines.push(
        `get ${field}(): ${capitalised(kind)} {\n    return changetype<${capitalised(kind)}>(changetype<usize>(this) + ${offset});\n  }`,
      );
    }
  }
  return `// @ts-ignore: decorator\n@unmanaged\nexport class ${name} {\n${lines.map((line) => `  ${line}\n`).join('')}}`;
}
