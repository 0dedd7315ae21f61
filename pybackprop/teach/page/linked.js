// Links the page to Python: what its reader changes is told to the page around it, and what that says is taken.
// Only the page that a notebook links has this. It is one more view of the app.
(function (bp) {
  "use strict";

  const PAUSE = 50; // milliseconds between two messages
  const PATIENCE = 1000; // until it is said that Python does not answer

  const news = new Map(); // name -> flat index -> what Python says it is; it survives another network in its place
  const told = new Map(); // the same: what Python was told, where that is not what the page has without the reader
  const waiting = new Map(); // key -> [name, indices, value]: to be told
  const onTheWay = new Map(); // key -> the message that told it, until it is answered
  let count = 0; // messages
  let last = -PAUSE; // when the last one went
  let timer = null;
  let chosen = null; // the element that Python knows as the chosen one

  const tell = (message) => parent.postMessage(message, "*");
  const keyOf = (name, flat) => `${flat} ${name}`;

  const put = (map, name, flat, value) => map.set(name, (map.get(name) ?? new Map()).set(flat, value));

  /** JSON has no such numbers; Python reads them from a text. */
  const written = (value) => (Object.is(value, -0) ? "-0" : Number.isFinite(value) ? value : String(value));

  function indices({ shape, columns }, flat) {
    return shape.length === 2 ? [Math.floor(flat / columns), flat % columns] : [flat].slice(0, shape.length);
  }

  // ---- to Python ----

  function flush() {
    timer = null;
    last = performance.now();
    const sent = (count += 1);
    const changes = [...waiting].map(([key, [name, at, value]]) => {
      onTheWay.set(key, sent);
      return [name, at, written(value)];
    });
    waiting.clear();
    tell({ kind: "write", count: sent, changes });
    setTimeout(() => {
      if (bp.linked.answered < sent) bp.linked.say("Python does not answer: it is busy, or has ended.");
    }, PATIENCE);
  }

  class Linked {
    answered = 0;

    constructor(app) {
      this.app = app;
      this.changed = null;
      this.node = bp.html("p", { class: "hint", id: "linked", role: "status" });
      bp.byId("value").after(this.node);
    }

    say(text) {
      bp.say(this.node, text);
    }

    /** What a change of the chosen element does. */
    introduce() {
      const { net, state } = this.app;
      const isLeaf = net.tensors.get(state.at.name).data !== null;
      if (state.equal) this.say("These are other numbers: Python is not told of them.");
      else if (isLeaf) this.say("What you change is written to the tensor in Python.");
      else this.say(`${state.at.name} is computed: a change of it stays on this page.`);
    }

    render() {
      const { net, state } = this.app;
      const at = indices(net.tensors.get(state.at.name), this.app.flat(state.at));
      const now = JSON.stringify([state.at.name, at]);
      if (now !== this.shown) this.introduce();
      this.shown = now;
      if (state.equal) return;
      if (chosen !== null && now !== chosen) tell({ kind: "chosen", name: state.at.name, at });
      chosen = now;
      if (state.changed !== this.changed) this.compare(net, state.changed);
      this.changed = state.changed;
    }

    /** Tells every leaf's element that is not what Python was told. */
    compare(net, changed) {
      for (const { name, data } of net.tensors.values()) {
        if (!data) continue;
        const [mine, its] = [changed.get(name), told.get(name)];
        for (const flat of new Set([...(mine?.keys() ?? []), ...(its?.keys() ?? [])])) {
          const value = mine?.get(flat) ?? data[flat];
          if (Object.is(value, its?.get(flat) ?? data[flat])) continue;
          put(told, name, flat, value);
          waiting.set(keyOf(name, flat), [name, indices(net.tensors.get(name), flat), value]);
        }
      }
      if (waiting.size && timer === null) timer = setTimeout(flush, Math.max(0, last + PAUSE - performance.now()));
    }

    /** The network with Python's numbers; it is not told of them again. */
    overlay(numbers) {
      const { app } = this;
      const changed = new Map([...app.state.changed].map(([name, changes]) => [name, new Map(changes)]));
      for (const [name, values] of numbers) {
        for (const [flat, value] of values) {
          app.net.tensors.get(name).data[flat] = value;
          changed.get(name)?.delete(flat);
        }
        if (!changed.get(name)?.size) changed.delete(name);
      }
      this.changed = app.state.changed = changed;
      app.look();
      app.remember();
      app.render();
      app.note("replace");
    }
  }

  // ---- from Python ----

  /** Not what the reader changed since: Python will be told, or was and has not read it yet. */
  function take({ tensors, answered }) {
    const numbers = new Map();
    for (const [name, { at, values }] of Object.entries(tensors)) {
      at.forEach((flat, k) => {
        const key = keyOf(name, flat);
        if (waiting.has(key) || onTheWay.get(key) > answered) return;
        put(news, name, flat, Number(values[k]));
        put(numbers, name, flat, Number(values[k]));
        told.get(name)?.delete(flat);
      });
    }
    if (numbers.size && !bp.app.state.equal) bp.linked.overlay(numbers);
  }

  function answer({ answered, text }) {
    bp.linked.answered = answered;
    for (const [key, sent] of onTheWay) if (sent <= answered) onTheWay.delete(key);
    if (answered === count) bp.linked.say(text);
  }

  function choose({ name, at }) {
    const element = bp.element(bp.app.net, name, at);
    if (!element || bp.app.state.equal) return;
    chosen = JSON.stringify([name, at]);
    bp.app.choose(element);
  }

  const heard = { values: take, answer, choose };

  addEventListener("message", ({ source, data }) => {
    if (source === parent && bp.linked) heard[data.kind]?.(data);
  });

  function attach() {
    const before = bp.linked;
    bp.linked = bp.app.views.linked = new Linked(bp.app);
    bp.linked.answered = before?.answered ?? 0;
    if (news.size && !bp.app.state.equal) bp.linked.overlay(news);
    else bp.linked.render();
    if (!before) tell({ kind: "ready" });
  }

  // The page begins once its numbers are unpacked, after this script; and anew with other sizes.
  const { begin } = bp;
  bp.begin = function () {
    begin();
    attach();
  };
})((globalThis.pybackprop ??= {}));
