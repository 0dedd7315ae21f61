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
    const text =
      size >= 1e5 || size < 1e-3
        ? value
            .toExponential(Math.max(0, digits - 1))
            .replace(/\.?0+e/, "e")
            .replace("e+", "e")
        : String(Number(value.toPrecision(digits)));
    return text.replaceAll("-", MINUS);
  }

  /** For a cell of a matrix: three digits, of which four places after the point are seen. */
  bp.short = function (value) {
    const size = Math.abs(value);
    return size >= 1e-3 && size < 1 ? rounded(Number(value.toFixed(4)), 3) : rounded(value, size < 1e-3 ? 2 : 3);
  };

  /** Whether bp.short leaves nothing out that a float32 holds. */
  bp.isShort = (value) => Math.abs(Number(bp.short(value).replace("\u2212", "-")) - value) <= 1e-6 * Math.abs(value);

  /** With its sign, as a difference has it. */
  bp.signed = (value) => (value > 0 ? `+${bp.short(value)}` : bp.short(value));

  /** As a factor: a negative one is in brackets. */
  bp.factor = (value) => (value < 0 ? `(${bp.short(value)})` : bp.short(value));

  /** For a term or a total: seven digits are what a float32 holds. */
  bp.long = (value) => rounded(value, 7);

  /** For measured numbers, whose last digits are noise. */
  bp.measured = (value) => rounded(Number(value.toPrecision(5)), 5);

  /** For an input element: a plain decimal that JavaScript reads back. */
  bp.plain = (value) => (Number.isFinite(value) ? String(Number(value.toPrecision(7))) : "");

  bp.clamp = (value, low, high) => Math.min(Math.max(value, low), high);
})((globalThis.pybackprop ??= {}));
