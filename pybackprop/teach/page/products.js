// What collects an element: the products of a lin layer, right and wrong ways to write each, the sum of its bias, and what
// relu and mse compute for each element alone. Pure functions.
(function (bp) {
  "use strict";

  const ref = (name, { g = false, t = false } = {}) => ({ name, g, t });
  const G = { g: true };
  const T = { t: true };
  const GT = { g: true, t: true };

  function forms({ in: x, w, out }) {
    return {
      b: [[ref(null), ref(out, G)]],
      forward: [
        [ref(x), ref(w)],
        [ref(x), ref(w, T)],
        [ref(w), ref(x)],
      ],
      w: [
        [ref(x, T), ref(out, G)],
        [ref(out, G), ref(x, T)],
        [ref(x), ref(out, G)],
        [ref(out, GT), ref(x)],
      ],
      x: [
        [ref(out, G), ref(w, T)],
        [ref(out, G), ref(w)],
        [ref(w, T), ref(out, G)],
        [ref(w), ref(out, GT)],
      ],
    };
  }

  const targets = ({ in: x, w, b, out }) => ({ forward: ref(out), w: ref(w, G), x: ref(x, G), b: ref(b, G) });

  const labelOf = ({ name, g, t }) => (name ?? "ones") + (g ? ".g" : "") + (t ? ".T" : "");

  /** A row of ones: what sum(0) multiplies by. */
  const ones = ({ n }) => ({ name: null, label: "ones", rows: 1, columns: n, source: () => null, at: () => 1 });

  /** An operand with its numbers: label, rows, columns, at(row, column), and where an element comes from. */
  function operand(net, { values, grads }, which) {
    if (which.name === null) return ones(net);
    const { rows, columns } = net.tensors.get(which.name);
    const numbers = (which.g ? grads : values).get(which.name);
    const source = (r, c) => (which.t ? [c, r] : [r, c]);
    return {
      ...which,
      label: labelOf(which),
      rows: which.t ? columns : rows,
      columns: which.t ? rows : columns,
      source,
      at: (r, c) => {
        const [i, j] = source(r, c);
        return numbers[i * columns + j];
      },
    };
  }

  bp.linLayers = (net) => net.layers.filter(({ op }) => op === "lin");

  const labelOfPair = (kind, pair) => (kind === "b" ? `${labelOf(pair[1])}.sum(0)` : pair.map(labelOf).join(" @ "));

  const isElementwise = (kind) => kind === "relu" || kind === "mse" || kind === "targ";

  bp.formLabels = (layer, kind) =>
    isElementwise(kind) ? [elementwiseLabel(layer, kind)] : forms(layer)[kind].map((pair) => labelOfPair(kind, pair));

  /** Which products a layer has: "forward", "w", "x", "b"; "relu"; "mse", "targ". */
  bp.kindsOf = function (layer) {
    if (layer.op === "mse") return ["mse", "targ"];
    if (layer.op === "relu") return ["relu"];
    return layer.b === null ? ["forward", "w", "x"] : ["forward", "w", "x", "b"];
  };

  /** What a layer is called in the state: its weights, or its output. */
  bp.keyOf = ({ w, out }) => w ?? out;

  bp.layerOf = (net, key) => net.layers.find((layer) => bp.keyOf(layer) === key);

  /** The name of what a product computes, without .g. */
  bp.resultName = (layer, kind) => {
    const { in: x, w, b, targ, out } = layer;
    return { forward: out, w, x, b, relu: x, mse: x, targ }[kind];
  };

  /** What a product computes, as it is called. */
  bp.productLabel = (layer, kind) =>
    kind === "forward" && layer.b !== null
      ? bp.formLabels(layer, kind)[0]
      : bp.resultName(layer, kind) + (kind === "forward" ? "" : ".g");

  /** The product that collects an element's gradient, with its whole sum. */
  bp.productFor = function (net, { name, row, column }) {
    const { layer, slot } = bp.readerOf(net, name);
    const kind = layer.op === "lin" ? (slot === "in" ? "x" : slot) : slot === "targ" ? "targ" : layer.op;
    return bp.boundedProduct(net, { kind, w: bp.keyOf(layer), form: 0, row, column, k: Infinity });
  };

  // ---- what is computed for each element alone ----

  function elementwiseLabel(layer, kind) {
    if (kind === "relu") return `(${layer.in} > 0) * ${layer.out}.g`;
    const [first, second] = kind === "mse" ? [layer.in, layer.targ] : [layer.targ, layer.in];
    return `2 (${first} \u2212 ${second}) / size`;
  }

  /** {left, right, result}: the two operands at [row, column], and what they give. */
  function elementwise(net, { values, grads }, layer, kind) {
    const { rows, columns } = net.tensors.get(layer.in);
    const label = elementwiseLabel(layer, kind);
    const matrix = (name, numbers, g = false) => ({
      name,
      g,
      label: name + (g ? ".g" : ""),
      rows,
      columns,
      source: (r, c) => [r, c],
      at: (r, c) => numbers?.get(name)?.[r * columns + c],
    });
    const names =
      kind === "relu" ? [layer.in, layer.out] : kind === "mse" ? [layer.in, layer.targ] : [layer.targ, layer.in];
    const [left, right] = [
      matrix(names[0], values),
      kind === "relu" ? matrix(names[1], grads, true) : matrix(names[1], values),
    ];
    const factor = net.Numbers.of(2 / (rows * columns))[0];
    const give =
      kind === "relu" ? (a, b) => (a > 0 ? b : 0) : (a, b) => net.Numbers.of(net.Numbers.of(a - b)[0] * factor)[0];
    const target = { ...matrix(names[0], grads, true), at: (r, c) => give(left.at(r, c), right.at(r, c)) };
    return {
      layer,
      kind,
      form: 0,
      left: { ...left, columns: 1 },
      right: { ...right, rows: 1 },
      target,
      fits: true,
      sameShape: true,
      isRight: true,
      elementwise: true,
      label,
      operands: [left, right],
      result: target,
      rows,
      columns,
    };
  }

  /** One product: {left, right, target, fits, sameShape, isRight, label}. form 0 is the right one. */
  bp.product = function (net, run, layer, kind, form) {
    if (isElementwise(kind)) return elementwise(net, run, layer, kind);
    const [left, right] = forms(layer)[kind][form].map((which) => operand(net, run, which));
    const target = { ...operand(net, run, targets(layer)[kind]), vector: kind === "b" };
    if (kind === "forward") target.label = bp.productLabel(layer, kind); // what the bias is added to
    const fits = left.columns === right.rows;
    const sameShape = fits && left.rows === target.rows && right.columns === target.columns;
    return {
      layer,
      kind,
      form,
      left,
      right,
      target,
      fits,
      sameShape,
      isRight: form === 0,
      label: labelOfPair(kind, forms(layer)[kind][form]),
    };
  };

  /** The same product while only some values and gradients are there: those that are not have null in place of their numbers. */
  bp.asWritten = function (product, states) {
    const isHidden = ({ name, g }) => name !== null && bp.isHidden(states, g ? `${name}.g` : name);
    const mask = (matrix) => (isHidden(matrix) ? { ...matrix, at: () => null } : matrix);
    const { left, right, target, operands } = product;
    return {
      ...product,
      left: mask(left),
      right: mask(right),
      target: mask(target),
      operands: operands?.map(mask),
      result: product.result && mask(product.result),
      missing: [left, right].find(isHidden) ?? null,
      isAhead: isHidden(target),
    };
  };

  /** The element [row, column] of a product, its terms added in the library's order. */
  bp.productSum = function (net, { elementwise: isAlone, result, left, right }, row, column) {
    if (isAlone) return result.at(row, column);
    const sum = new net.Numbers(1);
    for (let k = 0; k < left.columns; k++) sum[0] += left.at(row, k) * right.at(k, column);
    return sum[0];
  };

  /** Terms of the element [row, column] of a product: {k, left, right, product, partial} each. */
  bp.productTerms = function (net, product, row, column) {
    if (product.elementwise) {
      const [a, b, made] = [...product.operands, product.result].map((matrix) => matrix.at(row, column));
      return [{ k: 0, left: a, right: b, product: made, partial: made }];
    }
    const { left, right } = product;
    const sum = new net.Numbers(1);
    return Array.from({ length: left.columns }, (_, k) => {
      const [a, b] = [left.at(row, k), right.at(k, column)];
      sum[0] += a * b;
      return { k, left: a, right: b, product: net.Numbers.of(a * b)[0], partial: sum[0] };
    });
  };
})((globalThis.pybackprop ??= {}));
