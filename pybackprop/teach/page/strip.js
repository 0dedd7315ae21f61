// The network: one group for each operation, its matrices side by side, each gradient below or beside its values.
(function (bp) {
  "use strict";

  const DRAG = 4; // pixels until a press is a drag
  const LEAD = 24; // pixels beside the text of an operator before a card's first matrix
  const NARROW = 2; // columns of a matrix that has its gradient beside it

  const shapeText = ({ shape }) => shape.join(" \u00d7 ");

  function equation({ op, in: x, w, b, targ, out }) {
    if (op === "relu") return `${out} = relu(${x})`;
    if (op === "mse") return `${out} = mse(${x}, ${targ})`;
    return `${out} = ${x} @ ${w}${b === null ? "" : ` + ${b}`}`;
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

  // ---- building ----

  class Strip {
    constructor(app, root) {
      Object.assign(this, { app, root, grids: [], groups: new Map(), cards: [], axes: bp.axes(app.net) });
      const shown = new Set();
      for (const layer of app.net.layers) root.append(this.group(layer, shown));
      this.joins = new bp.Joins(this, root);
      this.fit();
      for (const grid of this.grids) grid.draw();
      bp.observe(new ResizeObserver(() => this.fit()), root, app.signal);
    }

    /** A card: the operands of an operation that no card before it shows, and its result. */
    group(layer, shown) {
      const { in: x, w, b, targ, out } = layer;
      const stacks = [[x], [w], layer.op === "lin" ? [b, out] : [targ, out]]
        .map((names) => names.filter((name) => name != null && !shown.has(name)))
        .filter((names) => names.length);
      stacks.flat().forEach((name) => shown.add(name));
      const nodes = stacks.map((names, k) => [...this.operator(layer, names[0], k === 0), this.stack(names)]);
      const id = bp.freshId("layer");
      const node = bp.html(
        "article",
        { class: "layer", "aria-labelledby": id },
        bp.html("h3", { id }, equation(layer)),
        bp.html("div", { class: "flow" }, ...nodes.flat()),
      );
      this.groups.set(layer, node);
      const lead = this.operator(layer, stacks[0][0], true).length ? bp.widthOf(`${x} @`) + LEAD : 0;
      this.cards.push({ stacks, node, lead });
      return node;
    }

    /** The sign before a tensor. */
    operator(layer, name, isFirst) {
      if (layer.op !== "lin" || name === layer.in) return [];
      const sign = name === layer.w ? `${isFirst ? `${layer.in} ` : ""}@` : name === layer.b ? "+" : "=";
      return [bp.html("span", { class: "sign", "aria-hidden": "true" }, sign)];
    }

    /** Tensors with the same columns, one below the other. */
    stack(names) {
      return bp.html("div", { class: "stack" }, ...names.map((name) => this.tensor(name)));
    }

    isNarrow(name) {
      return this.app.net.tensors.get(name).columns <= NARROW;
    }

    /** A tensor's title and values, and those of its gradient. */
    tensor(name) {
      const tensor = this.app.net.tensors.get(name);
      const { values, grads } = this.app.view.run;
      const width = bp.columnWidth(values.get(name), grads.get(name) ?? []);
      const parts = [this.part(name, this.values(name, tensor, width), bp.html("h4", {}, bp.html("b", {}, name), " "))];
      if (grads.has(name)) {
        const title = bp.html("h4", { class: "of-gradient" }, bp.html("b", {}, `${name}.g`), " ");
        parts.push(this.part(name, this.gradient(name, tensor, width), title));
      }
      return bp.html("div", { class: `tensor${this.isNarrow(name) ? " narrow" : ""}` }, ...parts);
    }

    part(name, grid, title) {
      title.append(bp.html("small"));
      Object.assign(grid, { name, title: title.lastChild });
      grid.owner.scrolled = (moved) => {
        bp.scrollTogether(this.grids, this.axes, moved);
        this.afterScroll();
      };
      return bp.html("div", { class: "part" }, title, grid.node);
    }

    values(name, tensor, width) {
      const { app } = this;
      const isLoss = tensor.role === "loss";
      return this.grid(name, tensor, {
        label: `${name}, values, ${shapeText(tensor)}`,
        width,
        look: (row, column) => bp.lookAtValue(app, name, row, column),
        text: (look, row, column) => bp.textOfValue(app.net, width, name, look, row, column),
        scrub: isLoss ? null : (event, row, column) => scrub(app, name, event, row, column),
        nudge: isLoss ? null : (sign) => app.nudge(sign),
      });
    }

    gradient(name, tensor, width) {
      const { app } = this;
      return this.grid(name, tensor, {
        label: `${name}.g, gradient, ${shapeText(tensor)}`,
        width,
        isGradient: true,
        look: (row, column) => bp.lookAtGradient(app, name, row, column),
        text: (look, row, column) => bp.textOfGradient(app.net, width, name, look, row, column),
      });
    }

    grid(name, tensor, owner) {
      const choose = (row, column) => this.app.choose({ name, row, column });
      const grid = new bp.Grid(tensor, { ...owner, choose });
      grid.node.dataset.tensor = name;
      grid.node.classList.toggle("gradient", Boolean(owner.isGradient));
      grid.node.classList.toggle("below", Boolean(owner.isGradient) && !this.isNarrow(name)); // its columns' numbers are above
      this.grids.push(grid);
      return grid;
    }

    // ---- room ----

    fit() {
      const room = this.root.clientWidth;
      if (room === this.room || !room) return;
      this.room = room;
      const given = new Map();
      for (const card of this.cards)
        for (const [axis, count] of this.shares(card, room - card.lead, given)) given.set(axis, count);
      for (const grid of this.grids)
        grid.show(Math.min(grid.columns, given.get(this.axes.get(grid.name).columns) ?? 1));
      if (this.rendered) this.render({ reveal: true });
    }

    /** axis -> columns; where three stacks beside each other would be slivers, the last stands below the second. */
    shares({ stacks, node }, room, given) {
      const needs = (arranged) => arranged.map((names) => this.needs(names));
      const below = stacks.length === 3 ? needs([stacks[0], stacks.slice(1).flat()]) : null;
      const isBelow = below !== null && bp.areSlivers(needs(stacks), room, given) && bp.fitBeside(below, room, given);
      node.classList.toggle("below-second", isBelow);
      return bp.shareRoom(isBelow ? below : needs(stacks), room, given);
    }

    /** What a stack needs of a card's width. */
    needs(names) {
      const grids = this.grids.filter(({ name }) => names.includes(name));
      const widest = Math.max(...grids.map(({ width }) => width));
      const beside = names.some((name) => this.isNarrow(name) && grids.filter((grid) => grid.name === name).length > 1);
      const tall = grids.some(({ rows, shown }) => rows > shown.rows);
      return {
        axis: this.axes.get(names[0]).columns,
        count: grids[0].columns,
        widths: beside ? [widest, widest] : [widest],
        tall,
      };
    }

    // ---- showing ----

    render({ reveal }) {
      const { state, view } = this.app;
      this.rendered = true;
      for (const grid of this.grids) grid.activate(grid.name === state.at.name ? state.at : null);
      if (reveal) this.reveal();
      for (const grid of this.grids) {
        grid.draw();
        bp.say(grid.title, this.titleOf(grid, view));
        grid.node.dataset.held = view.held.get(grid.owner.isGradient ? `${grid.name}.g` : grid.name);
      }
      const current = view.steps[state.step - 1]?.layer;
      for (const [layer, node] of this.groups) node.classList.toggle("current", layer === current);
      if (reveal || state.step !== this.joined) this.joins.draw();
      this.joined = state.step;
    }

    /** Brings the current operation into sight. */
    showCurrent() {
      const { state, view } = this.app;
      const node = this.groups.get(view.steps[state.step - 1]?.layer);
      node?.scrollIntoView({ block: "nearest", behavior: bp.isStill() ? "instant" : "smooth" });
    }

    /** Scrolls what concerns the chosen element into sight; its own matrix leads those that belong to it. */
    reveal() {
      const { at } = this.app.state;
      const { out } = this.app.view.reader.layer;
      for (const name of [null, out, at.name]) {
        const leader = this.grids.find((grid) => grid.name === name);
        if (leader) bp.scrollTogether(this.grids, this.axes, leader);
        for (const grid of this.grids) {
          const seen = grid.name === at.name ? at : this.concerned(grid.name);
          if (seen) grid.reveal(seen);
        }
      }
    }

    afterScroll() {
      for (const grid of this.grids) bp.say(grid.title, this.titleOf(grid, this.app.view));
      this.joins.draw();
    }

    /** Its shape, and which columns are in sight if not all are; or whose buffer a gradient is in. */
    titleOf(grid, view) {
      const sharing = grid.owner.isGradient ? this.sharing(grid.name, view) : "";
      if (sharing) return sharing;
      const { shown, columns } = grid;
      const shape = grid.owner.isGradient ? "" : shapeText(this.app.net.tensors.get(grid.name));
      if (shown.columns >= columns) return shape;
      const first = Math.round(grid.corner.left);
      return `${shape}${shape && ", "}${first}\u2013${first + shown.columns - 1}`;
    }

    sharing(name, { held, steps }) {
      const own = `${name}.g`;
      const sharing = steps.find(({ over, writes }) => over !== null && (over === own || writes.includes(own)));
      if (!sharing || held.get(sharing.writes[0]) === "unwritten") return "";
      return sharing.over === own ? `now ${sharing.writes[0]}` : `over ${sharing.over}`;
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

    /** The node of an element's cell, null where it is not in sight. */
    cellOf({ name, row, column }, isGradient = false) {
      const grid = this.grids.find((each) => each.name === name && Boolean(each.owner.isGradient) === isGradient);
      return grid?.nodeAt(row, column) ?? null;
    }
  }

  bp.Strip = Strip;
})((globalThis.pybackprop ??= {}));
