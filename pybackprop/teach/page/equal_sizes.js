// The same question where every size is the same: every product of two matrices fits, so shapes are no reason any more.
(function (bp) {
  "use strict";

  const LEVELS = 6; // quarters from 0.25 to 1.5, of either sign; no number is 0, so that every term counts
  const LIFT = 4; // of the biases, so that few units are switched off by relu

  /** Numbers that look arbitrary and are the same each time: multiples of a quarter. */
  function quarters(count, seed) {
    let state = seed;
    const next = () => (state = (1103515245 * state + 12345) % 2147483648);
    return Array.from({ length: count }, () => {
      const size = (1 + (Math.floor(next() / 65536) % LEVELS)) / 4;
      return Math.floor(next() / 65536) % 2 ? size : -size;
    });
  }

  /** The scene of the same network with other numbers, its sizes all the same. */
  bp.withEqualSizes = function (scene) {
    const size = bp.clamp(scene.n, 2, 6);
    const computed = new Set(scene.layers.map(({ out }) => out));
    const biases = new Set(scene.layers.map(({ b }) => b));
    const tensors = Object.fromEntries(
      Object.entries(scene.tensors).map(([name, { shape }], at) => {
        const to = shape.map(() => size);
        if (computed.has(name)) return [name, { shape: to, data: null, g: null }];
        const numbers = quarters(size ** shape.length, 7 + at);
        return [name, { shape: to, data: biases.has(name) ? numbers.map((value) => value + LIFT) : numbers, g: null }];
      }),
    );
    const [name, index] = scene.selected;
    const note = `Every size is ${size} now, and the numbers are others.`;
    return { ...scene, n: size, tensors, selected: [name, index.map((each) => Math.min(each, size - 1))], note };
  };

  /** The element at its place, or beside the diagonal, where a matrix and its transpose cannot be told apart. */
  bp.inEqualSizes = function (net, { name, row, column }) {
    const [i, j] = [Math.min(row, net.n - 1), Math.min(column, net.n - 1)];
    return { name, row: i, column: net.tensors.get(name).rows > 1 && i === j ? (j + 1) % net.n : j };
  };
})((globalThis.pybackprop ??= {}));
