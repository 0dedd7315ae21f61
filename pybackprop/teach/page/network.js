// The network: its tensors, and the forward and backward pass. Pure functions of numbers.
// Sums are added in the library's order. A float32 product is exact in double, so storing `sum + product` in a
// Float32Array rounds almost as a fused multiply-add does: results agree within float32's tolerance.
(function (bp) {
  "use strict";

  const ROLES = { in: "data", w: "weight", b: "bias", targ: "target" };
  const { entries } = Object;

  function rowsAndColumns(shape) {
    return shape.length === 2 ? shape : shape.length === 1 ? [1, shape[0]] : [1, 1];
  }

  function roles(layers) {
    const found = new Map();
    for (const layer of layers) {
      for (const [slot, role] of entries(ROLES)) {
        if (layer[slot] != null && !found.has(layer[slot])) found.set(layer[slot], role);
      }
      found.set(layer.out, layer.op === "mse" ? "loss" : layer.op === "relu" ? "activation" : "output");
    }
    return found;
  }

  /** Unpacked numbers as they are; others from decimals and the words "NaN", "Infinity", "-Infinity". */
  const numbersFrom = (data, Numbers) => (data instanceof Numbers ? data : Numbers.from(data, Number));

  bp.numbersOf = ({ dtype }) => (dtype === "float32" ? Float32Array : Float64Array);

  /** What a scene describes: dtype, n, layers, tensors (name -> shape, rows, columns, role, data of leaves). */
  bp.network = function (scene) {
    const Numbers = bp.numbersOf(scene);
    const net = { ...scene, Numbers, tensors: new Map() };
    const role = roles(scene.layers);
    for (const [name, { shape, data }] of entries(scene.tensors)) {
      const [rows, columns] = rowsAndColumns(shape);
      const numbers = data === null || !bp.isLeaf(role.get(name)) ? null : numbersFrom(data, Numbers);
      net.tensors.set(name, { name, shape, rows, columns, role: role.get(name), data: numbers });
    }
    return net;
  };

  bp.isLeaf = (role) => !["output", "activation", "loss"].includes(role);

  /** "loss = mse(relu(x @ w1 + b1) @ w2 + b2, targ)" */
  bp.networkFormula = function (layers) {
    const written = layers.reduce((inside, { op, w, b, targ }) => {
      if (op === "lin") return `${inside} @ ${w}${b === null ? "" : ` + ${b}`}`;
      return op === "relu" ? `relu(${inside})` : `mse(${inside}, ${targ})`;
    }, layers[0].in);
    return `${layers.at(-1).out} = ${written}`;
  };

  const sizeOf = ({ rows, columns }) => rows * columns;

  // ---- forward ----

  function lin(Numbers, { rows: n, columns: m }, h, x, w, b) {
    const out = new Numbers(n * h);
    for (let i = 0; i < n; i++) {
      for (let k = 0; k < m; k++) {
        const value = x[i * m + k];
        for (let j = 0; j < h; j++) out[i * h + j] += value * w[k * h + j];
      }
      if (b) for (let j = 0; j < h; j++) out[i * h + j] += b[j];
    }
    return out;
  }

  function relu(Numbers, x) {
    const out = new Numbers(x.length);
    for (let k = 0; k < x.length; k++) out[k] = x[k] > 0 || Number.isNaN(x[k]) ? x[k] : 0;
    return out;
  }

  function mse(Numbers, out, targ) {
    const difference = new Numbers(1);
    let sum = 0;
    for (let k = 0; k < out.length; k++) {
      difference[0] = out[k] - targ[k];
      sum += difference[0] * difference[0];
    }
    return Numbers.of(sum / out.length);
  }

  /** The output of one layer for the given values; in double where Numbers is Float64Array. */
  bp.output = function (net, layer, values, Numbers = net.Numbers) {
    const x = values.get(layer.in);
    if (layer.op === "relu") return relu(Numbers, x);
    if (layer.op === "mse") return mse(Numbers, x, values.get(layer.targ));
    const b = layer.b === null ? null : values.get(layer.b);
    return lin(Numbers, net.tensors.get(layer.in), net.tensors.get(layer.out).columns, x, values.get(layer.w), b);
  };

  function overlaid(numbers, changes, put) {
    if (!changes) return numbers;
    const copy = numbers.slice();
    for (const [at, value] of changes) copy[at] = put(copy[at], value);
    return copy;
  }

  /**
   * All values, by name. changed: name -> (flat index -> number). Of a leaf it is the value; what an operation
   * computes is nudged by it, so that everything before stays connected and its gradient stays true.
   */
  bp.forward = function (net, changed = new Map(), Numbers = net.Numbers) {
    const values = new Map();
    for (const { name, data } of net.tensors.values()) {
      if (data)
        values.set(
          name,
          overlaid(new Numbers(data), changed.get(name), (_, value) => value),
        );
    }
    for (const layer of net.layers) {
      const out = bp.output(net, layer, values, Numbers);
      values.set(
        layer.out,
        overlaid(out, changed.get(layer.out), (old, nudge) => old + nudge),
      );
    }
    return values;
  };

  // ---- backward ----

  function mseGrad(net, layer, values) {
    const [out, targ] = [values.get(layer.in), values.get(layer.targ)];
    const factor = net.Numbers.of(2 / out.length)[0];
    const g = new net.Numbers(out.length);
    for (let k = 0; k < g.length; k++) {
      g[k] = out[k] - targ[k];
      g[k] *= factor;
    }
    return g;
  }

  const reluGrad = (net, x, upstream) => upstream.map((g, k) => (x[k] > 0 ? g : 0));

  function transposed(numbers, rows, columns) {
    const turned = new numbers.constructor(numbers.length);
    for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) turned[j * rows + i] = numbers[i * columns + j];
    return turned;
  }

  /** g @ w.T */
  const xGrad = ({ Numbers }, { rows, columns: m }, h, w, g) =>
    lin(Numbers, { rows, columns: h }, m, g, transposed(w, m, h), null);

  function wGrad(net, { rows: n, columns: m }, h, x, g) {
    const made = new net.Numbers(m * h);
    for (let i = 0; i < n; i++) {
      for (let k = 0; k < m; k++) {
        const value = x[i * m + k];
        for (let j = 0; j < h; j++) made[k * h + j] += value * g[i * h + j];
      }
    }
    return made;
  }

  function bGrad(net, n, h, g) {
    const made = new net.Numbers(h);
    for (let i = 0; i < n; i++) for (let j = 0; j < h; j++) made[j] += g[i * h + j];
    return made;
  }

  function linGrad(net, layer, values, grads) {
    const [x, g] = [net.tensors.get(layer.in), grads.get(layer.out)];
    const h = net.tensors.get(layer.out).columns;
    grads.set(layer.in, xGrad(net, x, h, values.get(layer.w), g));
    grads.set(layer.w, wGrad(net, x, h, values.get(layer.in), g));
    if (layer.b !== null) grads.set(layer.b, bGrad(net, x.rows, h, g));
  }

  /** All gradients, by name: what mse_grad, lin_grad and relu_grad write, from the last layer to the first. */
  bp.backward = function (net, values) {
    const grads = new Map();
    for (const layer of net.layers.toReversed()) {
      if (layer.op === "mse") grads.set(layer.in, mseGrad(net, layer, values));
      else if (layer.op === "lin") linGrad(net, layer, values, grads);
      else grads.set(layer.in, reluGrad(net, values.get(layer.in), grads.get(layer.out)));
    }
    return grads;
  };

  /** One forward and backward pass. */
  bp.run = function (net, changed) {
    const values = bp.forward(net, changed);
    return { values, grads: bp.backward(net, values), loss: values.get(net.layers.at(-1).out)[0] };
  };

  bp.sizeOf = sizeOf;
})((globalThis.pybackprop ??= {}));
