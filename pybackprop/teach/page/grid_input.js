// What keys, the mouse and a finger do to a matrix.
(function (bp) {
  "use strict";

  /** Keys, and by how many rows and columns they move. A page is what is shown. */
  const keysOf = ({ shown: { rows } }) => ({
    ArrowUp: [-1, 0],
    ArrowDown: [1, 0],
    ArrowLeft: [0, -1],
    ArrowRight: [0, 1],
    PageUp: [-rows, 0],
    PageDown: [rows, 0],
    Home: [0, -Infinity],
    End: [0, Infinity],
  });

  /** [row, column] of the chosen element, or of the first one. */
  function place({ active, columns }) {
    return active === null ? [0, 0] : [Math.floor(active / columns), active % columns];
  }

  /** With Ctrl, Home and End go to the first and last element of all. */
  function move(grid, [down, right], withCtrl) {
    const [row, column] = place(grid);
    const isCorner = withCtrl && !Number.isFinite(right);
    grid.owner.choose(
      bp.clamp(row + (isCorner ? right : down), 0, grid.rows - 1),
      bp.clamp(column + right, 0, grid.columns - 1),
    );
  }

  /** Whether a key means something here. */
  function act(grid, { key, ctrlKey }) {
    const by = keysOf(grid)[key];
    if (grid.owner.nudge && "+=-_".includes(key)) grid.owner.nudge("+=".includes(key) ? 1 : -1);
    else if (by) move(grid, by, ctrlKey);
    else if (key === "Enter" || key === " ") grid.owner.choose(...place(grid));
    else return false;
    return true;
  }

  function press(grid, event) {
    if (!event.altKey && !event.metaKey && act(grid, event)) event.preventDefault();
  }

  /** [row, column] of the cell that an event is about, or null. */
  function cellOf({ target }) {
    const cell = target.closest?.("[role=gridcell]");
    return cell ? cell.id.split("-").slice(-2).map(Number) : null;
  }

  function click(grid, event) {
    const at = cellOf(event);
    if (at) grid.owner.choose(...at);
  }

  /** With a finger only the chosen element can be dragged: elsewhere the finger scrolls. */
  function point(grid, event) {
    const at = cellOf(event);
    if (!at || event.button !== 0 || !grid.owner.scrub) return;
    const isChosen = grid.active === at[0] * grid.columns + at[1];
    if (event.pointerType === "mouse" || isChosen) grid.owner.scrub(event, ...at);
  }

  /** The listeners of a grid's box. */
  bp.gridInput = (grid) => ({
    onkeydown: (event) => press(grid, event),
    onpointerdown: (event) => point(grid, event),
    onclick: (event) => click(grid, event),
  });
})((globalThis.pybackprop ??= {}));
