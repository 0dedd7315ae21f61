// The backward pass, operation by operation: what each step reads and writes, and in which storage. Pure functions.
(function (bp) {
  "use strict";

  const MADE_BY = { mse: "mse_grad", relu: "relu_grad", lin: "lin_grad" };

  function written(layer) {
    if (layer.op !== "lin") return [layer.in];
    return [layer.in, layer.w, layer.b].filter((name) => name !== null);
  }

  function call(layer, inplace) {
    const { op } = layer;
    if (op === "mse") return `mse_grad(${layer.in}, ${layer.targ})`;
    if (op === "relu") return `relu_grad(${layer.in}, ${layer.out}${inplace ? ", inplace=True" : ""})`;
    return `lin_grad(${[layer.in, layer.out, layer.w, layer.b].filter((name) => name !== null).join(", ")})`;
  }

  function equations(net, layer) {
    const { op, in: x, out } = layer;
    if (op === "mse") return [`${x}.g = 2 (${x} \u2212 ${layer.targ}) / ${bp.sizeOf(net.tensors.get(x))}`];
    if (op === "relu") return [`${x}.g = (${x} > 0) * ${out}.g`];
    const made = [`${x}.g = ${out}.g @ ${layer.w}.T`, `${layer.w}.g = ${x}.T @ ${out}.g`];
    return layer.b === null ? made : [...made, `${layer.b}.g = ${out}.g.sum(0)`];
  }

  /** The steps in the order of the backward pass: {layer, op, call, reads, writes, equations}. */
  bp.steps = (net, inplace) =>
    net.layers.toReversed().map((layer) => ({
      layer,
      op: MADE_BY[layer.op],
      call: call(layer, inplace),
      reads: layer.op === "mse" ? null : layer.out,
      writes: written(layer),
      equations: equations(net, layer),
      over: inplace && layer.op === "relu" ? layer.out : null,
    }));

  /** Which gradient each buffer holds after each step: [{shape, held: [name or null, ...]}], step 0 first. */
  bp.storage = function (net, inplace) {
    const buffers = [];
    const where = new Map();
    bp.steps(net, inplace).forEach(({ writes, over }, k) => {
      for (const name of writes) {
        const buffer = over === null ? { shape: net.tensors.get(name).shape, held: [] } : where.get(over);
        if (over === null) buffers.push(buffer);
        where.set(name, buffer);
        for (let step = buffer.held.length; step <= k; step++) buffer.held[step] = buffer.held.at(-1) ?? null;
        buffer.held[k + 1] = name;
      }
    });
    for (const buffer of buffers) {
      for (let step = buffer.held.length; step <= net.layers.length; step++) buffer.held[step] = buffer.held.at(-1);
    }
    return buffers;
  };

  /** After so many steps: name -> "unwritten", "written", "new" or "overwritten". */
  bp.stateOfGradients = function (net, step, inplace) {
    const found = new Map();
    bp.steps(net, inplace).forEach(({ writes, over }, k) => {
      for (const name of writes) found.set(name, k + 1 > step ? "unwritten" : k + 1 === step ? "new" : "written");
      if (over !== null && k + 1 <= step) found.set(over, "overwritten");
    });
    return found;
  };
})((globalThis.pybackprop ??= {}));
