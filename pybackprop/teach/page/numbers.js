// How numbers are read and shown.
(function (bp) {
  "use strict";

  const MINUS = "\u2212";

  function special(value) {
    if (Number.isNaN(value)) return "NaN";
    return value > 0 ? "\u221e" : MINUS + "\u221e";
  }

  /** A number in about `digits` significant digits, without zeros at its end. */
  function rounded(value, digits) {
    if (!Number.isFinite(value)) return special(value);
    if (value === 0) return "0";
    const size = Math.abs(value);
    const text = size >= 1e5 || size < 1e-4
      ? value.toExponential(Math.max(0, digits - 2)).replace(/\.?0+e/, "e").replace("e+", "e")
      : String(Number(value.toPrecision(digits)));
    return text.replaceAll("-", MINUS);
  }

  /** For a cell of a matrix. */
  bp.short = (value) => rounded(value, 3);

  /** For a term or a total: seven digits are what a float32 holds. */
  bp.long = (value) => rounded(value, 7);

  /** For an input element: a plain decimal that JavaScript reads back. */
  bp.plain = (value) => (Number.isFinite(value) ? String(Number(value.toPrecision(7))) : "");

  bp.clamp = (value, low, high) => Math.min(Math.max(value, low), high);
})(globalThis.pybackprop ??= {});
