// What a product is, or why it is not what it should be, in one or two sentences. Pure functions.
(function (bp) {
  "use strict";

  const shape = ({ label, rows, columns }) => `${label} is ${rows} \u00d7 ${columns}`;

  function misfit({ left, right }) {
    return (
      `${shape(left)}, ${shape(right)}: the inner dimensions, ${left.columns} and ${right.rows}, do not fit. ` +
      "The elements of a row of the first and of a column of the second cannot be paired."
    );
  }

  bp.TURNED = "transposed, with [j,k] in place of [k,j]";

  function otherShape({ left, right, target, kind, form }) {
    const turned = bp.isTransposed(kind, form) ? `: this is the right answer ${bp.TURNED}` : "";
    return `It runs, but gives ${left.rows} \u00d7 ${right.columns}, and ${shape(target)}${turned}.`;
  }

  // ---- right ----

  const ADDS = "@ adds over columns of its left factor and rows of its right one";

  const RIGHT = {
    forward: ({ in: x, w, b, out }, r, c) =>
      `${out}[${r},${c}] is the sum of ${x}[${r},k] ${w}[k,${c}] over k, row ${r} of ${x} times column ${c} of ${w}` +
      (b === null ? "" : `, and of ${b}[${c}]`),
    w: ({ in: x, w, out }, r, c) =>
      `${w}.g[${r},${c}] is the sum of ${x}[i,${r}] ${out}.g[i,${c}] over the rows i. ${ADDS}, and i is a row of ${x}: ` +
      `so ${x} is transposed, and on the left: its row ${r} gives row ${r} of ${w}.g`,
    x: ({ in: x, w, out }, r, c) =>
      `${x}.g[${r},${c}] is the sum of ${out}.g[${r},j] ${w}[${c},j] over the columns j. ${ADDS}, and j is a column of ${w}: ` +
      `so ${w} is transposed, and on the right: its column ${c} gives column ${c} of ${x}.g`,
    b: ({ b, out }, r, c) =>
      `${b}[${c}] was added in every row, so ${b}.g[${c}] is the sum of ${out}.g[i,${c}] over the rows i, each times 1: ` +
      `a row of ones times ${out}.g, which is what .sum(0) writes`,
    relu: ({ in: x, out }, r, c) =>
      `${x}[${r},${c}] moves ${out}[${r},${c}] and nothing else: by as much as itself if it is positive, else not at all. So nothing is summed`,
    mse: ({ in: out, targ }, r, c) =>
      `${out}[${r},${c}] moves only the loss, by the derivative of (${out}[${r},${c}] \u2212 ${targ}[${r},${c}])\u00b2 / size. So nothing is summed`,
    targ: ({ in: out, targ }, r, c) =>
      `${targ}[${r},${c}] moves only the loss, the other way than ${out}[${r},${c}]. So nothing is summed`,
  };

  // ---- wrong ----

  /** What an element of a product is computed from: a row of the first, a column of the second, as stored in memory. */
  function madeOf({ left, right }, r, c) {
    const named = ({ name, g }) => name + (g ? ".g" : "");
    return `${left.t ? "column" : "row"} ${r} of ${named(left)} and ${right.t ? "row" : "column"} ${c} of ${named(right)}`;
  }

  const WRONG = {
    forward: ({ in: x, w, out }, r, c) => `${out}[${r},${c}] needs row ${r} of ${x} and column ${c} of ${w}`,
    w: ({ in: x, w, out }, r, c) =>
      `${w}[${r},${c}] moves column ${c} of ${out}, every row of it, and row i by ${x}[i,${r}]: it needs column ${r} of ${x} and column ${c} of ${out}.g`,
    x: ({ in: x, w, out }, r, c) =>
      `${x}[${r},${c}] moves row ${r} of ${out}, and column j by ${w}[${c},j]: it needs row ${r} of ${out}.g and row ${c} of ${w}`,
  };

  const byAccident = (product, r, c) =>
    `The shape is right by accident. Element [${r},${c}] is computed from ${madeOf(product, r, c)}, but ${WRONG[product.kind](product.layer, r, c)}.`;

  const transposed = (target) =>
    `The shape is right by accident: this is the right answer ${bp.TURNED}. ${target.label} needs the other order.`;

  /** Whether a form of a product is the right one transposed. */
  bp.isTransposed = (kind, form) => form === 3 && kind !== "forward";

  /** About element [row, column] of a product: {ok, text}. */
  bp.verdict = function (product, { row, column }) {
    const { kind, layer, form } = product;
    if (!product.fits) return { ok: false, text: misfit(product) };
    if (!product.sameShape) return { ok: false, text: otherShape(product) };
    if (product.isRight) return { ok: true, text: `${RIGHT[kind](layer, row, column)}.` };
    if (bp.isTransposed(kind, form)) return { ok: false, text: transposed(product.target) };
    return { ok: false, text: byAccident(product, row, column) };
  };
})((globalThis.pybackprop ??= {}));
