// The sum of a product's element in words and numbers: its terms so far, or why there are none. Functions of what is shown.
(function (bp) {
  "use strict";

  const SEEN = 4; // terms of the sum that are written out

  /** How many terms are added: where nothing is summed, the only one. */
  bp.countAdded = ({ elementwise }, { k }) => (elementwise ? 1 : k);

  /** Whether the written factors are the numbers themselves, so that a reader who multiplies gets the same sum. */
  const areExact = ({ kind }, terms) =>
    terms.every(({ left, right }) => bp.isShort(right) && (kind === "b" || bp.isShort(left)));

  function whyMissing({ held, steps }, name) {
    const over = steps.find((step) => step.over === name);
    return held.get(name) === "overwritten"
      ? `${name} is overwritten: ${over.writes[0]} stands in its place`
      : `${name} is not there at this step of training`;
  }

  /** The terms, written out: all that are not 0 if they are few, else the last ones. */
  function added({ kind }, terms) {
    const write = (some) =>
      some
        .map(({ left, right }) => (kind === "b" ? bp.factor(right) : `${bp.factor(left)} \u00b7 ${bp.factor(right)}`))
        .join(" + ");
    if (terms.length <= SEEN) return write(terms);
    const others = terms.filter(({ product }) => product !== 0);
    if (!others.length || others.length > SEEN) return `\u2026 + ${write(terms.slice(-SEEN))}`;
    const zeros = terms.length - others.length;
    return `${write(others)} (${zeros === 1 ? "one more term is" : `${zeros} more terms are`} 0)`;
  }

  function substituted({ kind, rows, columns }, { left, right }) {
    if (kind === "relu") return `(${bp.short(left)} > 0) \u00b7 ${bp.factor(right)}`;
    return `2 (${bp.short(left)} \u2212 ${bp.factor(right)}) / ${rows * columns}`;
  }

  /** What the right product has at the place of a wrong one's whole sum. */
  function comparison({ net, view }, product, terms, { row, column, k }) {
    if (product.isRight || !product.sameShape || k < terms.length) return [];
    const right = bp.product(net, view.run, product.layer, product.kind, 0);
    const belongs = bp.isTransposed(product.kind, product.form)
      ? `, which belongs to ${right.target.label}[${column},${row}]`
      : "";
    const wanted = bp.productTerms(net, right, row, column).at(-1)?.partial ?? 0;
    return [`${belongs}. The right one, ${right.label}, has `, bp.html("b", {}, bp.long(wanted)), " there."];
  }

  /** The sum so far, its last terms written out, as nodes; at: {row, column, k}. */
  bp.productWords = function (app, product, terms, at) {
    if (!product.fits) return ["No element can be computed."];
    if (product.missing)
      return [`${whyMissing(app.view, product.missing.label.replace(/\.T$/, ""))}, so nothing can be added up.`];
    const { row, column } = at;
    const index = product.target.vector ? `[${column}]` : `[${row},${column}]`;
    const called = bp.html("code", {}, `(${product.label})${index}`);
    const some = terms.slice(0, bp.countAdded(product, at));
    const value = bp.html("b", {}, bp.long(some.at(-1)?.partial ?? 0));
    const sign = areExact(product, some) ? "=" : "\u2248";
    if (product.elementwise) return [called, ` = ${substituted(product, terms[0])} ${sign} `, value];
    const whole = some.length === terms.length ? "" : `, ${some.length} of ${terms.length} terms`;
    const written = some.length ? ` = ${added(product, some)} ${sign} ` : " = ";
    return [called, written, value, whole, ...comparison(app, product, terms, at)];
  };
})((globalThis.pybackprop ??= {}));
