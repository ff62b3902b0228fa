import { expect, it } from 'vitest';
import { classesOf } from '../../app/sources/label-values.ts';
import { HybridError } from '../../runtime/base/errors.ts';

it('numbers beside names are names, in one order whatever comes first', () => {
  const values = [10, 9, '5x'];
  for (const order of [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
  ]) {
    const { classes, labelsOf } = classesOf({ path: 'x', values: [order.map((i) => values[i])] });
    expect([classes, [...labelsOf(values)]]).toEqual([
      ['10', '5x', '9'],
      [0, 2, 1],
    ]);
  }
  expect([...classesOf({ path: 'x', values: [[1, '1', 'a']] }).labelsOf([1, '1', 'a'])]).toEqual([0, 0, 1]);
});

it('a negative label beside names for others is refused, and no name shifted', () => {
  const names = ['a', 'b', 'c'];
  expect(() =>
    classesOf({
      path: 'x',
      values: [
        [0, 1, 2],
        [0, -1, 1],
      ],
      names,
    }),
  ).toThrow(HybridError);
  expect(() =>
    classesOf({
      path: 'x',
      values: [
        [0, 1, 2],
        [0, -1, 1],
      ],
      names,
    }),
  ).toThrow(/label -1, which none of its 3 names/);
  expect(classesOf({ path: 'x', values: [[-1, 1]], names: ['no', 'yes'] }).classes).toEqual(['no', 'yes']);
});
