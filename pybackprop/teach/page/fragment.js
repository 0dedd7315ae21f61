// The state, and how it is written into the URL fragment. Pure functions.
//   #at=w1.2.1&set=w1.2.1:0.5,l1.0.0:0.25&step=2&inplace=1&rate=0.1&show=step&own=dz%20%40%20x.T&equal=1&product=w.w1.0.0.1.3
// Names are percent-encoded, so that . : , & = in them are not mistaken for separators.
(function (bp) {
  "use strict";

  const encode = (name) => encodeURIComponent(name).replaceAll(".", "%2E");

  const LONGEST = 300; // characters of a formula

  /** Whether a fragment asks for equal sizes. */
  bp.isEqual = (text) => /(^#?|&)equal=1(&|$)/.test(text);

  const whole = (text, low, high, otherwise) =>
    /^\d{1,7}$/.test(text ?? "") ? bp.clamp(Number(text), low, high) : otherwise;

  // ---- elements ----

  function indices(net, { name, row, column }) {
    const dimensions = net.tensors.get(name).shape.length;
    return dimensions === 2 ? [row, column] : dimensions === 1 ? [column] : [];
  }

  /** {name, row, column} for a name and its indices; null if there is no such element, or it is the loss. */
  bp.element = function (net, name, index) {
    const tensor = net.tensors.get(name);
    if (!tensor || tensor.role === "loss" || index.length !== tensor.shape.length) return null;
    if (!index.every((at, axis) => Number.isInteger(at) && at >= 0 && at < tensor.shape[axis])) return null;
    const [row, column] = index.length === 2 ? index : [0, index[0] ?? 0];
    return { name, row, column };
  };

  const elementText = (net, element) => [encode(element.name), ...indices(net, element)].join(".");

  function elementOf(net, text) {
    const [name, ...index] = text.split(".");
    return bp.element(
      net,
      decodeURIComponent(name),
      index.map((part) => (/^\d+$/.test(part) ? Number(part) : NaN)),
    );
  }

  // ---- the whole state ----

  /** The initial state of a page. */
  bp.firstState = function (net) {
    const [first] = bp.linLayers(net);
    const at = bp.element(net, ...net.selected) ?? bp.element(net, first.w, [0, 0]);
    return {
      at,
      changed: new Map(),
      step: bp.stepCount(net) + 1, // everything is computed
      inplace: false,
      rate: bp.rateFor(net),
      panel: "element",
      product: bp.productFor(net, at),
      own: "", // the reader's own formula
      equal: false, // whether all sizes are made equal
    };
  };

  function changesText(net, changed) {
    const parts = [];
    for (const [name, changes] of changed) {
      const { columns } = net.tensors.get(name);
      for (const [at, value] of changes) {
        const element = { name, row: Math.floor(at / columns), column: at % columns };
        parts.push(`${elementText(net, element)}:${value}`);
      }
    }
    return parts.join(",");
  }

  const productText = ({ kind, w, form, row, column, k }) => [kind, encode(w), form, row, column, k].join(".");

  /** The fragment without its #; parts in their initial state are left out. */
  bp.fragmentOf = function (net, state) {
    const first = bp.firstState(net);
    const parts = [`at=${elementText(net, state.at)}`];
    if (state.changed.size) parts.push(`set=${changesText(net, state.changed)}`);
    if (state.step !== first.step) parts.push(`step=${state.step}`);
    if (state.inplace) parts.push("inplace=1");
    if (state.rate !== first.rate) parts.push(`rate=${state.rate}`);
    if (state.panel !== first.panel) parts.push(`show=${state.panel}`);
    if (state.own) parts.push(`own=${encodeURIComponent(state.own)}`);
    if (state.equal) parts.push("equal=1");
    if (productText(state.product) !== productText(bp.productFor(net, state.at)))
      parts.push(`product=${productText(state.product)}`);
    return parts.join("&");
  };

  function changesOf(net, text) {
    const changed = new Map();
    for (const part of text ? text.split(",") : []) {
      const [where, number] = part.split(":");
      const [element, value] = [elementOf(net, where), Number.parseFloat(number)];
      if (element && Number.isFinite(value)) bp.change(net, changed, element, value);
    }
    return changed;
  }

  /** Records in changed (name -> flat index -> number) that an element has another value. */
  bp.change = function (net, changed, { name, row, column }, value) {
    if (!changed.has(name)) changed.set(name, new Map());
    changed.get(name).set(row * net.tensors.get(name).columns + column, value);
  };

  /** A product's state, clamped to its bounds. */
  bp.boundedProduct = function (net, { kind, w, form, row, column, k }) {
    const layer = bp.layerOf(net, w) ?? bp.linLayers(net)[0];
    const sort = bp.kindsOf(layer).includes(kind) ? kind : bp.kindsOf(layer).includes("w") ? "w" : bp.kindsOf(layer)[0];
    const which = bp.clamp(form, 0, bp.formLabels(layer, sort).length - 1);
    const { left, right } = bp.product(net, { values: new Map(), grads: new Map() }, layer, sort, which);
    return {
      kind: sort,
      w: bp.keyOf(layer),
      form: which,
      row: bp.clamp(row, 0, left.rows - 1),
      column: bp.clamp(column, 0, right.columns - 1),
      k: bp.clamp(k, 0, left.columns),
    };
  };

  function productOf(net, text, otherwise) {
    const parts = (text ?? "").split(".");
    if (parts.length !== 6) return otherwise;
    const [form, row, column, k] = parts.slice(2).map((part) => whole(part, 0, 1e7, 0));
    return bp.boundedProduct(net, { kind: parts[0], w: decodeURIComponent(parts[1]), form, row, column, k });
  }

  function rateOf(text, otherwise) {
    const rate = Number.parseFloat(text);
    return Number.isFinite(rate) && rate >= 0 ? rate : otherwise;
  }

  function parsed(net, text) {
    const given = new Map(
      text
        .replace(/^#/, "")
        .split("&")
        .map((part) => {
          const [key, ...rest] = part.split("=");
          return [key, rest.join("=")];
        }),
    );
    const first = bp.firstState(net);
    const at = elementOf(net, given.get("at") ?? "") ?? first.at;
    return {
      at,
      changed: changesOf(net, given.get("set")),
      step: whole(given.get("step"), 0, first.step, first.step),
      inplace: given.get("inplace") === "1",
      rate: rateOf(given.get("rate"), first.rate),
      panel: given.get("show") === "step" ? "step" : "element",
      own: decodeURIComponent(given.get("own") ?? "").slice(0, LONGEST),
      equal: bp.isEqual(text),
      product: productOf(net, given.get("product"), bp.productFor(net, at)),
    };
  }

  /** The state in a fragment. Invalid parts are ignored, because a link may be old or truncated. */
  bp.stateOf = function (net, text) {
    try {
      return parsed(net, text);
    } catch (error) {
      if (error instanceof URIError) return bp.firstState(net);
      throw error;
    }
  };

  /** Writes the fragment. In a frame it belongs to the frame, whose own address is about:srcdoc. */
  bp.goTo = function (fragment, how) {
    const address = location.href.split("#")[0] + fragment;
    if (how === "push") history.pushState(null, "", address);
    else history.replaceState(null, "", address);
  };
})((globalThis.pybackprop ??= {}));
