// One step of training, operation by operation: forward, loss, backward, update. What each reads and writes, and in which
// storage. Pure functions. Names that end in .g are gradients.
(function (bp) {
  "use strict";

  const given = (names) => names.filter((name) => name != null);
  const gradient = (name) => `${name}.g`;

  const parametersOf = (net) => given(net.layers.flatMap(({ w, b }) => [w, b]));

  // ---- forward ----

  function forwardEquation({ op, in: x, w, b, targ, out }) {
    if (op === "relu") return `${out}[i,j] = max(${x}[i,j], 0)`;
    if (op === "mse") return `${out} = ((${x} \u2212 ${targ})**2).mean()`;
    return `${out} = ${x} @ ${w}${b === null ? "" : ` + ${b}`}`;
  }

  function forward(layer) {
    const { op, in: x, w, b, targ, out } = layer;
    const reads = given([x, w, b, targ]);
    return {
      layer,
      phase: op === "mse" ? "loss" : "forward",
      head: `${out} = ${op}`,
      call: `${out} = ${op}(${reads.join(", ")})`,
      equations: [forwardEquation(layer)],
      reads,
      writes: [out],
      over: null,
    };
  }

  // ---- backward ----

  function backwardCall({ op, in: x, w, b, targ, out }, inplace) {
    if (op === "mse") return `mse_grad(${x}, ${targ})`;
    if (op === "relu") return `relu_grad(${x}, ${out}${inplace ? ", inplace=True" : ""})`;
    return `lin_grad(${given([x, out, w, b]).join(", ")})`;
  }

  function backwardEquations(net, { op, in: x, w, b, targ, out }) {
    if (op === "mse") return [`${x}.g = 2 (${x} \u2212 ${targ}) / ${bp.sizeOf(net.tensors.get(x))}`];
    if (op === "relu") return [`${x}.g = (${x} > 0) * ${out}.g`];
    const made = [`${x}.g = ${out}.g @ ${w}.T`, `${w}.g = ${x}.T @ ${out}.g`];
    return b === null ? made : [...made, `${b}.g = ${out}.g.sum(0)`];
  }

  function backwardReads({ op, in: x, w, targ, out }) {
    if (op === "mse") return [x, targ];
    return op === "relu" ? [gradient(out), x] : [gradient(out), x, w];
  }

  function backward(net, layer, inplace) {
    const { op, in: x, w, b, out } = layer;
    return {
      layer,
      phase: "backward",
      head: `${op}_grad`,
      call: backwardCall(layer, inplace),
      equations: backwardEquations(net, layer),
      reads: backwardReads(layer),
      writes: given([x, w, b]).map(gradient),
      over: inplace && op === "relu" ? gradient(out) : null,
    };
  }

  // ---- update ----

  function update(net) {
    const parameters = parametersOf(net);
    return {
      layer: null,
      phase: "update",
      head: "update",
      call: "update",
      equations: parameters.map((name) => `${name} \u2212= rate * ${name}.g`),
      reads: parameters.flatMap((name) => [name, gradient(name)]),
      writes: [],
      over: null,
    };
  }

  /** The operations in their order: {layer, phase, head, call, equations, reads, writes, over}. */
  bp.steps = (net, inplace) => [
    ...net.layers.map(forward),
    ...net.layers.toReversed().map((layer) => backward(net, layer, inplace)),
    update(net),
  ];

  /** How many operations a step of training has. */
  bp.stepCount = (net) => 2 * net.layers.length + 1;

  /** What plain gradient descent makes of the parameters: name -> numbers. */
  bp.updated = (net, { values, grads }, rate) =>
    new Map(
      parametersOf(net).map((name) => {
        const g = grads.get(name);
        return [name, values.get(name).map((value, at) => value - net.Numbers.of(rate * g[at])[0])];
      }),
    );

  const NICE = [5, 2, 1];
  const GUESS = 0.01; // where nothing can be told from the slopes

  /** A round learning rate for which the slopes predict that a fifth of the loss goes, at most. */
  bp.rateFor = function (net) {
    if (net.rate !== undefined) return net.rate;
    const run = bp.run(net);
    const most = (-0.2 * run.loss) / bp.predictedChange(net, run, 1);
    const unit = 10 ** Math.floor(Math.log10(most));
    const factor = NICE.find((each) => each * unit <= most) ?? 1;
    net.rate = Number.isFinite(most) && most > 0 ? bp.clamp(Number((factor * unit).toPrecision(1)), 1e-6, 1) : GUESS;
    return net.rate;
  };

  /** The loss of the same rows with those parameters; changed: what else the reader has changed. */
  bp.lossWith = function (net, changed, parameters) {
    const tensors = new Map(net.tensors);
    for (const [name, data] of parameters) tensors.set(name, { ...tensors.get(name), data });
    const others = new Map([...changed].filter(([name]) => !parameters.has(name)));
    return bp.forward({ ...net, tensors }, others).get(net.layers.at(-1).out)[0];
  };

  /** By how much the slopes predict that the update moves the loss: each parameter moves by -rate g, so -rate times Σ g². */
  bp.predictedChange = (net, { grads }, rate) =>
    -rate * parametersOf(net).reduce((sum, name) => grads.get(name).reduce((all, g) => all + g * g, sum), 0);

  /** Which gradient each buffer holds after each operation of the backward pass: [{shape, held: [name or null, ...]}]. */
  bp.storage = function (net, inplace) {
    const buffers = [];
    const where = new Map();
    const steps = bp.steps(net, inplace).filter(({ phase }) => phase === "backward");
    steps.forEach(({ writes, over }, k) => {
      for (const name of writes) {
        const { shape } = net.tensors.get(name.slice(0, -2));
        const buffer = over === null ? { shape, held: [] } : where.get(over);
        if (over === null) buffers.push(buffer);
        where.set(name, buffer);
        for (let step = buffer.held.length; step <= k; step++) buffer.held[step] = buffer.held.at(-1) ?? null;
        buffer.held[k + 1] = name;
      }
    });
    for (const buffer of buffers) {
      for (let step = buffer.held.length; step <= steps.length; step++) buffer.held[step] = buffer.held.at(-1);
    }
    return buffers;
  };
})((globalThis.pybackprop ??= {}));
