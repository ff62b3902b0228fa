// What the build writes for kernels: asm/lib/abi.gen.ts, what they know of the ABI, from the tables that the host uses (asm/abi/constants.ts,
// asm/abi/kernels.ts and runtime/ir/step.ts), and the kernels that are made of formulas (asm/abi/elementwise.ts).

import { readFile } from 'node:fs/promises';
import ts from 'typescript';

/** A TypeScript file as a module. (Node 20 cannot import it as it is.) */
const load = async (path) => import(await asModule(new URL(path, import.meta.url)));

/** Address of a module without types, its imports likewise. */
async function asModule(url) {
  const { outputText } = ts.transpileModule(await readFile(url, 'utf8'), {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
  });
  let code = outputText;
  for (const [statement, path] of outputText.matchAll(/from '(\.[^']+)'/g))
    code = code.replace(statement, `from '${await asModule(new URL(path, url))}'`);
  return `data:text/javascript;base64,${Buffer.from(code).toString('base64')}`;
}

const TYPES = { ptr: 'usize', 'ptr?': 'usize', i32: 'i32', flag: 'i32', f32: 'f32', f64: 'f64' };
const capitalised = (name) => name[0].toUpperCase() + name.slice(1);

/** The files of asm/lib by name, the names of the kernels that there have to be, and where their static data begins. */
export async function generate() {
  const { activationsSource, elementwiseSource } = await load('elementwise.ts');
  const { KERNELS, STRUCTS } = await load('kernels.ts');
  const constants = await load('constants.ts');
  const parts = [
    '// Written by asm/abi/generate.mjs (npm run build:asm): do not edit.',
    ...Object.entries(constants).map(([name, value]) => `export const ${name} = ${value};`),
    ...stepGetters(await load('../../runtime/ir/step.ts')),
    ...Object.entries(STRUCTS).map(([name, fields]) => classOf(capitalised(name), fields, STRUCTS)),
    ...Object.entries(KERNELS).map(([name, fields]) => classOf(`${capitalised(name)}Args`, fields, STRUCTS)),
  ];
  const files = {
    'abi.gen.ts': `${parts.join('\n')}\n`,
    'activations.gen.ts': activationsSource(),
    'elementwise.gen.ts': elementwiseSource(),
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
