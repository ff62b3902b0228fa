// Layers that put zeros around an image, or cut some of it off.

import { defineLayer, type Site } from './define-layer.ts';
import { fixed, type Margins, margins, optional, whole } from './kinds.ts';

const image = { dataFormat: fixed('channels_last') };

export const ZeroPadding2D = defineLayer({
  type: 'ZeroPadding2D',
  config: {
    padding: optional(margins, [
      [1, 1],
      [1, 1],
    ]),
    ...image,
  },
  build: (site) => framed(site, site.config.padding, 1),
});

export const Cropping2D = defineLayer({
  type: 'Cropping2D',
  config: {
    cropping: optional(margins, [
      [0, 0],
      [0, 0],
    ]),
    ...image,
  },
  build: (site) => framed(site, site.config.cropping, -1),
});

/** The middle. */
export const CenterCrop = defineLayer({
  type: 'CenterCrop',
  config: { height: whole(), width: whole(), ...image },
  build(site) {
    const { config, shape, refuse } = site;
    const [rows, columns] = [shape[0] - config.height, shape[1] - config.width];
    if (!(rows >= 0 && columns >= 0))
      return refuse(
        `leaves ${config.height}×${config.width} pixels of ${shape[0]}×${shape[1]}`,
        'Give it larger images: none are enlarged here.',
      );
    const [top, left] = [Math.floor(rows / 2), Math.floor(columns / 2)];
    return framed(
      site,
      [
        [top, rows - top],
        [left, columns - left],
      ],
      -1,
    );
  },
});

function framed({ g, x, shape, refuse }: Site<unknown>, [[top, bottom], [left, right]]: Margins, sign: 1 | -1): number {
  if (shape.length !== 3)
    refuse(`reads an image [height, width, channels], but was given [${shape.join(', ')}]`, 'Let it read a layer before Flatten.');
  const [height, width, channels] = [shape[0] + sign * (top + bottom), shape[1] + sign * (left + right), shape[2]];
  if (height < 1 || width < 1) refuse(`leaves nothing of ${shape[0]}×${shape[1]} pixels`, 'Cut off less.');
  return g.one('frame', { x }, { offset: [sign * top || 0, sign * left || 0, 0], shape: [height, width, channels] });
}
