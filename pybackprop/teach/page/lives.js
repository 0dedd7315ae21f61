// What each value and gradient lives for in one step of training: made by one operation, read by others, then forgotten.
(function (bp) {
  "use strict";

  const KINDS = { made: "new", read: "read", new: "new", kept: "held" }; // a cell of the table -> what the network shows

  const sizeOf = (net, name) => bp.sizeOf(net.tensors.get(name.replace(/\.g$/, "")) ?? net.tensors.get(name));

  const isParameter = (net, name) => ["weight", "bias"].includes(net.tensors.get(name)?.role);

  function cellsOf(net, name, steps, made) {
    const own = made.get(name);
    const last = isParameter(net, name) ? steps.length - 1 : steps.findLastIndex(({ reads }) => reads.includes(name));
    return steps.map(({ reads, phase }, at) => {
      if (at === own) return "made";
      if (at < (own ?? 0) || at > last) return "";
      if (phase === "update" && isParameter(net, name)) return "new";
      return reads.includes(name) ? "read" : "kept";
    });
  }

  /**
   * [{names, size, cells}]: one row for each buffer, with "made", "read", "new" (a parameter's next value), "kept" or "" for
   * each operation. Data and parameters are there from the start, parameters until the end. In place, relu's gradient takes the buffer of its
   * output's.
   */
  bp.lives = function (net, inplace) {
    const steps = bp.steps(net, inplace);
    const made = new Map(steps.flatMap(({ writes }, at) => writes.map((name) => [name, at])));
    const leaves = [...net.tensors.values()].filter(({ data }) => data).map(({ name }) => name);
    const rows = [...leaves, ...made.keys()].map((name) => ({
      names: [name],
      size: sizeOf(net, name),
      cells: cellsOf(net, name, steps, made),
    }));
    return inplace ? shared(rows, steps) : rows;
  };

  /** Rows of relu's two gradients become one, where the second is written over the first. */
  function shared(rows, steps) {
    for (const { over, writes } of steps) {
      if (over === null) continue;
      const [first, second] = [over, writes[0]].map((name) => rows.find(({ names }) => names.includes(name)));
      first.names = [...first.names, ...second.names];
      first.cells = first.cells.map((cell, at) => second.cells[at] || cell);
      rows.splice(rows.indexOf(second), 1);
    }
    return rows;
  }

  /** How many numbers are held during each operation. */
  bp.heldAt = (rows) =>
    rows[0].cells.map((_, at) => rows.reduce((sum, { size, cells }) => sum + (cells[at] ? size : 0), 0));

  /** The names that nothing needs after an operation; step counts from 1. */
  bp.endingWith = (rows, step, loss) =>
    rows
      .filter(({ names, cells }) => step < cells.length && cells[step - 1] && !cells[step] && names[0] !== loss)
      .map(({ names }) => names.at(-1));

  // ---- what the network shows at a step ----

  const isLast = (net, step) => step > bp.stepCount(net);

  function stateOf({ cells }, isMade, at) {
    if (cells[at]) return KINDS[cells[at]];
    return isMade ? "spent" : "unwritten";
  }

  /**
   * After so many operations: name -> "unwritten", "new", "read", "held", "spent" (nothing needs it any more) or
   * "overwritten". Step 0 is before the first; one more than there are operations shows everything.
   */
  bp.statesAt = function (net, step, inplace) {
    const found = new Map();
    for (const row of bp.lives(net, false)) {
      const [name] = row.names;
      const isMade = row.cells.indexOf("made") < step; // what is there from the start has no such cell
      found.set(name, isLast(net, step) || (step === 0 && isMade) ? "held" : stateOf(row, isMade, step - 1));
    }
    bp.steps(net, inplace).forEach(({ over }, at) => {
      if (over !== null && at < step) found.set(over, "overwritten");
    });
    const loss = net.layers.at(-1).out;
    if (found.get(loss) === "spent") found.set(loss, "held"); // it is what is asked for
    return found;
  };

  /** Whether a value or gradient cannot be read. */
  bp.isHidden = (states, name) => ["unwritten", "overwritten"].includes(states.get(name));

  // ---- the table ----

  function head(steps, current) {
    const cells = steps.map(({ phase, head: text }, at) =>
      bp.html(
        "th",
        { scope: "col", class: at === current ? "now" : null },
        bp.html("span", { class: "upright" }, bp.html("small", {}, phase), text === phase ? "" : ` ${text}`),
      ),
    );
    return bp.html("thead", {}, bp.html("tr", {}, bp.html("th", { scope: "col" }, "held"), ...cells));
  }

  function line({ names, size, cells }, current) {
    const parts = cells.map((kind, at) =>
      bp.html("td", { class: `${kind || "gone"}${at === current ? " now" : ""}` }, kind),
    );
    const called = bp.html("th", { scope: "row" }, names.join(", "), " ", bp.html("small", {}, String(size)));
    return bp.html("tr", {}, called, ...parts);
  }

  /** The table's parts, and a sentence about the most that is held; step counts from 1. */
  bp.livesTable = function (net, step, inplace) {
    const steps = bp.steps(net, inplace);
    const rows = bp.lives(net, inplace);
    const held = bp.heldAt(rows);
    const most = Math.max(...held);
    const bytes = net.dtype === "float32" ? 4 : 8;
    const totals = held.map((count, at) =>
      bp.html(
        "td",
        { class: at === step - 1 ? "now" : null },
        count === most ? bp.html("b", {}, String(count)) : String(count),
      ),
    );
    const foot = bp.html("tr", {}, bp.html("th", { scope: "row" }, "numbers held"), ...totals);
    return {
      nodes: [
        head(steps, step - 1),
        bp.html("tbody", {}, ...rows.map((row) => line(row, step - 1))),
        bp.html("tfoot", {}, foot),
      ],
      said: `The most at once: ${most} numbers, ${most * bytes} bytes, at operation ${held.indexOf(most) + 1}, ${steps[held.indexOf(most)].head}, if each is forgotten after its last use.`,
    };
  };
})((globalThis.pybackprop ??= {}));
