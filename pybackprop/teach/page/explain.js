// One element: what it moves, the terms of its gradient, the loss along it. Pure functions.
(function (bp) {
  "use strict";

  const range = (count) => Array.from({ length: count }, (_, k) => k);

  /** The layer that reads a tensor, and in which slot: {layer, slot}. No layer reads the loss. */
  bp.readerOf = function (net, name) {
    for (const layer of net.layers) {
      for (const slot of ["in", "w", "b", "targ"]) if (layer[slot] === name) return { layer, slot };
    }
    return null;
  };

  /** "w1[3,7]"; one index for a vector, none for a single number. */
  bp.elementName = function (net, { name, row, column }, suffix = "") {
    const dimensions = net.tensors.get(name).shape.length;
    return name + suffix + (dimensions === 2 ? `[${row},${column}]` : dimensions === 1 ? `[${column}]` : "");
  };

  // ---- what moves ----

  const MOVED = {
    w: (net, { in: x, out }, values, { row: k, column: j }) =>
      range(net.tensors.get(out).rows).map((i) => ({
        row: i,
        column: j,
        local: values.get(x)[i * net.tensors.get(x).columns + k],
        source: { name: x, row: i, column: k },
      })),
    b: (net, { out }, values, { column: j }) =>
      range(net.tensors.get(out).rows).map((i) => ({
        row: i,
        column: j,
        local: 1,
        source: null,
      })),
    in: (net, { w, out }, values, { row: i, column: k }) =>
      range(net.tensors.get(out).columns).map((j) => ({
        row: i,
        column: j,
        local: values.get(w)[k * net.tensors.get(out).columns + j],
        source: { name: w, row: k, column: j },
      })),
  };

  function movedByRelu(net, layer, values, { name, row, column }) {
    const value = values.get(name)[row * net.tensors.get(name).columns + column];
    return [{ row, column, local: value > 0 ? 1 : 0, source: { name, row, column } }];
  }

  function movedByMse(net, { in: out, targ }, values, slot, { row, column }) {
    const at = row * net.tensors.get(out).columns + column;
    const difference = values.get(out)[at] - values.get(targ)[at];
    const local = net.Numbers.of(((slot === "targ" ? -2 : 2) / values.get(out).length) * difference)[0];
    return [{ row: 0, column: 0, local, source: { name: slot === "targ" ? out : targ, row, column } }];
  }

  /** The elements of the next tensor that move with this one: each {row, column, local, source}. */
  bp.moved = function (net, values, element) {
    const reader = bp.readerOf(net, element.name);
    if (!reader) return [];
    const { layer, slot } = reader;
    if (layer.op === "mse") return movedByMse(net, layer, values, slot, element);
    if (layer.op === "relu") return movedByRelu(net, layer, values, element);
    return MOVED[slot](net, layer, values, element);
  };

  function onwards(net, values, layer, cells) {
    const out = net.tensors.get(layer.out);
    if (layer.op === "mse") return new Set([0]);
    if (layer.op === "relu") return new Set([...cells].filter((at) => values.get(layer.in)[at] > 0));
    const rows = new Set([...cells].map((at) => Math.floor(at / net.tensors.get(layer.in).columns)));
    return new Set([...rows].flatMap((row) => range(out.columns).map((column) => row * out.columns + column)));
  }

  /** Everything that moves: name -> set of flat indices, up to the loss. */
  bp.reach = function (net, values, element) {
    const found = new Map();
    const reader = bp.readerOf(net, element.name);
    if (!reader) return found;
    const { columns } = net.tensors.get(reader.layer.out);
    const first = bp.moved(net, values, element).filter(({ local }) => local !== 0);
    let cells = new Set(first.map(({ row, column }) => row * columns + column));
    found.set(reader.layer.out, cells);
    for (const layer of net.layers.slice(net.layers.indexOf(reader.layer) + 1)) {
      cells = cells.size ? onwards(net, values, layer, cells) : cells;
      found.set(layer.out, cells);
    }
    return found;
  };

  // ---- by how much ----

  /** The terms of an element's gradient: {row, column, local, source, upstream, product, partial} each. */
  bp.terms = function (net, { values, grads }, element) {
    const reader = bp.readerOf(net, element.name);
    if (!reader) return [];
    const { columns } = net.tensors.get(reader.layer.out);
    const g = grads.get(reader.layer.out);
    const sum = new net.Numbers(1);
    return bp.moved(net, values, element).map((term) => {
      const upstream = g ? g[term.row * columns + term.column] : 1;
      // relu passes the gradient on or stops it: avoid 0 * NaN where the library writes 0
      const product = reader.layer.op === "relu" && term.local === 0 ? 0 : term.local * upstream;
      sum[0] += product;
      return { ...term, upstream, product: net.Numbers.of(product)[0], partial: sum[0] };
    });
  };

  bp.total = (terms) => (terms.length ? terms.at(-1).partial : 1);

  // ---- the loss along one element ----

  /** All values in double; an element of a leaf that is NaN or infinite becomes 0, because it cannot be moved. */
  function forwardFromNumber(net, changed, name, at) {
    const { data } = net.tensors.get(name);
    if (!data || Number.isFinite(data[at])) return bp.forward(net, changed, Float64Array);
    const own = new Map([...(changed.get(name) ?? []), [at, 0]]);
    return bp.forward(net, new Map([...changed, [name, own]]), Float64Array);
  }

  /**
   * A function: value of the element -> loss, in double. Only what moves is computed again.
   * changed: the other elements' changes; this one's own makes no difference.
   */
  bp.lossAlong = function (net, changed, element) {
    const reader = bp.readerOf(net, element.name);
    const at = element.row * net.tensors.get(element.name).columns + element.column;
    const values = forwardFromNumber(net, changed, element.name, at);
    const before = values.get(element.name)[at];
    const moved = reader.layer.op === "lin" ? bp.moved({ ...net, Numbers: Float64Array }, values, element) : null;
    return (value) => {
      const trial = new Map(values);
      if (!moved) trial.set(element.name, values.get(element.name).with(at, value));
      return lossOf(net, changed, trial, reader.layer, moved, value - before);
    };
  };

  function shifted(net, values, layer, moved, by) {
    const out = values.get(layer.out).slice();
    const { columns } = net.tensors.get(layer.out);
    for (const { row, column, local } of moved) out[row * columns + column] += local * by;
    return out;
  }

  function lossOf(net, changed, values, first, moved, by) {
    for (const layer of net.layers.slice(net.layers.indexOf(first))) {
      const isShifted = layer === first && moved;
      const out = isShifted ? shifted(net, values, layer, moved, by) : bp.output(net, layer, values, Float64Array);
      if (!isShifted) for (const [at, nudge] of changed.get(layer.out) ?? []) out[at] += nudge;
      values.set(layer.out, out);
    }
    return values.get(net.layers.at(-1).out)[0];
  }

  /** (loss(v+h) - loss(v-h)) / 2h in double: the slope, measured without any gradient. */
  bp.measuredSlope = function (lossAt, value) {
    const h = 1e-5 * Math.max(1, Math.abs(value));
    return (lossAt(value + h) - lossAt(value - h)) / (2 * h);
  };

  // ---- in words ----

  const rowsOf = (net) => (net.n === 1 ? "in its only row" : `in all ${net.n} rows`);

  /** Where some of what moves has the factor 0. */
  function stopped(terms) {
    const zeros = terms.filter(({ local }) => local === 0).length;
    if (!zeros || terms.length === 1) return "";
    return zeros === terms.length
      ? ", which is 0 in all of them: now nothing moves"
      : `, which is 0 in ${zeros} of the ${terms.length}`;
  }

  const columnsOf = (net, out) => (net.tensors.get(out).columns === 1 ? "its only column" : "every column");

  const SENTENCES = {
    w: (net, { in: x, out }, { row: k, column: j }, terms) =>
      `moves column ${j} of ${out}, ${rowsOf(net)}: row i by ${x}[i,${k}] times as much${stopped(terms)}`,
    b: (net, { out }, { column: j }) =>
      `moves column ${j} of ${out}, ${rowsOf(net)}, by as much as itself: it was broadcast over the rows`,
    in: (net, { w, out }, { row: i, column: k }, terms) =>
      `moves row ${i} of ${out}, ${columnsOf(net, out)}: column j by ${w}[${k},j] times as much${stopped(terms)}`,
  };

  function reluSentence(net, { out }, values, element) {
    const at = element.row * net.tensors.get(element.name).columns + element.column;
    const to = bp.elementName(net, { ...element, name: out });
    const value = values.get(element.name)[at];
    if (value === 0)
      return `is 0, at relu's corner: to the right ${to} moves with it, to the left it does not; relu's gradient there is taken as 0, while the measured slope is the mean of both sides`;
    return value > 0
      ? `is positive, so it moves ${to} and nothing else, by as much as itself`
      : `is not positive, so ${to} stays 0 and nothing moves`;
  }

  /** What this element moves, as one sentence. */
  bp.sentence = function (net, values, element) {
    const name = bp.elementName(net, element);
    const reader = bp.readerOf(net, element.name);
    if (!reader) return `${name} is the loss itself: its gradient is 1.`;
    const { layer, slot } = reader;
    if (layer.op === "lin") return `${name} ${SENTENCES[slot](net, layer, element, bp.moved(net, values, element))}.`;
    if (layer.op === "relu") return `${name} ${reluSentence(net, layer, values, element)}.`;
    const size = bp.sizeOf(net.tensors.get(layer.in));
    const [own, other] = slot === "targ" ? [layer.targ, layer.in] : [layer.in, layer.targ];
    return `${name} moves only the loss, by 2 (${own} \u2212 ${other}) / ${size}.`;
  };
})((globalThis.pybackprop ??= {}));
