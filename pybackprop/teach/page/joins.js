// Thin lines between the cells of one term: what moves it, the gradient that arrives, and the sum that collects both.
(function (bp) {
  "use strict";

  const LINES = 12; // terms that are joined at most; more would hide the numbers
  const NARROW = 480; // pixels; below, matrices are above each other, and lines would go through all of them

  /** From the middle of one cell's side to another's; where one is above the other, around what is between them. */
  function curve(a, b, origin) {
    const isAbove = Math.abs(a.left - b.left) < a.width;
    const isRight = isAbove || b.left > a.left;
    const [x, y] = [(isRight ? a.right : a.left) - origin.left, (a.top + a.bottom) / 2 - origin.top];
    const [u, v] = [(isRight && !isAbove ? b.left : b.right) - origin.left, (b.top + b.bottom) / 2 - origin.top];
    const bend = (isRight ? 1 : -1) * Math.max(14, Math.abs(u - x) / 2);
    return `M${x} ${y}C${x + bend} ${y} ${isAbove ? u + bend : u - bend} ${v} ${u} ${v}`;
  }

  class Joins {
    constructor(strip, root) {
      this.strip = strip;
      this.node = bp.svg("svg", { class: "joins", "aria-hidden": "true" });
      root.append(this.node);
    }

    /** [cell, cell, kind] for each line. */
    pairs() {
      const { app } = this.strip;
      const { view, state } = app;
      const written = (name) => !bp.isHidden(view.held, `${name}.g`);
      const own = written(state.at.name) ? this.strip.cellOf(state.at, true) : null;
      const { out } = view.reader.layer;
      if (this.node.parentElement.clientWidth < NARROW) return [];
      return view.terms
        .slice(0, LINES)
        .flatMap(({ row, column, source }) => {
          const arriving = written(out) ? this.strip.cellOf({ name: out, row, column }, true) : null;
          const isThere = source && source.name !== state.at.name && !bp.isHidden(view.held, source.name);
          const by = isThere ? this.strip.cellOf(source) : null;
          return [
            [by, own, "local"],
            [arriving, own, "upstream"],
          ];
        })
        .filter(([from, to]) => from && to);
    }

    draw() {
      const origin = this.node.parentElement.getBoundingClientRect();
      const lines = this.pairs().map(([from, to, kind]) => {
        const [a, b] = [from, to].map((node) => node.getBoundingClientRect());
        return bp.svg("path", { class: `join ${kind}`, d: curve(a, b, origin) });
      });
      this.node.replaceChildren(...lines);
    }
  }

  bp.Joins = Joins;
})((globalThis.pybackprop ??= {}));
