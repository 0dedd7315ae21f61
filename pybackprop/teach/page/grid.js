// A matrix as a window that scrolls: however large it is, only the cells in sight are in the document.
(function (bp) {
  "use strict";

  const CELL = { width: 54, height: 26 };
  const SHOWN = { rows: 8, columns: 5 };
  const BAR = 11; // pixels that a scroll bar may take
  const SPARE = 2; // cells beyond the window's edge, so that a scroll shows no gap
  const KEYS = {
    ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
    PageUp: [-SHOWN.rows, 0], PageDown: [SHOWN.rows, 0], Home: [0, -Infinity], End: [0, Infinity],
  };

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

  class Grid {
    /** owner: {label, look(row, column) -> {text, kind, label}, choose(row, column), scrub?, nudge?} */
    constructor({ rows, columns }, owner) {
      Object.assign(this, { rows, columns, owner, id: bp.freshId("grid"), cells: new Map(), window: "", active: null });
      this.at = { top: 0, left: 0 }; // the scroll position; reading it from the box would force a layout
      this.body = bp.html("div", { class: "cells", role: "presentation" });
      this.box = bp.html("div", {
        class: "grid", role: "grid", tabindex: 0, "aria-label": owner.label,
        "aria-rowcount": rows, "aria-colcount": columns,
        onscroll: () => this.scrolled(), onkeydown: (event) => this.pressed(event),
        onpointerdown: (event) => this.pointed(event), onclick: (event) => this.clicked(event),
      }, this.body);
      this.heads = [bp.html("div", { class: "heads across" }), bp.html("div", { class: "heads down" })];
      this.node = bp.html("div", { class: "matrix" }, ...this.heads.map((head) => {
        head.setAttribute("aria-hidden", "true");
        return head;
      }), this.box);
      this.measure();
      this.draw();
    }

    measure() {
      const [isTall, isWide] = [this.rows > SHOWN.rows, this.columns > SHOWN.columns];
      const width = Math.min(this.columns, SHOWN.columns) * CELL.width;
      const height = Math.min(this.rows, SHOWN.rows) * CELL.height;
      bp.place(this.body, { width: `${this.columns * CELL.width}px`, height: `${this.rows * CELL.height}px` });
      bp.place(this.box, { width: `${width + (isTall ? BAR : 0)}px`, height: `${height + (isWide ? BAR : 0)}px` });
      bp.place(this.heads[0], { width: `${width}px` });
      bp.place(this.heads[1], { height: `${height}px` });
      this.node.classList.toggle("tall", isTall);
    }

    scrolled() {
      this.at = { top: this.box.scrollTop, left: this.box.scrollLeft };
      this.draw();
      this.owner.scrolled?.(this);
    }

    /** Scrolls as another grid of the same shape does. */
    follow({ at: { top, left } }) {
      if (this.at.left !== left) this.box.scrollLeft = left;
      if (this.at.top !== top) this.box.scrollTop = top;
    }

    // ---- drawing ----

    /** Puts the cells of the window into the document; the owner decides how each looks. */
    draw() {
      const rows = span(this.at.top, CELL.height, SHOWN.rows, this.rows);
      const columns = span(this.at.left, CELL.width, SHOWN.columns, this.columns);
      const window = [rows, columns].join();
      if (window !== this.window) this.rebuild(rows, columns);
      this.window = window;
      for (const cell of this.cells.values()) this.show(cell);
      this.point();
    }

    rebuild([firstRow, endRow], [firstColumn, endColumn]) {
      this.cells.clear();
      const rows = [];
      for (let row = firstRow; row < endRow; row++) rows.push(this.row(row, firstColumn, endColumn));
      this.body.replaceChildren(...rows);
      this.index(this.heads[0], firstColumn, endColumn, "left", CELL.width, this.columns);
      this.index(this.heads[1], firstRow, endRow, "top", CELL.height, this.rows);
    }

    row(row, first, end) {
      const node = bp.html("div", { class: "row", role: "row", "aria-rowindex": row + 1 });
      bp.place(node, { top: `${row * CELL.height}px` });
      for (let column = first; column < end; column++) {
        const cell = bp.html("div", { role: "gridcell", "aria-colindex": column + 1, id: `${this.id}-${row}-${column}` });
        bp.place(cell, { left: `${column * CELL.width}px` });
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
    show(cell) {
      const { node, row, column } = cell;
      const { text, kind, label } = this.owner.look(row, column);
      const isActive = this.active === row * this.columns + column;
      const looks = `cell ${kind}${isActive ? " chosen" : ""}`;
      if (cell.label !== label) {
        node.textContent = text;
        node.setAttribute("aria-label", label);
      }
      if (cell.looks !== looks) {
        node.className = looks;
        node.setAttribute("aria-selected", String(isActive));
      }
      Object.assign(cell, { label, looks });
    }

    /** Moves the index numbers with the window, and marks the cell that has the keyboard focus. */
    point() {
      bp.place(this.heads[0].firstChild, { transform: `translateX(${-this.at.left}px)` });
      bp.place(this.heads[1].firstChild, { transform: `translateY(${-this.at.top}px)` });
      const cell = this.cells.get(this.active);
      if (cell) this.box.setAttribute("aria-activedescendant", cell.node.id);
      else this.box.removeAttribute("aria-activedescendant");
    }

    /** Marks an element as chosen; null for none. */
    activate(at) {
      this.active = at === null ? null : at.row * this.columns + at.column;
    }

    /** Scrolls just far enough for an element to be in sight. */
    reveal({ row, column }) {
      const { box } = this;
      box.scrollTop = scrollFor(row, CELL.height, box.scrollTop, box.clientHeight);
      box.scrollLeft = scrollFor(column, CELL.width, box.scrollLeft, box.clientWidth);
      this.at = { top: box.scrollTop, left: box.scrollLeft };
    }

    // ---- keyboard, mouse, touch ----

    pressed(event) {
      if (event.altKey || event.metaKey) return;
      if (this.owner.nudge && "+=-_".includes(event.key)) {
        event.preventDefault();
        this.owner.nudge("+=".includes(event.key) ? 1 : -1);
      } else if (KEYS[event.key]) {
        event.preventDefault();
        this.move(KEYS[event.key], event.ctrlKey);
      } else if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        this.owner.choose(...this.place());
      }
    }

    /** [row, column] of the chosen element, or of the first one. */
    place() {
      return this.active === null ? [0, 0] : [Math.floor(this.active / this.columns), this.active % this.columns];
    }

    /** With Ctrl, Home and End go to the first and last element of all. */
    move([down, right], withCtrl) {
      const [row, column] = this.place();
      const isCorner = withCtrl && !Number.isFinite(right);
      this.owner.choose(
        bp.clamp(row + (isCorner ? right : down), 0, this.rows - 1), bp.clamp(column + right, 0, this.columns - 1),
      );
    }

    cellAt(target) {
      const cell = target.closest?.("[role=gridcell]");
      return cell ? cell.id.split("-").slice(-2).map(Number) : null;
    }

    clicked({ target }) {
      const place = this.cellAt(target);
      if (place) this.owner.choose(...place);
    }

    /** With a finger only the chosen element can be dragged: elsewhere the finger scrolls. */
    pointed(event) {
      const place = this.cellAt(event.target);
      if (!place || event.button !== 0 || !this.owner.scrub) return;
      const isChosen = this.active === place[0] * this.columns + place[1];
      if (event.pointerType === "mouse" || isChosen) this.owner.scrub(event, ...place);
    }
  }

  bp.Grid = Grid;
})(globalThis.pybackprop ??= {});
