// The three matrix products of a lin layer, right and wrong ways to write each. Pure functions.
(function (bp) {
  "use strict";

  const ref = (name, { g = false, t = false } = {}) => ({ name, g, t });
  const G = { g: true };
  const T = { t: true };
  const GT = { g: true, t: true };

  function forms({ in: x, w, out }) {
    return {
      forward: [[ref(x), ref(w)], [ref(x), ref(w, T)], [ref(w), ref(x)]],
      w: [[ref(x, T), ref(out, G)], [ref(out, G), ref(x, T)], [ref(x), ref(out, G)], [ref(out, GT), ref(x)]],
      x: [[ref(out, G), ref(w, T)], [ref(out, G), ref(w)], [ref(w, T), ref(out, G)], [ref(w), ref(out, GT)]],
    };
  }

  const targets = ({ in: x, w, out }) => ({ forward: ref(out), w: ref(w, G), x: ref(x, G) });

  const labelOf = ({ name, g, t }) => name + (g ? ".g" : "") + (t ? ".T" : "");

  /** An operand with its numbers: label, rows, columns, at(row, column), and where an element comes from. */
  function operand(net, { values, grads }, which) {
    const { rows, columns } = net.tensors.get(which.name);
    const numbers = (which.g ? grads : values).get(which.name);
    const source = (r, c) => (which.t ? [c, r] : [r, c]);
    return {
      ...which,
      label: labelOf(which),
      rows: which.t ? columns : rows,
      columns: which.t ? rows : columns,
      source,
      at: (r, c) => { const [i, j] = source(r, c); return numbers[i * columns + j]; },
    };
  }

  bp.linLayers = (net) => net.layers.filter(({ op }) => op === "lin");

  bp.formLabels = (layer, kind) => forms(layer)[kind].map((pair) => pair.map(labelOf).join(" @ "));

  /** One product: {left, right, target, fits, sameShape, isRight, label}. form 0 is the right one. */
  bp.product = function (net, run, layer, kind, form) {
    const [left, right] = forms(layer)[kind][form].map((which) => operand(net, run, which));
    const target = operand(net, run, targets(layer)[kind]);
    const fits = left.columns === right.rows;
    const sameShape = fits && left.rows === target.rows && right.columns === target.columns;
    return { layer, kind, form, left, right, target, fits, sameShape, isRight: form === 0, label: `${left.label} @ ${right.label}` };
  };

  /** Terms of the element [row, column] of a product: {k, left, right, product, partial} each. */
  bp.productTerms = function (net, { left, right }, row, column) {
    const sum = new net.Numbers(1);
    return Array.from({ length: left.columns }, (_, k) => {
      const [a, b] = [left.at(row, k), right.at(k, column)];
      sum[0] += a * b;
      return { k, left: a, right: b, product: net.Numbers.of(a * b)[0], partial: sum[0] };
    });
  };

  // ---- what a product is, or why it is not ----

  const shape = ({ label, rows, columns }) => `${label} is ${rows} \u00d7 ${columns}`;

  function misfit({ left, right }) {
    return `${shape(left)}, ${shape(right)}: the inner dimensions, ${left.columns} and ${right.rows}, do not fit. ` +
      "The elements of a row of the first and of a column of the second cannot be paired.";
  }

  function otherShape({ left, right, target }) {
    return `It runs, but gives ${left.rows} \u00d7 ${right.columns}, and ${shape(target)}.`;
  }

  const RIGHT = {
    forward: ({ layer: { in: x, w, out } }) =>
      `${out}[i,j] is the sum of ${x}[i,k] ${w}[k,j] over k: row i of ${x} times column j of ${w}`,
    w: ({ layer: { in: x, w, out } }) =>
      `${w}[k,j] moves column j of ${out}, in row i by ${x}[i,k]. So its gradient is the sum of ${x}[i,k] ${out}.g[i,j] over the rows i: ` +
      `the index that is summed over must be the inner one, hence ${x}.T`,
    x: ({ layer: { in: x, w, out } }) =>
      `${x}[i,k] moves row i of ${out}, in column j by ${w}[k,j]. So its gradient is the sum of ${out}.g[i,j] ${w}[k,j] over the columns j: ` +
      `the index that is summed over must be the inner one, hence ${w}.T`,
  };

  /** What element [0,0] of a product is computed from: rows of the first, columns of the second, as stored in memory. */
  function madeOf({ left, right }) {
    const named = ({ name, g }) => name + (g ? ".g" : "");
    return `${left.t ? "column" : "row"} 0 of ${named(left)} and ${right.t ? "row" : "column"} 0 of ${named(right)}`;
  }

  const WRONG = {
    forward: ({ in: x, w, out }) => `${out}[0,0] needs row 0 of ${x} and column 0 of ${w}`,
    w: ({ in: x, w, out }) =>
      `${w}[0,0] moves column 0 of ${out}, every row, not row 0, and row i by ${x}[i,0]: it needs column 0 of both`,
    x: ({ in: x, w, out }) => `${x}[0,0] moves row 0 of ${out}, and column j by ${w}[0,j]: it needs row 0 of both`,
  };

  const byAccident = (product) =>
    `The shape is right by accident. Element [0,0] is computed from ${madeOf(product)}, but ${WRONG[product.kind](product.layer)}.`;

  const transposed = (target) =>
    `The shape is right by accident: this is the right answer transposed, with [j,k] in place of [k,j]. ${target.label} needs the other order.`;

  const isTransposed = ({ form, kind }) => form === 3 && kind !== "forward";

  /** One or two sentences about a product; {ok, text}. */
  bp.verdict = function (product) {
    if (!product.fits) return { ok: false, text: misfit(product) };
    if (!product.sameShape) return { ok: false, text: otherShape(product) };
    if (product.isRight) return { ok: true, text: RIGHT[product.kind](product) + "." };
    if (isTransposed(product)) return { ok: false, text: transposed(product.target) };
    return { ok: false, text: byAccident(product) };
  };
})(globalThis.pybackprop ??= {});
