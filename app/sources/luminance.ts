// Grey of colours.

/**
 * Grey as Pillow's `convert("L")` computes it, and with it Keras' `load_img` and torchvision: luma by ITU-R BT.601, 0.299 red + 0.587 green +
 * 0.114 blue of the stored values, in 16 bits of fraction. (The library's own conversion is by the BT.709 weights of linear light: a pure red is 127
 * there, and 76 in the pictures that a model of another program has seen.)
 */
export function luminance(colours: Uint8Array): Uint8Array {
  return Uint8Array.from({ length: colours.length / 3 }, (_, i) => {
    const [red, green, blue] = [colours[3 * i], colours[3 * i + 1], colours[3 * i + 2]];
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
  });
}
