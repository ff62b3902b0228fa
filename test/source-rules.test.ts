// Kinds of mistakes that were made once, look right, and can be seen in the source: none of them may come back.

import { readdirSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const files = ['runtime', 'app', 'cli', 'bench', 'asm', 'gpu', 'examples', 'scripts'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(ts|mjs)$/.test(file))
    .map((file) => `${folder}/${file.split(sep).join('/')}`),
);

/** Where `isWrong` finds a node so, as file:line: text. */
function findings(text: string, file: string, isWrong: (node: ts.Node) => boolean): string[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (isWrong(node)) {
      found.push(`${file}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1}: ${node.getText().split('\n')[0]}`);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

const everywhere = (isWrong: (node: ts.Node) => boolean): string[] =>
  files.flatMap((file) => findings(readFileSync(join(root, file), 'utf8'), file, isWrong));

const isAssignment = (kind: ts.SyntaxKind) => kind >= ts.SyntaxKind.FirstAssignment && kind <= ts.SyntaxKind.LastAssignment;

/** `a?.b(i++)`: the argument is not evaluated where there is no `a`, and what it was to change stays as it is. */
function changesSomethingInOptionalCall(node: ts.Node): boolean {
  if (!ts.isCallExpression(node) || !ts.isOptionalChain(node)) return false;
  const changes = (part: ts.Node): boolean => {
    if (ts.isFunctionLike(part)) return false; // it is a later call that changes something
    if (ts.isBinaryExpression(part) && isAssignment(part.operatorToken.kind)) return true;
    if (ts.isPostfixUnaryExpression(part) || ts.isDeleteExpression(part) || ts.isAwaitExpression(part)) return true;
    if (ts.isPrefixUnaryExpression(part) && /^(\+\+|--)/.test(part.getText())) return true;
    if (ts.isCallExpression(part) && /\.(push|pop|shift|unshift|splice|set|add|delete|next|sort|fill)$/.test(part.expression.getText()))
      return true;
    return ts.forEachChild(part, (child) => changes(child) || undefined) ?? false;
  };
  return node.arguments.some(changes);
}

it('an argument of an optional call changes nothing', () => {
  const seen = (text: string) => findings(text, 'x.ts', changesSomethingInOptionalCall).length;
  expect(seen('on?.((done += rows), all)')).toBe(1);
  expect(seen('on?.(list.shift()); a?.b(i++); a?.b.c(await d)')).toBe(3);
  expect(seen('on?.(done, all); on((done += rows)); a?.b(() => i++)')).toBe(0);
  expect(files.length).toBeGreaterThan(200);
  expect(everywhere(changesSomethingInOptionalCall)).toEqual([]);
});

/** `list.push(...more)`: an engine takes some 100,000 arguments, and ends with "Maximum call stack size exceeded" beyond. */
function spreadsIntoArguments(node: ts.Node): boolean {
  if (!ts.isCallExpression(node) || !node.arguments.some(ts.isSpreadElement)) return false;
  return /(^Math\.(max|min|hypot)|\.(push|unshift|splice|concat|apply|fromCharCode|fromCodePoint))$/.test(node.expression.getText());
}

it('no list that data may make long is spread into arguments', () => {
  const seen = (text: string) => findings(text, 'x.ts', spreadsIntoArguments).length;
  expect(seen('a.push(...b); Math.max(1, ...b.map(f)); String.fromCharCode(...bytes)')).toBe(3);
  expect(seen('[...a, ...b]; a.push(b); f(...two)')).toBe(0);
  // Below devices/ lists are as long as a graph has nodes.
  expect(everywhere(spreadsIntoArguments).filter((found) => /^(runtime|app|cli|bench\/[^/]+\.ts)/.test(found))).toEqual([]);
});

const lines = (file: string): number => readFileSync(join(root, file), 'utf8').trimEnd().split('\n').length;

it('no file has more than 500 lines: one that has holds several nouns', () => {
  const long = files.filter((file) => /^(asm|runtime|gpu|app|cli)\//.test(file) && !file.includes('.gen.') && lines(file) > 500);
  expect(long.map((file) => `${file}: ${lines(file)} lines`)).toEqual([]);
});

it('the training loop is 150 lines at most, and its run is one sentence', () => {
  expect(lines('runtime/train/loop.ts')).toBeLessThanOrEqual(150);
  const source = readFileSync(join(root, 'runtime/train/loop.ts'), 'utf8');
  const called = ['openTraining(', 'start(run)', 'runEpochs(run)', 'finish(run, reason)', 'run.close()'].map((call) =>
    source.indexOf(call),
  );
  expect([...called].sort((a, b) => a - b)).toEqual(called);
  expect(called[0]).toBeGreaterThan(0);
});
