// The bytes of an image file as the pixels that a model takes: by sharp. In a page, picture.browser.ts.

import type { decodeImage } from './image-file.ts';

/** As `decodeImage`. What decodes is loaded with the first picture. */
export const decodePicture: typeof decodeImage = async (image, options) => (await import('./image-file.ts')).decodeImage(image, options);
