// What the reader's formula gives, on the numbers of the page, and which terms one of its elements adds up.
// A value is {shape, rows, columns, data, name(row, column)}; name is null for what has no name of its own.
(function (bp) {
  "use strict";

  const FUNCTIONS = {
    "+": (a, b) => a + b,
    "-": (a, b) => a - b,
    "*": (a, b) => a * b,
    "/": (a, b) => a / b,
    ">": (a, b) => Number(a > b),
  };

  function value(shape, name = null) {
    const [rows, columns] = shape.length === 2 ? shape : [1, shape[0] ?? 1];
    return { shape, rows, columns, data: new Float64Array(rows * columns), name };
  }

  const told = ({ shape }) => (shape.length ? `(${shape.join(" \u00d7 ")})` : "a number");

  // ---- names ----

  /** The names that a formula uses. */
  bp.namesIn = ({ name, parts = [] }) => [...(name ? [name] : []), ...parts.flatMap(bp.namesIn)];

  const LESSONS = { inp: "in", w: "w", b: "b", out: "out" };

  /** Whether a formula speaks of a layer as the lesson does, whose out is the layer's own. */
  bp.isLessons = function (net, { op }, tree) {
    const names = bp.namesIn(tree);
    const isOnlyOut = op === "lin" && names.length > 0 && names.every((name) => name === "out");
    return isOnlyOut || names.some((name) => ["inp", "w", "b"].includes(name) && !net.tensors.has(name));
  };

  /** What the lesson's names in a formula mean for a layer: [name, tensor] pairs, where they are not the same. */
  bp.lessonsNames = (net, layer, tree) =>
    Object.entries(LESSONS)
      .filter(([name]) => bp.namesIn(tree).includes(name) && (name === "out" || !net.tensors.has(name)))
      .map(([name, slot]) => [name, layer[slot]])
      .filter(([name, called]) => called != null && called !== name);

  /** What a name means: [tensor or null, whether its gradient]; the lesson's are those of the operation that reads the chosen element. */
  bp.tensorCalled = function ({ net, at, isLessons }, name) {
    const { layer } = bp.readerOf(net, at.name);
    if (isLessons && name === "out") return [layer.out, false];
    const known = new Map(
      Object.entries({ z: layer.out, inp: layer.in, w: layer.w, b: layer.b, dz: layer.out, dout: layer.out }),
    );
    return net.tensors.has(name) ? [name, false] : [known.get(name) ?? null, name.startsWith("d")];
  };

  function read(scope, name, isGradient) {
    const { net, run, at } = scope;
    if (name === "size")
      return Object.assign(value([]), { data: Float64Array.of(run.values.get(net.layers.at(-1).in).length) });
    const [called, isArriving] = bp.tensorCalled(scope, name);
    if (called == null)
      throw new bp.FormulaError(
        `There is no ${name} here; there are ${[...net.tensors.keys()].join(", ")}, and the lesson's inp, w, b and out.`,
      );
    const g = isGradient || isArriving;
    if (g && called === at.name)
      throw new bp.FormulaError(`${called}.g is what is asked for: use what is known before it.`);
    const numbers = (g ? run.grads : run.values).get(called);
    if (!numbers) throw new bp.FormulaError(`${called} has no gradient here.`);
    const made = value(net.tensors.get(called).shape, (row, column) =>
      bp.elementName(net, { name: called, row, column }, g ? ".g" : ""),
    );
    made.data.set(numbers);
    return made;
  }

  // ---- operations ----

  function matmul(a, b) {
    const [left, right] = [a, b].map((each) => `${told(each)}`);
    if (!a.shape.length || !b.shape.length) throw new bp.FormulaError("@ needs two matrices: for a number write *.");
    const inner = b.shape.length === 1 ? b.columns : b.rows;
    if (a.columns !== inner) {
      throw Object.assign(
        new bp.FormulaError(`${left} @ ${right}: the inner dimensions, ${a.columns} and ${inner}, do not fit.`),
        { isMisfit: true },
      );
    }
    const columns = b.shape.length === 1 ? 1 : b.columns;
    const made = value([...(a.shape.length === 1 ? [] : [a.rows]), ...(b.shape.length === 1 ? [] : [columns])]);
    for (let i = 0; i < a.rows; i++) {
      for (let k = 0; k < inner; k++)
        for (let j = 0; j < columns; j++) made.data[i * columns + j] += a.data[i * inner + k] * b.data[k * columns + j];
    }
    return made;
  }

  function elementwise(kind, a, b) {
    const fits = (x, y) => x === y || x === 1 || y === 1;
    if (!fits(a.rows, b.rows) || !fits(a.columns, b.columns)) {
      throw Object.assign(
        new bp.FormulaError(`${told(a)} ${kind} ${told(b)}: element by element, these sizes do not fit.`),
        { isMisfit: true, isElementwise: true },
      );
    }
    const [rows, columns] = [Math.max(a.rows, b.rows), Math.max(a.columns, b.columns)];
    const depth = Math.max(a.shape.length, b.shape.length);
    const made = value(depth === 2 ? [rows, columns] : depth === 1 ? [columns] : []);
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < columns; j++) made.data[i * columns + j] = FUNCTIONS[kind](pick(a, i, j), pick(b, i, j));
    return made;
  }

  const place = ({ rows, columns }, i, j) => [rows === 1 ? 0 : i, columns === 1 ? 0 : j];

  function pick(a, i, j) {
    const [row, column] = place(a, i, j);
    return a.data[row * a.columns + column];
  }

  function transpose(a) {
    if (a.shape.length < 2) return a;
    const made = value([a.columns, a.rows], a.name && ((row, column) => a.name(column, row)));
    for (let i = 0; i < a.rows; i++)
      for (let j = 0; j < a.columns; j++) made.data[j * a.rows + i] = a.data[i * a.columns + j];
    return made;
  }

  /** The axis of a sum; a negative one counts from the last, as in numpy. */
  const axisOf = ({ axis }, { shape }) => (axis !== null && axis < 0 ? axis + shape.length : axis);

  function sum(a, node, divide) {
    const axis = axisOf(node, a);
    if (axis !== null && (axis < 0 || axis >= a.shape.length))
      throw new bp.FormulaError(`.sum(${node.axis}): ${told(a)} has no axis ${node.axis}.`);
    const along = a.shape.length === 1 ? 1 : axis;
    const made = value(axis === null ? [] : a.shape.filter((_, k) => k !== axis));
    for (let i = 0; i < a.rows; i++) {
      for (let j = 0; j < a.columns; j++)
        made.data[axis === null || a.shape.length === 1 ? 0 : along === 0 ? j : i] += a.data[i * a.columns + j];
    }
    if (divide) made.data = made.data.map((total) => (total * made.data.length) / a.data.length);
    return made;
  }

  const EVALUATE = {
    number: (scope, node) => Object.assign(value([]), { data: Float64Array.of(node.value) }),
    name: (scope, node) => read(scope, node.name, false),
    gradient: (scope, node) => read(scope, node.name, true),
    transpose: (scope, node, a) => transpose(a),
    negative: (scope, node, a) => elementwise("*", Object.assign(value([]), { data: Float64Array.of(-1) }), a),
    "@": (scope, node, a, b) => matmul(a, b),
    sum: (scope, node, a) => sum(a, node, false),
    mean: (scope, node, a) => sum(a, node, true),
  };

  /** The value of a parsed formula; node.value is set for each part. scope: {net, run, at, isLessons}. Raises bp.FormulaError. */
  bp.evaluateFormula = function (scope, node) {
    const parts = (node.parts ?? []).map((part) => bp.evaluateFormula(scope, part));
    node.result = EVALUATE[node.kind] ? EVALUATE[node.kind](scope, node, ...parts) : elementwise(node.kind, ...parts);
    return node.result;
  };

  // ---- terms ----

  const factor = (a, row, column) => ({ name: a.name?.(row, column) ?? null, value: a.data[row * a.columns + column] });

  /** The terms that element [row, column] of an evaluated formula adds up: [{factors: [{name, value}], product}]. */
  bp.formulaTerms = function (node, row, column) {
    const [a, b] = (node.parts ?? []).map((part) => part.result);
    const term = (...factors) => ({ factors, product: factors.reduce((all, { value: by }) => all * by, 1) });
    if (node.kind === "@") {
      const inner = b.shape.length === 1 ? b.columns : b.rows;
      return Array.from({ length: inner }, (_, k) =>
        term(factor(a, row, k), b.shape.length === 1 ? factor(b, 0, k) : factor(b, k, column)),
      );
    }
    if (node.kind === "transpose" && a.shape.length === 2) return bp.formulaTerms(node.parts[0], column, row);
    if (node.kind === "*" && !b.shape.length) {
      const by = factor(b, 0, 0);
      return bp.formulaTerms(node.parts[0], row, column).map(({ factors }) => term(...factors, by));
    }
    if (node.kind === "*") return [term(factor(a, ...place(a, row, column)), factor(b, ...place(b, row, column)))];
    if (node.kind === "sum" && axisOf(node, a) === 0 && a.shape.length === 2) {
      return Array.from({ length: a.rows }, (_, i) => bp.formulaTerms(node.parts[0], i, column)).flat();
    }
    if (node.kind === "sum" && axisOf(node, a) === 1)
      return Array.from({ length: a.columns }, (_, j) => bp.formulaTerms(node.parts[0], column, j)).flat();
    return [term(factor(node.result, row, column))];
  };
})((globalThis.pybackprop ??= {}));
