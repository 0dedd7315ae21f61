// How a cell of the network looks and what a screen reader hears of it.
(function (bp) {
  "use strict";

  const HIDDEN = { unwritten: "not yet written", overwritten: "overwritten" };

  const HEARD = {
    moves: ", moves with it",
    onwards: ", moves further on",
    source: ", by how much",
    upstream: ", the gradient that arrives",
  };

  function valueKind(view, name, at, value) {
    if (view.reach.get(name)?.has(at)) return name === view.reader.layer.out ? "moves" : "onwards";
    if (view.sources.get(name)?.has(at)) return "source";
    if (!Number.isFinite(value)) return "bad";
    return value === 0 ? "zero" : "plain";
  }

  /** What a matrix of values shows, and what its differences are counted from: at the update, the old parameters alone. */
  function numbersOf({ view, before }, name) {
    const now = view.run.values.get(name);
    const updated = view.updated?.get(name);
    if (updated) return { numbers: updated, before: now };
    return { numbers: now, before: view.updated ? now : before.run.values.get(name) };
  }

  const difference = (value, before) => (Number.isFinite(value - before) ? value - before : 0);

  bp.lookAtValue = function (app, name, row, column) {
    const { view, net } = app;
    const state = view.held.get(name);
    if (HIDDEN[state]) return { value: null, delta: 0, kind: `empty ${state}` };
    const at = row * net.tensors.get(name).columns + column;
    const { numbers, before } = numbersOf(app, name);
    const value = numbers[at];
    const isChanged = app.state.changed.get(name)?.has(at);
    const kind = valueKind(view, name, at, value);
    return { value, delta: difference(value, before[at]), kind: isChanged ? `${kind} changed` : kind };
  };

  const numbersIn = (width, value, delta) => ({
    text: bp.fitted(value, width),
    delta: delta && bp.fitted(delta, width, bp.signed),
  });

  const heard = (called, value, kind, delta) =>
    `${called} = ${bp.short(value)}${HEARD[kind] ?? ""}${delta ? `, by ${bp.signed(delta)}` : ""}`;

  bp.textOfValue = function (net, width, name, { value, delta, kind }, row, column) {
    const [sort, changed] = kind.split(" ");
    const called = bp.elementName(net, { name, row, column });
    if (value === null) return { text: "\u00b7", label: `${called}: not computed yet` };
    return {
      ...numbersIn(width, value, delta),
      label: `${heard(called, value, sort, delta)}${changed ? ", changed" : ""}`,
    };
  };

  function gradientKind(view, name, at, value) {
    if (name === view.reader.layer.out && view.moved.has(at)) return "upstream";
    return value === 0 ? "zero" : "plain";
  }

  bp.lookAtGradient = function (app, name, row, column) {
    const { view, net, before } = app;
    const state = view.held.get(`${name}.g`);
    if (HIDDEN[state]) return { value: null, delta: 0, kind: `empty ${state}` };
    const at = row * net.tensors.get(name).columns + column;
    const value = view.run.grads.get(name)[at];
    const kind = Number.isFinite(value) ? gradientKind(view, name, at, value) : "bad";
    const from = view.updated ? value : before.run.grads.get(name)[at];
    return { value, delta: difference(value, from), kind };
  };

  bp.textOfGradient = function (net, width, name, { value, delta, kind }, row, column) {
    const called = bp.elementName(net, { name, row, column }, ".g");
    if (value === null) return { text: "\u00b7", label: `${called}: ${HIDDEN[kind.split(" ")[1]]}` };
    return { ...numbersIn(width, value, delta), label: heard(called, value, kind, delta) };
  };
})((globalThis.pybackprop ??= {}));
