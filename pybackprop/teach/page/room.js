// How the matrices share the room there is, and which of them scroll together: those with the same rows or columns.
(function (bp) {
  "use strict";

  const HEAD = { low: 22, tall: 38 }; // pixels beside a matrix: the numbers of its rows, and the scroll bar of a tall one
  const GAP = 6; // between two matrices, and around an operator
  const SIGN = 16; // for an operator
  const BETWEEN = GAP + SIGN + GAP; // two stacks
  const CARD = 20; // padding and border of a card
  const LEAST = 2; // columns that a matrix shows before the next one goes to another line
  const SLIVER = 3; // columns; with fewer a matrix says little
  const WIDE = 700; // pixels; where there are so many, matrices stand beside each other whatever they show
  const MANY = 12; // columns; with more a matrix asks for no more room

  /** name -> {rows, columns}: what the rows and columns of a tensor are called; equal names belong together. */
  bp.axes = function (net) {
    const found = new Map();
    const rows = { rows: "n" };
    for (const { op, in: x, w, b, targ, out } of net.layers) {
      if (!found.has(x)) found.set(x, { ...rows, columns: `columns of ${x}` });
      const inner = found.get(x).columns;
      if (op === "mse") {
        found.set(targ, found.get(x)).set(out, { rows: "none", columns: "none" });
        continue;
      }
      const columns = op === "relu" ? inner : `columns of ${out}`;
      found.set(out, { ...rows, columns });
      if (op === "lin") found.set(w, { rows: inner, columns });
      if (b != null) found.set(b, { rows: "none", columns });
    }
    return found;
  };

  /** Scrolls every matrix that has rows or columns in common with the one that moved. */
  bp.scrollTogether = function (grids, axes, moved) {
    const { top, left } = moved.corner;
    const own = axes.get(moved.name);
    const at = new Map();
    if (moved.rows > moved.shown.rows) at.set(own.rows, top); // a matrix that is wholly in sight leads nobody
    if (moved.columns > moved.shown.columns) at.set(own.columns, left);
    at.delete("none");
    for (const grid of grids) {
      const { rows, columns } = axes.get(grid.name);
      if (grid !== moved) grid.follow({ top: at.get(rows), left: at.get(columns) });
    }
  };

  const headOf = (tall) => (tall ? HEAD.tall : HEAD.low);

  const widthOf = (stacks, count) =>
    stacks.reduce(
      (sum, { axis, widths, tall }) =>
        sum + widths.reduce((all, width) => all + width * count.get(axis) + headOf(tall), 0),
      (stacks.length - 1) * BETWEEN,
    );

  const leastOf = (stacks, given) =>
    new Map(stacks.map(({ axis, count: all }) => [axis, Math.min(all, given.get(axis) ?? LEAST)]));

  /** Whether so many stacks fit beside each other at all. */
  bp.fitBeside = (stacks, room, given) => widthOf(stacks, leastOf(stacks, given)) <= room - CARD;

  /** Whether some matrix would show fewer columns than tell anything. */
  bp.areSlivers = function (stacks, room, given) {
    if (room >= WIDE) return false;
    const shared = bp.shareRoom(stacks, room, given);
    return (
      !bp.fitBeside(stacks, room, given) || stacks.some(({ axis, count }) => shared.get(axis) < Math.min(SLIVER, count))
    );
  };

  /**
   * How many columns each axis shows: as many as fit beside each other, at least LEAST.
   * stacks: {axis, count, widths, tall} for each stack of matrices in a card, widths being those of its columns, one for each
   * matrix that stands beside another in the stack. given: axis -> columns, what other cards have decided.
   */
  bp.shareRoom = function (stacks, room, given) {
    const count = leastOf(stacks, given);
    const inner = room - CARD;
    if (!bp.fitBeside(stacks, room, given)) return alone(stacks, inner, given);
    const open = new Set(
      stacks.filter(({ axis, count: all }) => !given.has(axis) && count.get(axis) < all).map(({ axis }) => axis),
    );
    const all = new Map(stacks.map(({ axis, count: most }) => [axis, most]));
    const share = (axis) => count.get(axis) / Math.min(all.get(axis), MANY);
    while (open.size) {
      const [axis] = [...open].sort((a, b) => share(a) - share(b));
      count.set(axis, count.get(axis) + 1);
      if (widthOf(stacks, count) > inner) {
        count.set(axis, count.get(axis) - 1);
        open.delete(axis);
      } else if (count.get(axis) === all.get(axis)) open.delete(axis);
    }
    return count;
  };

  /** Each stack in a line of its own. */
  function alone(stacks, inner, given) {
    const count = new Map();
    for (const { axis, count: all, widths, tall } of stacks) {
      const fits = Math.floor(
        (inner - widths.length * headOf(tall) - SIGN) / widths.reduce((sum, width) => sum + width, 0),
      );
      count.set(axis, Math.min(count.get(axis) ?? given.get(axis) ?? all, bp.clamp(fits, 1, all)));
    }
    return count;
  }
})((globalThis.pybackprop ??= {}));
