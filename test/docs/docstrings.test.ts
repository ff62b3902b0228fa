// What the package exports is documented where it is declared: every export of its entries, every public method of its classes, and every
// method of its interfaces. What the text says, people have to judge; `npm run docs:site` makes pages of it.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { expect, test } from 'vitest';

const runtime = fileURLToPath(new URL('../../runtime', import.meta.url));
const entries = [
  join(runtime, 'index.ts'),
  ...readdirSync(join(runtime, 'entries'))
    .filter((file) => !file.startsWith('deprecated'))
    .map((file) => join(runtime, 'entries', file)),
];

const parse = (path: string): ts.SourceFile => ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest, true);
const isDocumented = (node: ts.Node): boolean => ts.getJSDocCommentsAndTags(node).length > 0;
const isPrivate = (member: ts.ClassElement): boolean =>
  ts.isConstructorDeclaration(member) ||
  (member.name !== undefined && ts.isPrivateIdentifier(member.name)) ||
  (ts.getCombinedModifierFlags(member) & (ts.ModifierFlags.Private | ts.ModifierFlags.Override)) !== 0;

/** The exported declarations of a file by name: where the docstring stands. */
function declarations(file: ts.SourceFile): Map<string, ts.Statement> {
  const found = new Map<string, ts.Statement>();
  for (const statement of file.statements) {
    if (ts.isVariableStatement(statement))
      for (const { name } of statement.declarationList.declarations) found.set(name.getText(), statement);
    else if (
      ts.isFunctionDeclaration(statement) ||
      ts.isClassDeclaration(statement) ||
      ts.isInterfaceDeclaration(statement) ||
      ts.isTypeAliasDeclaration(statement)
    )
      if (statement.name && !found.has(statement.name.text)) found.set(statement.name.text, statement);
  }
  return found;
}

test('every export has a docstring', () => {
  const files = new Map<string, Map<string, ts.Statement>>();
  const missing: string[] = [];
  let count = 0;
  const statements = entries.flatMap((entry) => parse(entry).statements.map((statement) => ({ entry, statement })));
  for (const { entry, statement } of statements) {
    if (!ts.isExportDeclaration(statement) || !statement.exportClause || !ts.isNamedExports(statement.exportClause)) continue;
    const path = join(dirname(entry), (statement.moduleSpecifier as ts.StringLiteral).text);
    const declared = files.get(path) ?? declarations(parse(path));
    files.set(path, declared);
    for (const { name, propertyName } of statement.exportClause.elements) {
      count++;
      const declaration = declared.get((propertyName ?? name).getText());
      expect(declaration, `${name.text} of ${path}`).toBeDefined();
      if (!declaration) continue;
      if (!isDocumented(declaration)) missing.push(`${name.text} (${path})`);
      const members = ts.isClassDeclaration(declaration)
        ? declaration.members.filter((member) => ts.isMethodDeclaration(member) && !isPrivate(member))
        : ts.isInterfaceDeclaration(declaration)
          ? declaration.members.filter(ts.isMethodSignature)
          : [];
      for (const member of members) {
        const method = member.name?.getText();
        // What every iterable and every disposable has says nothing new. Of overloads the first one is documented.
        const first = members.find((other) => other.name?.getText() === method);
        if (!method?.startsWith('[Symbol.') && !isDocumented(first ?? member)) missing.push(`${name.text}.${method} (${path})`);
      }
    }
  }
  expect(count).toBeGreaterThan(150);
  expect(missing).toEqual([]);
});
