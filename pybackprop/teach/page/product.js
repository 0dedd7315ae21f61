// The product that collects the chosen element: the row that meets the column, term by term, at the reader's pace.
(function (bp) {
  "use strict";

  const PACES = [
    ["slow", 1300],
    ["calm", 650],
    ["brisk", 220],
    ["fast", 60],
  ]; // milliseconds for a term
  const TICKS = 40; // ticks of an animation for one element, however long its sum is
  const WHAT = {
    forward: "forward",
    w: "gradient of the weights",
    x: "gradient of the input",
    b: "gradient of the bias",
  };

  function options(select, choices, chosen) {
    select.replaceChildren(...choices.map(([value, text]) => bp.html("option", { value }, text)));
    select.value = chosen;
  }

  class Product {
    constructor(app) {
      this.app = app;
      this.timer = null;
      this.drawing = new bp.ProductDrawing(
        bp.byId("falk"),
        (row, column) => this.clicked(row, column),
        () => this.render(),
        app.signal,
      );
      this.which = bp.html("select", { onchange: () => this.pick(...this.which.value.split("\n")) });
      bp.byId("product-which").append(bp.labelled("product", this.which));
      this.play = bp.button("play", () => (this.timer === null ? this.start() : this.stop()), { class: "main" });
      this.step = bp.button("+1 term", () => this.byHand({ k: this.isWhole() ? 1 : this.at.k + 1 }));
      this.back = bp.button("\u22121 term", () => this.byHand({ k: this.at.k - 1 }));
      this.all = bp.button("all", () => this.byHand({ k: Infinity }));
      this.pace = bp.html("select", { "aria-label": "pace" });
      options(
        this.pace,
        PACES.map(([name]) => [name, name]),
        "calm",
      );
      const onwards = bp.checkbox("go on", {
        id: "onwards",
        title: "After the last term go on to the next element",
      });
      this.onwards = onwards.box;
      bp.byId("product-controls").append(this.play, this.back, this.step, this.all, this.pace, onwards.field);
    }

    get at() {
      return this.app.state.product;
    }

    // ---- changes ----

    byHand(patch) {
      this.stop();
      this.change(patch, "push");
    }

    /** Another row or column of a right product chooses the element that it computes. */
    change(patch, history) {
      const { app } = this;
      const product = bp.boundedProduct(app.net, { ...this.at, ...patch });
      const layer = bp.layerOf(app.net, product.w);
      const name = bp.resultName(layer, product.kind);
      const isPlace = ("row" in patch || "column" in patch) && (product.form === 0 || !("form" in patch));
      const isElement = isPlace && bp.readerOf(app.net, name) && this.product(product).sameShape;
      if (isElement) app.choose({ name, row: product.row, column: product.column }, product, history);
      else app.set({ product }, { history, only: "product" });
    }

    /** Another product, at the same place as far as it goes. */
    pick(w, kind) {
      const { row, column } = this.app.state.at;
      this.byHand({ w, kind, form: 0, row, column, k: Infinity });
    }

    /** Another way to write it; one that is transposed shows the element where it has it. */
    write(form) {
      const { at } = this.app.state;
      const { kind, w } = this.at;
      const isOwn = bp.resultName(bp.layerOf(this.app.net, w), kind) === at.name;
      const [row, column] = bp.isTransposed(kind, form) ? [at.column, at.row] : [at.row, at.column];
      this.byHand({ form, k: Infinity, ...(isOwn ? { row, column } : {}) });
    }

    /** Whether all terms are added. */
    isWhole() {
      return this.at.k >= this.product().left.columns;
    }

    /** From the first term of the chosen element; while a sum is unfinished, from where it is. */
    start() {
      if (bp.isStill()) {
        this.change({ k: Infinity }, "push");
        return;
      }
      if (this.isWhole()) this.change({ k: 0 }, "replace");
      this.tick();
    }

    stop() {
      clearTimeout(this.timer);
      this.timer = null;
      this.showPlaying();
    }

    tick() {
      const [, pace] = PACES.find(([name]) => name === this.pace.value);
      this.timer = setTimeout(() => (this.advance() ? this.tick() : this.stop()), pace);
      this.showPlaying();
    }

    /** One term further; after the last one to the next element, if that is asked for. False at the end. */
    advance() {
      const { row, column, k } = this.at;
      const { left, right } = this.product();
      const stride = Math.ceil(left.columns / TICKS);
      if (k < left.columns) this.change({ k: k + stride }, "replace");
      else if (!this.onwards.checked) return false;
      else if (column + 1 < right.columns) this.change({ row, column: column + 1, k: 0 }, "replace");
      else if (row + 1 < left.rows) this.change({ row: row + 1, column: 0, k: 0 }, "replace");
      else return false;
      return true;
    }

    clicked(row, column) {
      if (this.product().fits) this.byHand({ row, column, k: Infinity });
    }

    // ---- showing ----

    /** The one that the state has, or another. */
    product({ w, kind, form } = this.at) {
      const { net, view } = this.app;
      return bp.asWritten(bp.product(net, view.run, bp.layerOf(net, w), kind, form), view.held);
    }

    terms(product, { row, column }) {
      return product.fits && !product.missing ? bp.productTerms(this.app.net, product, row, column) : [];
    }

    render() {
      const product = this.product();
      const terms = this.terms(product, this.at);
      this.showChoices(product);
      const sum = product.missing ? null : (terms[bp.countAdded(product, this.at) - 1]?.partial ?? 0);
      this.drawing.draw(this.app.net, product, this.at, sum);
      this.showControls(product);
      this.showWords(product, terms);
    }

    /** The whole sum of the chosen element, whatever product is shown. */
    sumOfChosen() {
      const at = bp.productFor(this.app.net, this.app.state.at);
      const product = this.product(at);
      return bp.html("p", {}, ...bp.productWords(this.app, product, this.terms(product, at), at)).textContent;
    }

    /** Whether the product that is shown collects the chosen element. */
    isOfChosen() {
      const { w, kind, form, row, column } = bp.productFor(this.app.net, this.app.state.at);
      const { at } = this;
      return at.w === w && at.kind === kind && at.form === form && at.row === row && at.column === column;
    }

    showChoices({ layer, kind, form }) {
      const { net } = this.app;
      const choices = [bp.keyOf(layer), kind, form].join("\n");
      if (choices === this.choices) return;
      this.choices = choices;
      const all = net.layers.flatMap((each) =>
        bp.kindsOf(each).map((sort) => {
          const what = WHAT[sort] ? `, ${WHAT[sort]}` : "";
          return [`${bp.keyOf(each)}\n${sort}`, bp.productLabel(each, sort) + what];
        }),
      );
      options(this.which, all, `${bp.keyOf(layer)}\n${kind}`);
      const forms = bp.byId("product-forms");
      const hadFocus = forms.contains(document.activeElement);
      forms.replaceChildren(this.forms(bp.formLabels(layer, kind), form));
      if (hadFocus) forms.querySelector("input:checked")?.focus();
    }

    /** The ways to write it, right and wrong, as radio buttons. */
    forms(labels, chosen) {
      const fields = labels.map((label, k) => {
        const id = bp.freshId("form");
        const input = bp.html("input", {
          type: "radio",
          name: "form",
          id,
          value: k,
          onchange: () => this.write(k),
        });
        input.checked = k === chosen;
        return bp.html("span", { class: "choice" }, input, bp.html("label", { for: id }, bp.html("code", {}, label)));
      });
      return bp.html(
        "fieldset",
        { "data-name": "form" },
        bp.html("legend", { class: "unseen" }, "written as"),
        ...fields,
      );
    }

    showControls({ fits: isProduct, left, missing, elementwise }) {
      const { k } = this.at;
      const fits = isProduct && !missing && !elementwise;
      this.play.disabled = !fits;
      this.back.disabled = !fits || k === 0;
      this.step.disabled = !fits;
      this.all.disabled = !fits || k === left.columns;
      this.showPlaying();
    }

    showPlaying() {
      bp.say(this.play, this.timer === null ? "play" : "pause");
      bp.byId("sum").setAttribute("aria-live", this.timer === null ? "polite" : "off");
    }

    showWords(product, terms) {
      const { ok, text } = bp.verdict(product, this.at);
      const verdict = bp.byId("verdict");
      verdict.className = ok ? "verdict right" : "verdict wrong";
      bp.say(verdict, text);
      bp.byId("sum").replaceChildren(...bp.productWords(this.app, product, terms, this.at));
    }
  }

  bp.Product = Product;
})((globalThis.pybackprop ??= {}));
