// The gradient of one element as a formula, in MathML, with this element's indices.
(function (bp) {
  "use strict";

  const { math } = bp;
  const name = (text) => math("mi", {}, text);
  const number = (text) => math("mn", {}, String(text));
  const sign = (text) => math("mo", {}, text);
  const row = (...children) => math("mrow", {}, ...children);

  /** w1 with the indices 3,7 below it; letters stay letters. */
  function at(called, ...indices) {
    if (!indices.length) return name(called);
    const letters = indices.flatMap((index, k) => [
      ...(k ? [sign(",")] : []),
      typeof index === "number" ? number(index) : name(index),
    ]);
    return math("msub", {}, name(called), row(...letters));
  }

  const partial = (above, below) => math("mfrac", {}, row(sign("\u2202"), above), row(sign("\u2202"), below));

  const sum = (letter, count, ...body) =>
    row(math("munderover", {}, sign("\u2211"), row(name(letter), sign("="), number(0)), number(count - 1)), ...body);

  const times = () => sign("\u00b7");

  // ---- what each kind of element adds up ----

  const transposed = (called) => math("msup", {}, name(called), math("mi", { mathvariant: "normal" }, "T"));
  const product = (left, right) => row(sign("("), left, sign("@"), right, sign(")"));
  const below = (body, ...indices) =>
    math("msub", {}, body, row(...indices.flatMap((index, k) => [...(k ? [sign(",")] : []), number(index)])));

  const KINDS = {
    w: (net, { in: x, out }, { row: k, column: j }) => ({
      moved: at(out, "i", j),
      over: ["i", net.n],
      terms: [at(x, "i", k), times(), at(`${out}.g`, "i", j)],
      whole: below(product(transposed(x), name(`${out}.g`)), k, j),
    }),
    b: (net, { out }, { column: j }) => ({
      moved: at(out, "i", j),
      over: ["i", net.n],
      terms: [at(`${out}.g`, "i", j)],
      whole: below(row(name(`${out}.g`), sign("."), name("sum"), sign("("), number(0), sign(")")), j),
    }),
    in: (net, { w, out }, { row: i, column: k }) => ({
      moved: at(out, i, "j"),
      over: ["j", net.tensors.get(out).columns],
      terms: [at(`${out}.g`, i, "j"), times(), at(w, k, "j")],
      whole: below(product(name(`${out}.g`), transposed(w)), i, k),
    }),
  };

  function ofRelu({ in: x, out }, { row: i, column: j }) {
    return {
      moved: at(out, i, j),
      over: null,
      terms: [sign("("), at(x, i, j), sign(">"), number(0), sign(")"), times(), at(`${out}.g`, i, j)],
      whole: null,
    };
  }

  function ofMse(net, { in: out, targ, out: loss }, slot, { row: i, column: j }) {
    const factor = math("mfrac", {}, number(2), number(bp.sizeOf(net.tensors.get(out))));
    const difference = [sign("("), at(out, i, j), sign("\u2212"), at(targ, i, j), sign(")")];
    return {
      moved: name(loss),
      over: null,
      terms: [...(slot === "targ" ? [sign("\u2212")] : []), factor, times(), ...difference],
      whole: null,
    };
  }

  function parts(net, { layer, slot }, element) {
    if (layer.op === "relu") return ofRelu(layer, element);
    if (layer.op === "mse") return ofMse(net, layer, slot, element);
    return KINDS[slot](net, layer, element);
  }

  function indicesOf(net, { name: called, row: i, column: j }) {
    const dimensions = net.tensors.get(called).shape.length;
    return dimensions === 2 ? [i, j] : dimensions === 1 ? [j] : [];
  }

  const line = (left, right) =>
    math("mtr", {}, math("mtd", {}, left), math("mtd", {}, sign("=")), math("mtd", {}, right));

  /** <math>: the sum over all paths, its terms by name, the whole matrix, and the number unless it is null. */
  bp.formula = function (net, element, total) {
    const loss = net.layers.at(-1).out;
    const indices = indicesOf(net, element);
    const own = () => at(element.name, ...indices);
    const reader = bp.readerOf(net, element.name);
    const { moved, over, terms, whole } = parts(net, reader, element);
    const chain =
      reader.layer.op === "mse"
        ? [partial(name(loss), own())]
        : [partial(name(loss), moved.cloneNode(true)), times(), partial(moved, own())];
    const added = (body) => (over ? sum(...over, ...body) : row(...body));
    const lines = [
      ...(reader.layer.op === "mse" ? [] : [line(partial(name(loss), own()), added(chain))]),
      line(at(`${element.name}.g`, ...indices), added(terms)),
      ...(whole ? [line(row(), whole)] : []),
      ...(total === null ? [] : [line(row(), number(bp.long(total)))]),
    ];
    return math("math", { display: "block" }, math("mtable", {}, ...lines));
  };
})((globalThis.pybackprop ??= {}));
