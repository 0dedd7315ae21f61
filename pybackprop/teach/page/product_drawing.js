// The drawing of a product in its box: as wide as there is room, and built anew only where more than its numbers change.
(function (bp) {
  "use strict";

  class ProductDrawing {
    /** choose(row, column): what a click on an element of the result does; again(): draws, in another width, until the signal. */
    constructor(box, choose, again, signal) {
      Object.assign(this, { box, choose, drawn: null, built: null });
      this.node = bp.svg("svg", { class: "falk", role: "img", onclick: (event) => this.clicked(event) });
      box.append(this.node);
      this.room = box.clientWidth; // reading it at every change would make the browser lay out the page each time
      bp.observe(new ResizeObserver(() => this.resized(again)), box, signal);
    }

    resized(again) {
      if (this.box.clientWidth === this.room) return;
      this.room = this.box.clientWidth;
      again();
    }

    /** at: {row, column, k}; sum: of the terms of that element that are added so far, null where there are none. */
    draw(net, product, at, sum) {
      const { left, right } = product;
      const isHidden = product.missing || product.isAhead;
      const sumOf = (row, column) => (isHidden ? null : bp.productSum(net, product, row, column));
      const built = JSON.stringify([at, product.label, left.rows, left.columns, right.rows, right.columns, this.room]);
      if (built === this.built && this.drawn.cells) bp.falkNumbers(this.drawn.cells, product, at, sum, sumOf);
      else this.build(product, at, sum, sumOf);
      this.built = built;
    }

    build(product, at, sum, sumOf) {
      this.drawn = product.elementwise
        ? bp.elementwise(product, at, this.room)
        : bp.falk(product, at, sum, sumOf, this.room);
      const { nodes, width, height } = this.drawn;
      const scale = Math.min(1, this.room / width);
      this.node.setAttribute("viewBox", `0 0 ${width} ${height}`);
      bp.place(this.node, { width: `${width * scale}px`, height: `${height * scale}px` });
      const how = product.elementwise ? "" : `, drawn with ${product.right.label} above and to the right`;
      this.node.setAttribute("aria-label", `${product.label}${how}. ${bp.verdict(product, at).text}`);
      this.node.replaceChildren(...nodes);
    }

    clicked(event) {
      const { result, cell, width } = this.drawn;
      const box = this.node.getBoundingClientRect();
      const scale = width / box.width;
      const column = Math.floor(((event.clientX - box.left) * scale - result.x) / cell.width) + result.columns[0];
      const row = Math.floor(((event.clientY - box.top) * scale - result.y) / cell.height) + result.rows[0];
      const isInside =
        row >= result.rows[0] && row < result.rows[1] && column >= result.columns[0] && column < result.columns[1];
      if (isInside) this.choose(row, column);
    }
  }

  bp.ProductDrawing = ProductDrawing;
})((globalThis.pybackprop ??= {}));
