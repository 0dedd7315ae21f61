// A matrix as a window that scrolls: however large it is, only the cells in sight are in the document.
(function (bp) {
  "use strict";

  const HEIGHT = 24; // pixels of a row
  const SHOWN = { rows: 8, columns: 5 };
  const BAR = 11; // pixels that a scroll bar may take; gradients have none, they scroll with their values
  const SPARE = 1; // cells beyond the window's edge, so that a scroll shows no gap
  const PAUSE = 120; // milliseconds: during a drag these are written to no more often

  function span(offset, size, shown, count) {
    const first = Math.max(0, Math.floor(offset / size) - SPARE);
    return [first, Math.min(count, first + shown + 2 * SPARE + 1)];
  }

  /** How far to scroll so that a row or column is in sight: not at all if it is, else so that it is in the middle. */
  function scrollFor(index, size, offset, visible) {
    const start = index * size;
    if (start >= offset && start + size <= offset + visible) return offset;
    return Math.max(0, Math.round((start - (visible - size) / 2) / size) * size);
  }

  /** The text of a cell, and its difference below, whose node stays, since a drag writes to many cells. */
  function write(node, text, delta) {
    const small = node.lastElementChild;
    if (!delta) bp.say(node, text);
    else if (!small) node.replaceChildren(text, bp.html("small", {}, delta));
    else {
      node.firstChild.replaceWith(text); // one that only changes would count as a shift of the layout
      bp.say(small, delta);
    }
  }

  class Grid {
    /**
     * owner: {label, width, look(row, column) -> {value, delta, kind}, text(look, row, column) -> {text, label},
     * choose(row, column), scrub?, nudge?, scrolled?}; width is that of a column.
     */
    constructor({ rows, columns }, owner) {
      Object.assign(this, {
        rows,
        columns,
        owner,
        id: bp.freshId("grid"),
        cells: new Map(),
        window: "",
        active: null,
        later: null,
      });
      this.at = { top: 0, left: 0 }; // the scroll position; reading it from the box would force a layout
      this.shown = { rows: Math.min(rows, SHOWN.rows), columns: Math.min(columns, SHOWN.columns) };
      this.width = owner.width;
      this.body = bp.html("div", { class: "cells", role: "presentation" });
      this.box = bp.html(
        "div",
        {
          class: "grid",
          role: "grid",
          tabindex: 0,
          "aria-label": owner.label,
          "aria-rowcount": rows,
          "aria-colcount": columns,
          onscroll: () => this.scrolled(),
          ...bp.gridInput(this),
        },
        this.body,
      );
      this.heads = ["across", "down"].map((side) => bp.html("div", { class: `heads ${side}`, "aria-hidden": "true" }));
      this.node = bp.html("div", { class: "matrix" }, ...this.heads, this.box);
      this.measure();
    }

    /** The same matrix with room for so many columns. */
    show(columns) {
      if (columns === this.shown.columns) return;
      this.shown.columns = columns;
      this.measure();
      this.follow({ left: this.at.left / this.width });
      this.draw();
    }

    measure() {
      const { shown, width: cell } = this;
      const hasBars = !this.owner.isGradient;
      const [isTall, isWide] = [this.rows > shown.rows, this.columns > shown.columns];
      const [width, height] = [shown.columns * cell, shown.rows * HEIGHT];
      this.node.style.setProperty("--cell", `${cell}px`);
      bp.place(this.body, { width: `${this.columns * cell}px`, height: `${this.rows * HEIGHT}px` });
      bp.place(this.box, {
        width: `${width + (isTall && hasBars ? BAR : 0)}px`,
        height: `${height + (isWide && hasBars ? BAR : 0)}px`,
      });
      bp.place(this.heads[0], { width: `${width}px` });
      bp.place(this.heads[1], { height: `${height}px` });
      this.node.classList.toggle("tall", isTall);
      this.node.classList.toggle("single", this.columns === 1); // its column needs no number
    }

    // ---- scrolling ----

    scrolled() {
      const [top, left] = [this.box.scrollTop, this.box.scrollLeft];
      if (top === this.at.top && left === this.at.left) return; // the page scrolled it, not the reader
      this.at = { top, left };
      this.draw();
      this.owner.scrolled?.(this);
    }

    /** The row and the column at its upper left corner; fractions while it scrolls. */
    get corner() {
      return { top: this.at.top / HEIGHT, left: this.at.left / this.width };
    }

    /** Scrolls to a row, a column or both at the corner, as far as there are any. */
    follow({ top = this.corner.top, left = this.corner.left }) {
      const to = {
        top: bp.clamp(top, 0, this.rows - this.shown.rows) * HEIGHT,
        left: bp.clamp(left, 0, this.columns - this.shown.columns) * this.width,
      };
      if (to.top === this.at.top && to.left === this.at.left) return;
      this.box.scrollTo({ ...to, behavior: "instant" });
      this.at = { top: this.box.scrollTop, left: this.box.scrollLeft };
      this.draw();
    }

    /** Scrolls just far enough for an element to be in sight. */
    reveal({ row, column }) {
      const { shown, width } = this;
      this.follow({
        top: scrollFor(row, HEIGHT, this.at.top, shown.rows * HEIGHT) / HEIGHT,
        left: scrollFor(column, width, this.at.left, shown.columns * width) / width,
      });
    }

    /** Marks the edges beyond which there is more. */
    markEdges() {
      const { at, shown, width, node } = this;
      const edges = {
        "more-left": at.left > 1,
        "more-right": at.left + shown.columns * width < this.columns * width - 1,
        "more-above": at.top > 1,
        "more-below": at.top + shown.rows * HEIGHT < this.rows * HEIGHT - 1,
      };
      for (const [name, is] of Object.entries(edges)) node.classList.toggle(name, is);
    }

    // ---- drawing ----

    /** Puts the cells of the window into the document; the owner decides how each looks. */
    draw() {
      const rows = span(this.at.top, HEIGHT, this.shown.rows, this.rows);
      const columns = span(this.at.left, this.width, this.shown.columns, this.columns);
      const window = [rows, columns].join();
      if (window !== this.window) this.rebuild(rows, columns);
      this.window = window;
      const isWhole = this.later === null;
      this.later ??= setTimeout(() => this.catchUp(), PAUSE);
      for (const cell of this.cells.values()) {
        if (isWhole || cell.looks === undefined || this.isInSight(cell)) this.showCell(cell);
      }
      this.point();
    }

    catchUp() {
      this.later = null;
      for (const cell of this.cells.values()) this.showCell(cell);
    }

    rebuild([firstRow, endRow], [firstColumn, endColumn]) {
      this.cells.clear();
      const rows = [];
      for (let row = firstRow; row < endRow; row++) rows.push(this.row(row, firstColumn, endColumn));
      this.body.replaceChildren(...rows);
      this.index(this.heads[0], firstColumn, endColumn, "left", this.width, this.columns);
      this.index(this.heads[1], firstRow, endRow, "top", HEIGHT, this.rows);
    }

    row(row, first, end) {
      const node = bp.html("div", { class: "row", role: "row", "aria-rowindex": row + 1 });
      bp.place(node, { top: `${row * HEIGHT}px` });
      for (let column = first; column < end; column++) {
        const cell = bp.html("div", {
          role: "gridcell",
          "aria-colindex": column + 1,
          id: `${this.id}-${row}-${column}`,
        });
        bp.place(cell, { left: `${column * this.width}px` });
        this.cells.set(row * this.columns + column, { node: cell, row, column });
        node.append(cell);
      }
      return node;
    }

    index(head, first, end, side, size, count) {
      const numbers = [];
      for (let k = first; count > 1 && k < end; k++) {
        const node = bp.html("span", {}, String(k));
        bp.place(node, { [side]: `${k * size}px` });
        numbers.push(node);
      }
      head.replaceChildren(bp.html("div", {}, ...numbers));
    }

    /** Touches the document only where a cell differs from what was last shown. */
    showCell(cell) {
      const { node, row, column } = cell;
      const look = this.owner.look(row, column);
      const isActive = this.active === row * this.columns + column;
      const looks = `cell ${look.kind}${isActive ? " chosen" : ""}${look.delta ? " delta" : ""}`;
      if (cell.looks === looks && Object.is(cell.value, look.value) && Object.is(cell.delta, look.delta)) return;
      const { text, delta, label } = this.owner.text(look, row, column);
      write(node, text, delta);
      node.setAttribute("aria-label", label);
      if (cell.looks !== looks) {
        node.className = looks;
        node.setAttribute("aria-selected", String(isActive));
      }
      Object.assign(cell, { looks, value: look.value, delta: look.delta });
    }

    /** Moves the index numbers with the window, and marks the cell that has the keyboard focus. */
    point() {
      bp.place(this.heads[0].firstChild, { transform: `translateX(${-this.at.left}px)` });
      bp.place(this.heads[1].firstChild, { transform: `translateY(${-this.at.top}px)` });
      this.markEdges();
      const cell = this.cells.get(this.active);
      if (cell) this.box.setAttribute("aria-activedescendant", cell.node.id);
      else this.box.removeAttribute("aria-activedescendant");
    }

    /** Where a cell is in the window, from its upper left corner. */
    offset({ row, column }) {
      return [row * HEIGHT - this.at.top, column * this.width - this.at.left];
    }

    isInSight(place) {
      const { shown, width } = this;
      const [y, x] = this.offset(place);
      return y > -HEIGHT && x > -width && y < shown.rows * HEIGHT && x < shown.columns * width;
    }

    /** The node of a cell, null where it is not wholly in sight. */
    nodeAt(row, column) {
      const { shown, width } = this;
      const [y, x] = this.offset({ row, column });
      const isInside =
        y > -1 && x > -1 && y + HEIGHT < shown.rows * HEIGHT + 1 && x + width < shown.columns * width + 1;
      return isInside ? (this.cells.get(row * this.columns + column)?.node ?? null) : null;
    }

    /** Marks an element as chosen; null for none. */
    activate(at) {
      this.active = at === null ? null : at.row * this.columns + at.column;
    }
  }

  bp.Grid = Grid;
})((globalThis.pybackprop ??= {}));
