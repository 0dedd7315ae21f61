// What each value and gradient lives for in one step of training: made by one operation, read by others, then forgotten.
(function (bp) {
  "use strict";

  /** The operations of a step in their order: {head, makes, reads, phase}. Names ending in .g are gradients. */
  bp.moments = function (net) {
    const forward = net.layers.map(({ op, in: x, w, b, targ, out }) => ({
      head: `${out} = ${op}`,
      phase: op === "mse" ? "loss" : "forward",
      makes: [out],
      reads: [x, w, b, targ].filter((name) => name != null),
    }));
    const backward = net.layers.toReversed().map(({ op, in: x, w, b, targ, out }) => ({
      head: `${op}_grad`,
      phase: "backward",
      makes: [x, w, b].filter((name) => name != null).map((name) => `${name}.g`),
      reads: op === "mse" ? [x, targ] : op === "relu" ? [`${out}.g`, x] : [`${out}.g`, x, w],
    }));
    const parameters = net.layers.flatMap(({ w, b }) => [w, b]).filter((name) => name != null);
    const update = {
      head: "update",
      phase: "update",
      makes: [],
      reads: parameters.flatMap((name) => [name, `${name}.g`]),
    };
    return [...forward, ...backward, update];
  };

  const sizeOf = (net, name) => bp.sizeOf(net.tensors.get(name.replace(/\.g$/, "")) ?? net.tensors.get(name));

  /**
   * [{names, size, cells}]: one row for each buffer, with "made", "read", "kept" or "" for each moment. Data and
   * parameters are there from the start, parameters until the end. In place, relu's gradient takes the buffer of its
   * output's.
   */
  bp.lives = function (net, inplace) {
    const moments = bp.moments(net);
    const made = new Map(moments.flatMap(({ makes }, at) => makes.map((name) => [name, at])));
    const leaves = [...net.tensors.values()].filter(({ data }) => data).map(({ name }) => name);
    const rows = [...leaves, ...made.keys()].map((name) => {
      const isParameter = ["weight", "bias"].includes(net.tensors.get(name)?.role);
      const last = isParameter ? moments.length - 1 : moments.findLastIndex(({ reads }) => reads.includes(name));
      const first = made.get(name) ?? 0;
      const cells = moments.map(({ reads }, at) => {
        if (at === made.get(name)) return "made";
        if (at < first || at > last) return "";
        return reads.includes(name) ? "read" : "kept";
      });
      return { names: [name], size: sizeOf(net, name), cells };
    });
    return inplace ? shared(net, rows) : rows;
  };

  /** Rows of relu's two gradients become one, where the second is written over the first. */
  function shared(net, rows) {
    for (const { op, in: x, out } of net.layers.toReversed()) {
      const [over, own] = [`${out}.g`, `${x}.g`].map((name) => rows.find(({ names }) => names.includes(name)));
      if (op !== "relu") continue;
      over.names = [...over.names, ...own.names];
      over.cells = over.cells.map((cell, at) => own.cells[at] || cell);
      rows.splice(rows.indexOf(own), 1);
    }
    return rows;
  }

  /** How many numbers are held at each moment. */
  bp.heldAt = (rows) =>
    rows[0].cells.map((_, at) => rows.reduce((sum, { size, cells }) => sum + (cells[at] ? size : 0), 0));

  function head(moments, current) {
    const cells = moments.map((moment, at) =>
      bp.html(
        "th",
        { scope: "col", class: at === current ? "now" : null },
        bp.html("small", {}, moment.phase),
        ` ${moment.head}`,
      ),
    );
    return bp.html("thead", {}, bp.html("tr", {}, bp.html("th", { scope: "col" }, "held"), ...cells));
  }

  function line({ names, size, cells }, current) {
    const parts = cells.map((kind, at) =>
      bp.html("td", { class: `${kind || "gone"}${at === current ? " now" : ""}` }, kind),
    );
    const called = bp.html("th", { scope: "row" }, names.join(", then "), " ", bp.html("small", {}, String(size)));
    return bp.html("tr", {}, called, ...parts);
  }

  /** The table's parts; step is that of the backward pass, as the state has it. */
  bp.livesTable = function (net, step, inplace, dtype) {
    const moments = bp.moments(net);
    const current = net.layers.length + step - 1;
    const rows = bp.lives(net, inplace);
    const held = bp.heldAt(rows);
    const most = Math.max(...held);
    const bytes = dtype === "float32" ? 4 : 8;
    const totals = held.map((count, at) =>
      bp.html(
        "td",
        { class: at === current ? "now" : null },
        count === most ? bp.html("b", {}, String(count)) : String(count),
      ),
    );
    const foot = bp.html("tr", {}, bp.html("th", { scope: "row" }, "numbers held"), ...totals);
    return {
      nodes: [
        head(moments, current),
        bp.html("tbody", {}, ...rows.map((row) => line(row, current))),
        bp.html("tfoot", {}, foot),
      ],
      said: `The most at once: ${most} numbers, ${most * bytes} bytes, at ${moments[held.indexOf(most)].head}, if each is forgotten after its last use.`,
    };
  };
})((globalThis.pybackprop ??= {}));
