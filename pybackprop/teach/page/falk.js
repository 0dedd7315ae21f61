// A product drawn with its second operand above and to the right (Falk's scheme): row i of the first and column j of the
// second meet in element [i,j], and a line around the corner connects each column of the first to its row of the second.
(function (bp) {
  "use strict";

  const CELL = { width: 48, height: 24 };
  const ROOM = CELL.width + 1; // for a number: one with a sign and four digits
  const ROWS = 5; // of the result
  const LEAST = 3; // columns of the result that stay if there are many terms, where there is room
  const TERMS = 4; // that are more than columns of the result, where there is not
  const SMALLEST = 0.8; // of the usual size, if that brings all terms in sight
  const EDGE = { left: 38, top: 34, right: 34, bottom: 36 };
  const GAP = 12; // between the operands and the result
  const STUB = 18; // how far a line without a partner goes

  /** [first, end] of the indices to show around one of them. */
  function windowAround(at, count, shown) {
    const first = bp.clamp(at - Math.floor(shown / 2), 0, Math.max(0, count - shown));
    return [first, Math.min(count, first + shown)];
  }

  const cellsIn = (room) => Math.floor((room - EDGE.left - EDGE.right - GAP) / CELL.width);

  /** The room for the drawing: more than there is, to be scaled down, if all terms are in sight then. */
  function roomFor({ left, right }, room) {
    const terms = Math.max(left.columns, right.rows);
    return terms + 1 > cellsIn(room) && terms + 1 <= cellsIn(room / SMALLEST) ? room / SMALLEST : room;
  }

  /** How many cells fit beside each other, shared by the terms and the columns of the result. */
  function shares({ left, right }, room) {
    const all = Math.max(LEAST + 1, cellsIn(room));
    const terms = Math.max(left.columns, right.rows);
    const least = bp.clamp(all - (terms < all ? terms : TERMS), 1, LEAST);
    const inner = Math.min(terms, all - Math.min(least, right.columns));
    return { rows: ROWS, inner, columns: Math.max(1, all - Math.min(inner, left.columns)) };
  }

  function innerWindows({ left, right, fits }, k, shown) {
    const [a, b] = [left.columns, right.rows];
    const at = fits ? Math.max(0, k - 1) : Math.min(a, b);
    const [first] = windowAround(at, Math.max(a, b), shown);
    return [a, b].map((count) => [first, bp.clamp(first + shown, first, Math.max(first, count))]);
  }

  /** The layout, in pixels, for a window of the matrices. */
  function layout(product, { row, column, k }, room) {
    const shown = shares(product, room);
    const rows = windowAround(row, product.left.rows, shown.rows);
    const columns = windowAround(column, product.right.columns, shown.columns);
    const [across, down] = innerWindows(product, k, shown.inner);
    const x = EDGE.left;
    const corner = { x: x + (across[1] - across[0]) * CELL.width, y: EDGE.top + (down[1] - down[0]) * CELL.height };
    const right = corner.x + GAP + (columns[1] - columns[0]) * CELL.width;
    const bottom = corner.y + GAP + (rows[1] - rows[0]) * CELL.height;
    return {
      rows,
      columns,
      across,
      down,
      corner,
      width: right + EDGE.right,
      height: bottom + EDGE.bottom,
      left: { x, y: corner.y + GAP, rows, columns: across },
      right: { x: corner.x + GAP, y: EDGE.top, rows: down, columns },
      result: { x: corner.x + GAP, y: corner.y + GAP, rows, columns },
    };
  }

  // ---- matrices ----

  function cell(x, y, text, kind) {
    return bp.svg(
      "g",
      { class: `cell ${kind}` },
      bp.svg("rect", { x: x + 1, y: y + 1, width: CELL.width - 2, height: CELL.height - 2, rx: 3 }),
      bp.svg("text", { x: x + CELL.width / 2, y: y + CELL.height / 2 + 4, "text-anchor": "middle" }, text),
    );
  }

  /** A matrix, and its cells: {matrix, r, c, node}. */
  function block({ x, y, rows, columns }, matrix, look) {
    const cells = [];
    for (let r = rows[0]; r < rows[1]; r++) {
      for (let c = columns[0]; c < columns[1]; c++) {
        const { text, kind } = look(r, c);
        const node = cell(x + (c - columns[0]) * CELL.width, y + (r - rows[0]) * CELL.height, text, kind);
        cells.push({ matrix, r, c, node });
      }
    }
    const [width, height] = [(columns[1] - columns[0]) * CELL.width, (rows[1] - rows[0]) * CELL.height];
    const frame = bp.svg("rect", { class: "frame", x, y, width, height, rx: 4 });
    return { cells, node: bp.svg("g", {}, ...cells.map(({ node }) => node), frame) };
  }

  const looks = (product, at, sum, sumOf) => ({
    left: leftLook(product, at),
    right: rightLook(product, at),
    result: resultLook(product, at, sum, sumOf),
  });

  /** Other numbers in the same drawing. */
  bp.falkNumbers = function (cells, product, at, sum, sumOf) {
    const look = looks(product, at, sum, sumOf);
    for (const { matrix, r, c, node } of cells) bp.say(node.lastChild, look[matrix](r, c).text);
  };

  const role = ({ g }) => (g ? "is-gradient" : "is-value");

  function leftLook({ left, fits }, { row, k }) {
    return (r, c) => {
      const kind = !fits ? "plain" : r !== row ? "plain" : c === k - 1 ? "pair" : c < k ? "met" : "line";
      return { text: bp.fitted(left.at(r, c), ROOM), kind: `${kind} ${role(left)}` };
    };
  }

  function rightLook({ right, fits }, { column, k }) {
    return (r, c) => {
      const kind = !fits ? "plain" : c !== column ? "plain" : r === k - 1 ? "pair" : r < k ? "met" : "line";
      return { text: bp.fitted(right.at(r, c), ROOM), kind: `${kind} ${role(right)}` };
    };
  }

  function resultLook(product, { row, column }, sum, sumOf) {
    const here = row * product.right.columns + column;
    return (r, c) => {
      const at = r * product.right.columns + c;
      if (!product.fits) return { text: "", kind: "none" };
      if (at === here) return { text: bp.fitted(sum, ROOM), kind: "sum" };
      return { text: bp.fitted(sumOf(r, c), ROOM), kind: "other" };
    };
  }

  // ---- the inner dimension, around the corner ----

  function cross(x, y) {
    return bp.svg("path", { class: "misfit", d: `M${x - 4} ${y - 4}l8 8m0 -8l-8 8` });
  }

  function guide({ left, right, across, down, corner }, index, current) {
    const hasColumn = index >= across[0] && index < across[1];
    const hasRow = index >= down[0] && index < down[1];
    const x = left.x + (index - across[0] + 0.5) * CELL.width;
    const y = right.y + (index - down[0] + 0.5) * CELL.height;
    const [bottom, end] = [corner.y + GAP - 2, corner.x + GAP - 2];
    if (hasColumn && hasRow) {
      const d = `M${x} ${bottom}V${y + 8}Q${x} ${y} ${x + 8} ${y}H${end}`;
      return [bp.svg("path", { class: `guide${index === current ? " now" : ""}`, d })];
    }
    if (hasColumn) return [bp.svg("path", { class: "misfit", d: `M${x} ${bottom}v${-STUB}` }), cross(x, bottom - STUB)];
    if (hasRow) return [bp.svg("path", { class: "misfit", d: `M${end} ${y}h${-STUB}` }), cross(end - STUB, y)];
    return [];
  }

  function guides(place, current) {
    const [first, end] = [place.across[0], Math.max(place.across[1], place.down[1])];
    return Array.from({ length: end - first }, (_, k) => guide(place, first + k, current)).flat();
  }

  // ---- names and indices ----

  const text = (x, y, words, kind, anchor = "middle") =>
    bp.svg("text", { x, y, class: kind, "text-anchor": anchor }, words);

  function title({ x, y }, { label, rows, columns }, dx, dy, anchor) {
    return bp.svg(
      "text",
      { x: x + dx, y: y + dy, class: "title", "text-anchor": anchor },
      bp.svg("tspan", { class: "name" }, label),
      bp.svg("tspan", {}, `  ${rows} \u00d7 ${columns}`),
    );
  }

  /** The titles below: the one of the result ends at its edge where the first operand's needs the room. */
  function titles(product, { left, right, result, columns, height }) {
    const below = height - 6;
    const isTight =
      bp.widthOf(`${product.left.label}  ${product.left.rows} \u00d7 ${product.left.columns}`) * 1.1 >
      result.x - left.x;
    const [x, anchor] = isTight ? [result.x + (columns[1] - columns[0]) * CELL.width, "end"] : [result.x, "start"];
    const made = {
      label: product.isRight ? product.target.label : product.label,
      rows: product.left.rows,
      columns: product.right.columns,
    };
    return [
      title({ x: left.x, y: below }, product.left, 0, 0, "start"),
      title(right, product.right, 0, -21, "start"),
      product.fits ? title({ x, y: below }, made, 0, 0, anchor) : text(x, below, "no result", "title wrong", anchor),
    ];
  }

  function ticks([first, end], count, at) {
    return Array.from({ length: end - first }, (_, k) => {
      const index = first + k;
      const isCut = (k === 0 && first > 0) || (index === end - 1 && end < count);
      return at(k, isCut ? `${index}\u2026` : String(index));
    });
  }

  function indices(product, { left, right, rows, columns, across, down, height }) {
    const [midX, midY] = [CELL.width / 2, CELL.height / 2 + 4];
    const rightEdge = right.x + (columns[1] - columns[0]) * CELL.width + 6;
    return [
      ...ticks(rows, product.left.rows, (k, words) =>
        text(left.x - 6, left.y + k * CELL.height + midY, words, "tick", "end"),
      ),
      ...ticks(columns, product.right.columns, (k, words) =>
        text(right.x + k * CELL.width + midX, right.y - 7, words, "tick"),
      ),
      ...ticks(across, product.left.columns, (k, words) =>
        text(left.x + k * CELL.width + midX, height - EDGE.bottom + 13, words, "tick"),
      ),
      ...ticks(down, product.right.rows, (k, words) =>
        text(rightEdge, right.y + k * CELL.height + midY, words, "tick", "start"),
      ),
    ];
  }

  /**
   * The drawing as SVG nodes, with its width, its height and its cells. at: {row, column, k}; sumOf(row, column) the whole sum;
   * room: pixels.
   */
  bp.falk = function (product, at, sum, sumOf, room) {
    const place = layout(product, at, roomFor(product, room));
    const look = looks(product, at, sum, sumOf);
    const blocks = ["left", "right", "result"].map((matrix) => block(place[matrix], matrix, look[matrix]));
    const nodes = [
      ...guides(place, product.fits ? at.k - 1 : -1),
      ...blocks.map(({ node }) => node),
      ...titles(product, place),
      ...indices(product, place),
    ];
    return {
      nodes,
      cells: blocks.flatMap(({ cells }) => cells),
      width: place.width,
      height: place.height,
      result: place.result,
      cell: CELL,
    };
  };
})((globalThis.pybackprop ??= {}));
