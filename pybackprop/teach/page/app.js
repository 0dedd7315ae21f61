// The page: its state, everything derived from it, and the URL fragment.
(function (bp) {
  "use strict";

  const WRITE = 250; // milliseconds between two writes of the fragment: browsers refuse more than a few a second

  const flatSet = (net, cells, name) =>
    new Set(cells.map(({ row, column }) => row * net.tensors.get(name).columns + column));

  class App {
    /** signal: ends its listeners, once another takes its place. */
    constructor(scene, signal) {
      this.signal = signal;
      const shown = bp.isEqual(location.hash) ? bp.withEqualSizes(scene) : scene;
      this.net = bp.network(shown);
      this.state = bp.stateOf(this.net, location.hash);
      this.losses = []; // of the steps of training that the reader has made
      this.look();
      this.remember();
      this.pending = null;
      this.strip = new bp.Strip(this, bp.byId("layers"));
      this.views = {
        strip: this.strip,
        element: new bp.Element(this),
        bar: new bp.StepBar(this),
        step: new bp.StepPanel(this),
        steps: new bp.Steps(this),
        panel: new bp.Panel(this),
        product: new bp.Product(this),
        own: new bp.OwnFormula(this),
        copy: new bp.Copy(this),
      };
      this.questions = new bp.Questions(this);
      this.introduce(shown);
      this.render({ reveal: true });
      this.keepStateWhenSkipping();
      bp.byId("sheet").addEventListener("click", () => this.toggleSheet());
      addEventListener("hashchange", () => this.restoreFragment(), { signal });
      addEventListener("pagehide", () => this.writeFragment(), { signal });
    }

    introduce({ layers, note }) {
      bp.say(bp.byId("network-formula"), bp.networkFormula(layers));
      bp.say(bp.byId("note"), note);
    }

    /** A link within the page would overwrite the fragment, which holds the state. */
    keepStateWhenSkipping() {
      for (const link of document.querySelectorAll(".skip a")) {
        link.onclick = (event) => {
          event.preventDefault();
          if (link.hash !== "#element") this.showSheet(false);
          const target = document.querySelector(link.hash);
          target.focus({ preventScroll: true });
          target.scrollIntoView(); // its beginning, as a link does
        };
      }
    }

    showSheet(open) {
      if (bp.byId("element").classList.contains("open") !== open) this.toggleSheet();
    }

    /** On a phone the panel is a sheet at the bottom: opened, it shows the product too. */
    toggleSheet() {
      const isOpen = bp.byId("element").classList.toggle("open");
      bp.byId("sheet").setAttribute("aria-expanded", String(isOpen));
      bp.say(bp.byId("sheet"), isOpen ? "less" : "more");
      this.render();
    }

    // ---- derived from the state ----

    look() {
      const { net, state } = this;
      if (this.computed !== state.changed) this.run = bp.run(net, state.changed);
      this.computed = state.changed;
      const reader = bp.readerOf(net, state.at.name);
      const terms = bp.terms(net, this.run, state.at);
      this.view = {
        run: this.run,
        reader,
        terms,
        total: bp.total(terms),
        moved: flatSet(net, terms, reader.layer.out),
        reach: bp.reach(net, this.run.values, state.at),
        sources: this.sources(reader, terms),
        ...this.stepped(),
        updated: state.step === bp.stepCount(net) ? bp.updated(net, this.run, state.rate) : null,
      };
    }

    /** What a drag does not change: the operations, and what is there after so many of them. */
    stepped() {
      const { net, state } = this;
      const when = `${state.step} ${state.inplace}`;
      if (this.when !== when) {
        this.plan = { steps: bp.steps(net, state.inplace), held: bp.statesAt(net, state.step, state.inplace) };
        this.when = when;
      }
      return this.plan;
    }

    /** Where the local derivatives are: the elements of x for a weight, of w for an input. */
    sources({ layer }, terms) {
      const cells = layer.op === "lin" ? terms.map(({ source }) => source).filter(Boolean) : [];
      return cells.length ? new Map([[cells[0].name, flatSet(this.net, cells, cells[0].name)]]) : new Map();
    }

    render({ only = null, reveal = false } = {}) {
      const focused = document.activeElement;
      for (const [name, view] of Object.entries(this.views))
        if (only === null || only === name) view.render({ reveal });
      this.showLoss();
      bp.keepFocus(focused);
    }

    hasLoss() {
      return !bp.isHidden(this.view.held, this.net.layers.at(-1).out);
    }

    lossText() {
      return this.hasLoss() ? bp.long(this.view.run.loss) : "not yet";
    }

    showLoss() {
      for (const id of ["loss", "loss-here"]) bp.say(bp.byId(id), this.lossText());
      const by = this.hasLoss() ? this.view.run.loss - this.before.run.loss : 0;
      bp.say(bp.byId("loss-change"), Number.isFinite(by) && by ? `\u0394 ${bp.signed(by)}` : "");
    }

    // ---- changes ----

    /** history: "push" for states that a reader may want to come back to, "replace" for intermediate ones. */
    set(patch, { history = "push", only = null, reveal = false } = {}) {
      Object.assign(this.state, patch);
      if (only === null) this.look();
      this.render({ only, reveal });
      this.note(history);
    }

    /** From here on, differences are counted: the numbers, and the slope of the chosen element. */
    remember() {
      this.before = { run: this.view.run, value: this.valueAt(this.state.at), slope: this.view.total };
    }

    /** product: what is drawn of it; without it, the product that collects the element's gradient, with its whole sum. */
    choose({ name, row, column }, product = null, history = "push") {
      if (!bp.readerOf(this.net, name)) return;
      const at = { name, row, column };
      const isSame = ["name", "row", "column"].every((key) => at[key] === this.state.at[key]);
      if (isSame && product === null) return;
      Object.assign(this.state, { at, product: product ?? bp.productFor(this.net, at) });
      this.look();
      if (!isSame) this.remember();
      if (product === null) this.views.product.stop();
      this.render({ reveal: !isSame });
      this.note(history);
    }

    flat({ name, row, column }) {
      return row * this.net.tensors.get(name).columns + column;
    }

    valueAt(element) {
      return this.view.run.values.get(element.name)[this.flat(element)];
    }

    isChanged(element) {
      return Boolean(this.state.changed.get(element.name)?.has(this.flat(element)));
    }

    isAnythingChanged() {
      const { changed, rate, inplace } = this.state;
      if (changed.size) return true; // at every frame of a drag
      const first = bp.firstState(this.net);
      return rate !== first.rate || inplace !== first.inplace;
    }

    /** The value without the reader's change to it. */
    originalAt(element) {
      const { data } = this.net.tensors.get(element.name);
      if (data) return data[this.flat(element)];
      return this.valueAt(element) - (this.state.changed.get(element.name)?.get(this.flat(element)) ?? 0);
    }

    /** Chooses an element to be dragged; {value, step} to start from. */
    begin(element) {
      this.choose(element);
      const value = this.valueAt(element);
      return { value: Number.isFinite(value) ? value : 0, step: bp.rangeOf(this.originalAt(element)).step };
    }

    setValue(value) {
      if (!Number.isFinite(this.net.Numbers.of(value)[0])) return;
      const { at } = this.state;
      const tidy = Number(value.toPrecision(6));
      const isLeaf = this.net.tensors.get(at.name).data !== null;
      const nudge = isLeaf ? tidy : Number((tidy - this.originalAt(at)).toPrecision(6));
      if (Number.isFinite(nudge)) this.changeTo((changed) => bp.change(this.net, changed, at, nudge));
    }

    nudge(sign) {
      const { value, step } = this.begin(this.state.at);
      this.setValue(value + sign * step);
    }

    changeTo(edit, history = "replace", others = {}) {
      const changed = new Map([...this.state.changed].map(([name, changes]) => [name, new Map(changes)]));
      edit(changed);
      this.set({ changed, ...others }, { history });
    }

    /** Whether the gradient of the chosen element is there at this step; that of a target comes with its output's. */
    isWritten() {
      const { at } = this.state;
      const { layer, slot } = this.view.reader;
      return !bp.isHidden(this.view.held, `${slot === "targ" ? layer.in : at.name}.g`);
    }

    restore() {
      const { at } = this.state;
      this.changeTo((changed) => {
        changed.get(at.name)?.delete(this.flat(at));
        if (!changed.get(at.name)?.size) changed.delete(at.name);
      }, "push");
    }

    /** Back to the numbers, the learning rate and the storage of the page's beginning. */
    restoreAll() {
      const { changed, rate, inplace } = bp.firstState(this.net);
      Object.assign(this.state, { changed, rate, inplace });
      this.losses = [];
      this.look();
      this.remember();
      this.set({});
    }

    /** The same question on other data: all sizes are the same, or what they were, as is the chosen element then. */
    makeSizesEqual(equal) {
      const { state } = this;
      const net = bp.network(equal ? bp.withEqualSizes(bp.scene) : bp.scene);
      const at = equal ? bp.inEqualSizes(net, state.at) : (bp.left ?? state.at);
      bp.left = equal ? state.at : null;
      const first = { ...bp.firstState(net), at, own: state.own, equal, product: bp.productFor(net, at) };
      const top = () => bp.byId("own").getBoundingClientRect().top;
      const before = top();
      this.views.product.stop();
      this.pending = null;
      bp.goTo(`#${bp.fragmentOf(net, first)}`, "push");
      bp.begin();
      scrollBy(0, top() - before); // what the reader looks at stays where it is
      bp.byId("equal").focus({ preventScroll: true });
    }

    // ---- the fragment ----

    note(history) {
      if (this.pending === null) setTimeout(() => this.writeFragment(), WRITE);
      this.pending = this.pending === "push" ? "push" : history;
    }

    writeFragment() {
      const fragment = `#${bp.fragmentOf(this.net, this.state)}`;
      if (this.pending !== null && fragment !== location.hash) bp.goTo(fragment, this.pending);
      this.pending = null;
    }

    restoreFragment() {
      this.pending = null;
      this.views.product.stop();
      if (bp.isEqual(location.hash) !== this.state.equal) {
        bp.begin();
        return;
      }
      this.state = bp.stateOf(this.net, location.hash);
      this.look();
      this.remember();
      this.render({ reveal: true });
    }
  }

  /** Builds the page for what its address says; anew, if it stands already. */
  bp.begin = function () {
    bp.running?.abort();
    document.querySelector("main").replaceWith(bp.blank.cloneNode(true));
    bp.running = new AbortController();
    bp.app = new App(bp.scene, bp.running.signal);
  };

  bp.start = async function () {
    bp.scene = await bp.unpack(JSON.parse(bp.byId("scene").textContent));
    bp.blank = document.querySelector("main").cloneNode(true);
    bp.begin();
  };

  bp.start();
})((globalThis.pybackprop ??= {}));
