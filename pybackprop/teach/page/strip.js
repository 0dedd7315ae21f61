// The network: one group for each operation, its matrices side by side, each gradient below its values.
(function (bp) {
  "use strict";

  const DRAG = 4; // pixels until a press is a drag

  const shapeText = ({ shape }) => shape.join(" \u00d7 ");

  function equation({ op, in: x, w, b, targ, out }) {
    if (op === "relu") return `${out} = relu(${x})`;
    if (op === "mse") return `${out} = mse(${x}, ${targ})`;
    return `${out} = ${x} @ ${w}${b === null ? "" : ` + ${b}`}`;
  }

  // ---- how a cell looks ----

  function valueKind(view, name, at, value) {
    if (view.reach.get(name)?.has(at)) return name === view.reader.layer.out ? "moves" : "onwards";
    if (view.sources.get(name)?.has(at)) return "source";
    if (!Number.isFinite(value)) return "bad";
    return value === 0 ? "zero" : "plain";
  }

  function lookAtValue(app, name, row, column) {
    const { view, net } = app;
    const at = row * net.tensors.get(name).columns + column;
    const value = view.run.values.get(name)[at];
    const isChanged = app.state.changed.get(name)?.has(at);
    return {
      text: bp.short(value),
      kind: `${valueKind(view, name, at, value)}${isChanged ? " changed" : ""}`,
      label: `${bp.elementName(net, { name, row, column })} = ${bp.short(value)}${isChanged ? ", changed" : ""}`,
    };
  }

  const HIDDEN = { unwritten: "not yet written", overwritten: "overwritten" };

  function gradientKind(view, name, at, value, state) {
    if (name === view.reader.layer.out && view.moved.has(at)) return "upstream";
    if (state === "new") return "new";
    return value === 0 ? "zero" : "plain";
  }

  function lookAtGradient(app, name, row, column) {
    const { view, net } = app;
    const called = bp.elementName(net, { name, row, column }, ".g");
    const state = view.gradients.get(name);
    if (HIDDEN[state]) return { text: "\u00b7", kind: `empty ${state}`, label: `${called}: ${HIDDEN[state]}` };
    const at = row * net.tensors.get(name).columns + column;
    const value = view.run.grads.get(name)[at];
    const kind = Number.isFinite(value) ? gradientKind(view, name, at, value, state) : "bad";
    return { text: bp.short(value), kind, label: `${called} = ${bp.short(value)}` };
  }

  // ---- dragging a value ----

  /** Follows the pointer from a press on a cell: to the right is more, to the left is less. */
  function scrub(app, name, down, row, column) {
    const cell = down.target;
    let from = null;
    const move = (event) => {
      const by = event.clientX - down.clientX;
      if (from === null && Math.abs(by) < DRAG) return;
      if (from === null) from = app.begin({ name, row, column });
      app.setValue(from.value + Math.round(by / 2) * from.step);
    };
    const end = () => cell.removeEventListener("pointermove", move);
    cell.setPointerCapture(down.pointerId);
    cell.addEventListener("pointermove", move);
    for (const kind of ["pointerup", "pointercancel"]) cell.addEventListener(kind, end, { once: true });
  }

  /** Scrolls a group sideways until a matrix of it is in sight, and nothing else. */
  function bringIntoSight(node) {
    const flow = node.closest(".flow");
    const [outer, inner] = [flow.getBoundingClientRect(), node.getBoundingClientRect()];
    if (inner.right > outer.right) flow.scrollLeft += Math.min(inner.right - outer.right, inner.left - outer.left);
    else if (inner.left < outer.left) flow.scrollLeft -= outer.left - inner.left;
  }

  // ---- building ----

  class Strip {
    constructor(app, root) {
      Object.assign(this, { app, grids: [], groups: new Map() });
      const shown = new Set();
      for (const layer of app.net.layers) root.append(this.group(layer, shown));
    }

    group(layer, shown) {
      const fresh = [layer.in, layer.w, layer.b, layer.targ, layer.out].filter((name) => name != null && !shown.has(name));
      fresh.forEach((name) => shown.add(name));
      const columns = fresh.flatMap((name, k) => [...this.operator(layer, name, k === 0), ...this.tensor(name)]);
      const flow = bp.html("div", { class: "flow" }, ...columns);
      const id = bp.freshId("layer");
      const node = bp.html("article", { class: "layer", "aria-labelledby": id },
        bp.html("h3", { id }, equation(layer)), flow);
      this.groups.set(layer, node);
      return node;
    }

    /** The sign before a tensor, in a column of its own; its four rows are title, values, title, gradient. */
    operator(layer, name, isFirst) {
      if (layer.op !== "lin" || name === layer.in) return [];
      const sign = name === layer.w ? `${isFirst ? `${layer.in} ` : ""}@` : name === layer.b ? "+" : "=";
      const rows = ["", sign, "", ""].map((text) => bp.html("span", { class: "sign", "aria-hidden": "true" }, text));
      return [bp.html("div", { class: "signs" }, ...rows)];
    }

    /** A tensor's title and values, above those of its gradient. */
    tensor(name) {
      return [bp.html("div", { class: "tensor" }, ...this.rows(name))];
    }

    rows(name) {
      const tensor = this.app.net.tensors.get(name);
      const title = bp.html("h4", {}, bp.html("b", {}, name), " ", bp.html("small", {}, shapeText(tensor)));
      const values = this.values(name, tensor);
      if (!this.app.view.run.grads.has(name)) return [title, values.node, bp.html("span"), bp.html("span")];
      const gradient = this.gradient(name, tensor);
      for (const grid of [values, gradient]) {
        grid.owner.scrolled = (moved) => (moved === values ? gradient : values).follow(moved);
      }
      return [title, values.node, this.gradientTitle(name), gradient.node];
    }

    gradientTitle(name) {
      const node = bp.html("h4", { class: "of-gradient" }, bp.html("b", {}, `${name}.g`), " ", bp.html("small"));
      this.grids.at(-1).title = node;
      return node;
    }

    values(name, tensor) {
      const { app } = this;
      return this.grid(name, tensor, {
        label: `${name}, values, ${shapeText(tensor)}`,
        look: (row, column) => lookAtValue(app, name, row, column),
        scrub: tensor.role === "loss" ? null : (event, row, column) => scrub(app, name, event, row, column),
        nudge: tensor.role === "loss" ? null : (sign) => app.nudge(sign),
      });
    }

    gradient(name, tensor) {
      const { app } = this;
      const look = (row, column) => lookAtGradient(app, name, row, column);
      return this.grid(name, tensor, { label: `${name}.g, gradient, ${shapeText(tensor)}`, look, isGradient: true });
    }

    grid(name, tensor, owner) {
      const choose = (row, column) => this.app.choose({ name, row, column });
      const grid = new bp.Grid(tensor, { ...owner, choose });
      grid.node.dataset.tensor = name;
      grid.node.classList.toggle("gradient", Boolean(owner.isGradient));
      this.grids.push(Object.assign(grid, { name }));
      return grid;
    }

    // ---- showing ----

    render({ reveal }) {
      const { state, view } = this.app;
      for (const grid of this.grids) {
        const at = grid.name === state.at.name ? state.at : null;
        grid.activate(at);
        const seen = reveal && (at ?? this.concerned(grid.name));
        if (seen) grid.reveal(seen);
        if (reveal && at) bringIntoSight(grid.node);
        grid.draw();
        if (grid.title) this.nameStorage(grid, view);
      }
      const current = view.steps[state.step - 1]?.layer;
      for (const [layer, node] of this.groups) node.classList.toggle("current", layer === current);
    }

    /** The first element of a tensor that is related to the chosen one; null if there is none. */
    concerned(name) {
      const { reader, terms, reach } = this.app.view;
      if (name === reader.layer.out) return terms[0];
      if (terms[0].source?.name === name) return terms[0].source;
      const [first] = reach.get(name) ?? [];
      const { columns } = this.app.net.tensors.get(name);
      return first === undefined ? null : { row: Math.floor(first / columns), column: first % columns };
    }

    /** Says beside a gradient's name whose buffer it is in, if it shares one. */
    nameStorage({ name, title }, { gradients, steps }) {
      const sharing = steps.find(({ over, writes }) => over !== null && (over === name || writes.includes(name)));
      const isSharing = sharing && gradients.get(sharing.writes[0]) !== "unwritten";
      const other = sharing?.over === name ? `now ${sharing.writes[0]}.g` : `over ${sharing?.over}.g`;
      bp.say(title.querySelector("small"), isSharing ? other : "");
    }
  }

  bp.Strip = Strip;
})(globalThis.pybackprop ??= {});
