// How wide a number is in a cell, so that a column is as wide as its numbers need.
(function (bp) {
  "use strict";

  const SPARE = 11; // pixels in a cell beside its text
  const LEAST = "\u22120.000"; // what a cell has room for at least, so that a drag makes nothing wider
  const SAMPLE = 4000; // numbers of a tensor that are looked at

  let font = null;
  const known = new Map();

  /** The width of a text in a cell, in pixels; digits are all equally wide. */
  bp.widthOf = function (text) {
    if (font === null) {
      font = document.createElement("canvas").getContext("2d");
      font.font = `500 12.5px ${getComputedStyle(document.body).getPropertyValue("--plain")}`;
    }
    let width = 0;
    for (const letter of text) {
      if (!known.has(letter)) known.set(letter, font.measureText(letter >= "1" && letter <= "9" ? "0" : letter).width);
      width += known.get(letter);
    }
    return width;
  };

  /** The width of a column that shows these numbers. */
  bp.columnWidth = function (...arrays) {
    let widest = bp.widthOf(LEAST);
    for (const numbers of arrays) {
      const stride = Math.ceil(numbers.length / SAMPLE);
      for (let k = 0; k < numbers.length; k += stride) widest = Math.max(widest, bp.widthOf(bp.short(numbers[k])));
    }
    return 2 * Math.ceil((widest + SPARE) / 2);
  };

  /** A number in as many digits as a column has room for, three at most. */
  bp.fitted = function (value, width, write = bp.short) {
    if (value === null) return "\u00b7"; // not written
    for (const text of [write(value), write(Number(value.toPrecision(2))), write(Number(value.toPrecision(1)))]) {
      if (bp.widthOf(text) <= width - SPARE + 5) return text;
    }
    return value.toExponential(0).replace("e+", "e").replaceAll("-", "\u2212");
  };
})((globalThis.pybackprop ??= {}));
