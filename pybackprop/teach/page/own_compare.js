// What the reader's formula gives, compared with the gradient: how many elements are wrong, and in which simple way.
(function (bp) {
  "use strict";

  const CLOSE = 1e-4; // of the largest element

  bp.isClose = (found, wanted, scale) =>
    Object.is(found, wanted) || Math.abs(wanted - found) <= CLOSE * Math.abs(scale);

  /** How many elements of what a formula gives are wrong. */
  bp.countWrong = function (found, wanted) {
    const scale = wanted.reduce((most, g) => Math.max(most, Number.isFinite(g) ? Math.abs(g) : 0), 0) || 1;
    return wanted.reduce((count, g, k) => count + !bp.isClose(found[k], g, scale), 0);
  };

  /** By how much all of it is too large or too small; null where no one number says that. */
  bp.factorOf = function (found, wanted) {
    const largest = wanted.reduce((at, g, k) => (Math.abs(g) > Math.abs(wanted[at]) ? k : at), 0);
    const times = found[largest] / wanted[largest];
    if (!Number.isFinite(times) || times === 0) return null;
    return bp.countWrong(
      found,
      wanted.map((g) => g * times),
    )
      ? null
      : times;
  };

  /** Whether a result is the gradient with rows and columns exchanged. */
  bp.isTurned = function (result, { rows, columns, data }) {
    if (result.shape.length !== 2 || result.rows !== columns || result.columns !== rows) return false;
    const turned = data.map((_, k) => result.data[(k % columns) * rows + Math.floor(k / columns)]);
    return bp.countWrong(turned, data) === 0;
  };
})((globalThis.pybackprop ??= {}));
