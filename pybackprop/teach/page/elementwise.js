// What relu or mse does to each element alone, drawn: the two operands and the result, one element of each joined.
(function (bp) {
  "use strict";

  const CELL = { width: 54, height: 24 };
  const ROWS = 6;
  const EDGE = { left: 24, top: 34, bottom: 8 };
  const GAP = 58; // between two matrices, where the operator stands

  function windowAround(at, count, shown) {
    const first = bp.clamp(at - Math.floor(shown / 2), 0, Math.max(0, count - shown));
    return [first, Math.min(count, first + shown)];
  }

  const text = (x, y, words, kind, anchor = "middle") =>
    bp.svg("text", { x, y, class: kind, "text-anchor": anchor }, words);

  function matrix(x, { label, at, g }, rows, columns, { row, column }, { kindHere, hasRows }) {
    const nodes = [text(x, EDGE.top - 20, label, "title", "start")];
    for (let c = columns[0]; c < columns[1]; c++)
      nodes.push(text(x + (c - columns[0] + 0.5) * CELL.width, EDGE.top - 6, c, "tick"));
    for (let r = rows[0]; r < rows[1]; r++) {
      const y = EDGE.top + (r - rows[0]) * CELL.height;
      if (hasRows) nodes.push(text(x - 5, y + CELL.height / 2 + 4, r, "tick", "end"));
      for (let c = columns[0]; c < columns[1]; c++) {
        const kind = r === row && c === column ? kindHere : "other";
        nodes.push(
          bp.svg(
            "g",
            { class: `cell ${kind} ${g ? "is-gradient" : "is-value"}` },
            bp.svg("rect", {
              x: x + (c - columns[0]) * CELL.width + 1,
              y: y + 1,
              width: CELL.width - 2,
              height: CELL.height - 2,
              rx: 3,
            }),
            text(
              x + (c - columns[0] + 0.5) * CELL.width,
              y + CELL.height / 2 + 4,
              bp.fitted(at(r, c), CELL.width),
              null,
            ),
          ),
        );
      }
    }
    return nodes;
  }

  /** The drawing as SVG nodes, with its width and height; at: {row, column}; room: pixels. */
  bp.elementwise = function (product, at, room) {
    const shown = Math.max(1, Math.floor((room - EDGE.left - 2 * GAP) / 3 / CELL.width));
    const [rows, columns] = [windowAround(at.row, product.rows, ROWS), windowAround(at.column, product.columns, shown)];
    const width = (columns[1] - columns[0]) * CELL.width;
    const places = [0, 1, 2].map((k) => EDGE.left + k * (width + GAP));
    const middle = EDGE.top + ((rows[1] - rows[0]) * CELL.height) / 2 + 4;
    const isRelu = product.kind === "relu";
    const equals = isRelu ? "=" : `\u00b7 2/${product.rows * product.columns} =`;
    const nodes = [
      ...[...product.operands, product.result].flatMap((operand, k) =>
        matrix(places[k], operand, rows, columns, at, { kindHere: k === 2 ? "sum" : "pair", hasRows: k === 0 }),
      ),
      text(places[1] - GAP / 2 - 4, middle, isRelu ? "> 0 \u00b7" : "\u2212", "title"),
      text(places[2] - GAP / 2 - 4, middle, equals, "title"),
    ];
    return {
      nodes,
      width: places[2] + width + 4,
      height: EDGE.top + (rows[1] - rows[0]) * CELL.height + EDGE.bottom,
      result: { x: places[2], y: EDGE.top, rows, columns },
      cell: CELL,
    };
  };
})((globalThis.pybackprop ??= {}));
