// The products of a layer: which one, how it is written, and the row that meets the column, term by term.
(function (bp) {
  "use strict";

  const PACE = 650; // milliseconds for a term
  const TICKS = 40; // ticks of an animation for one element, however long its sum is
  const KINDS = [["forward", "forward"], ["w", "gradient of the weights"], ["x", "gradient of the input"]];
  const SEEN = 4; // terms of the sum that are written out

  function radios(legend, name, choices, chosen, onchange) {
    const fields = choices.map(([value, text]) => {
      const id = bp.freshId(name);
      const input = bp.html("input", { type: "radio", name, id, value, onchange: () => onchange(value) });
      input.checked = value === chosen;
      return bp.html("span", { class: "choice" }, input, bp.html("label", { for: id }, text));
    });
    return bp.html("fieldset", { "data-name": name }, bp.html("legend", {}, legend), ...fields);
  }

  const targetOf = ({ in: x, w, out }, kind) => ({ forward: out, w: `${w}.g`, x: `${x}.g` })[kind];

  class Product {
    constructor(app) {
      this.app = app;
      this.timer = null;
      this.drawing = bp.svg("svg", { class: "falk", role: "img", onclick: (event) => this.clicked(event) });
      bp.byId("falk").append(this.drawing);
      this.play = bp.button("play", () => (this.timer === null ? this.start() : this.stop()), { class: "main" });
      this.step = bp.button("one term", () => this.byHand({ k: this.at.k + 1 }));
      this.back = bp.button("back", () => this.byHand({ k: this.at.k - 1 }));
      this.all = bp.button("whole sum", () => this.byHand({ k: Infinity }));
      this.row = this.spinner("row");
      this.column = this.spinner("column");
      bp.byId("product-controls").append(this.play, this.back, this.step, this.all,
        bp.labelled("row", this.row), bp.labelled("column", this.column));
    }

    get at() {
      return this.app.state.product;
    }

    spinner(which) {
      const input = bp.html("input", {
        type: "number", min: 0, step: 1, class: "small",
        onchange: () => this.byHand({ [which]: input.valueAsNumber || 0, k: 0 }),
      });
      return input;
    }

    // ---- changes ----

    byHand(patch) {
      this.stop();
      this.change(patch, "push");
    }

    change(patch, history) {
      const product = bp.boundedProduct(this.app.net, { ...this.at, ...patch });
      this.app.set({ product }, { history, only: "product" });
    }

    start() {
      const { k } = this.at;
      const { left } = this.product();
      if (bp.isStill()) {
        this.change({ k: Infinity }, "push");
        return;
      }
      if (k >= left.columns) this.advance();
      this.tick();
    }

    stop() {
      clearTimeout(this.timer);
      this.timer = null;
      this.showPlaying();
    }

    tick() {
      this.timer = setTimeout(() => (this.advance() ? this.tick() : this.stop()), PACE);
      this.showPlaying();
    }

    /** One term further, or to the next element; false after the last one. */
    advance() {
      const { row, column, k } = this.at;
      const { left, right } = this.product();
      const stride = Math.ceil(left.columns / TICKS);
      if (k < left.columns) this.change({ k: k + stride }, "replace");
      else if (column + 1 < right.columns) this.change({ column: column + 1, k: 0 }, "replace");
      else if (row + 1 < left.rows) this.change({ row: row + 1, column: 0, k: 0 }, "replace");
      else return false;
      return true;
    }

    clicked(event) {
      const { result, cell, width } = this.drawn;
      const box = this.drawing.getBoundingClientRect();
      const scale = width / box.width;
      const column = Math.floor(((event.clientX - box.left) * scale - result.x) / cell.width) + result.columns[0];
      const row = Math.floor(((event.clientY - box.top) * scale - result.y) / cell.height) + result.rows[0];
      const isInside = row >= result.rows[0] && row < result.rows[1] && column >= result.columns[0] && column < result.columns[1];
      if (isInside && this.product().fits) this.byHand({ row, column, k: 0 });
    }

    // ---- showing ----

    product() {
      const { net, view } = this.app;
      const layer = bp.linLayers(net).find(({ w }) => w === this.at.w);
      return bp.product(net, view.run, layer, this.at.kind, this.at.form);
    }

    render() {
      const product = this.product();
      const terms = product.fits ? bp.productTerms(this.app.net, product, this.at.row, this.at.column) : [];
      this.showChoices(product);
      this.draw(product, terms);
      this.showControls(product);
      this.showWords(product, terms);
      this.showPlaying();
    }

    showChoices({ layer, kind, form }) {
      const { net } = this.app;
      const choices = [layer.w, kind, form].join("\n");
      if (choices === this.choices) return;
      const focused = document.activeElement?.closest?.("#product-choices fieldset")?.dataset.name;
      this.choices = choices;
      const start = { form: 0, row: 0, column: 0, k: 0 };
      const layers = bp.linLayers(net).map(({ w, in: x, out }) => [w, `${x}, ${w} \u2192 ${out}`]);
      const kinds = KINDS.map(([value, words]) => [value, bp.html("span", {}, bp.html("b", {}, targetOf(layer, value)), ` ${words}`)]);
      const labels = bp.formLabels(layer, kind).map((text, k) => [k, bp.html("code", {}, text)]);
      bp.byId("product-choices").replaceChildren(
        radios("layer", "layer", layers, layer.w, (w) => this.byHand({ w, ...start })),
        radios("product", "kind", kinds, kind, (value) => this.byHand({ kind: value, ...start })),
        radios("written as", "form", labels, form, (value) => this.byHand({ ...start, form: value })));
      if (focused) bp.byId("product-choices").querySelector(`[data-name=${focused}] input:checked`)?.focus();
    }

    draw(product, terms) {
      const { net } = this.app;
      const sumOf = (row, column) => bp.productTerms(net, product, row, column).at(-1)?.partial ?? 0;
      const sum = terms[this.at.k - 1]?.partial ?? 0;
      this.drawn = bp.falk(product, this.at, sum, sumOf);
      const { nodes, width, height } = this.drawn;
      this.drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
      bp.place(this.drawing, { width: `${width}px`, height: `${height}px` });
      this.drawing.setAttribute("aria-label", `${product.label}, drawn with ${product.right.label} above and to the right. ${bp.verdict(product).text}`);
      this.drawing.replaceChildren(...nodes);
    }

    showControls({ fits, left, right }) {
      const { row, column, k } = this.at;
      this.row.value = row;
      this.column.value = column;
      Object.assign(this.row, { max: left.rows - 1, disabled: !fits });
      Object.assign(this.column, { max: right.columns - 1, disabled: !fits });
      this.play.disabled = !fits;
      this.back.disabled = !fits || k === 0;
      this.step.disabled = this.all.disabled = !fits || k === left.columns;
    }

    showPlaying() {
      bp.say(this.play, this.timer === null ? "play" : "pause");
      bp.byId("sum").setAttribute("aria-live", this.timer === null ? "polite" : "off");
    }

    showWords(product, terms) {
      const { ok, text } = bp.verdict(product);
      const verdict = bp.byId("verdict");
      verdict.className = ok ? "verdict right" : "verdict wrong";
      bp.say(verdict, text);
      bp.byId("sum").replaceChildren(...this.sum(product, terms));
    }

    /** The sum so far, its last terms written out. */
    sum(product, terms) {
      if (!product.fits) return ["No element can be computed."];
      const { row, column, k } = this.at;
      const called = `(${product.label})[${row},${column}]`;
      const shown = terms.slice(Math.max(0, k - SEEN), k);
      const added = shown.map(({ left, right }) => `${bp.short(left)} \u00b7 ${bp.short(right)}`).join(" + ");
      const start = k > SEEN ? "\u2026 + " : "";
      const sum = bp.html("b", {}, bp.long(terms[k - 1]?.partial ?? 0));
      const whole = k === terms.length ? "" : `, ${k} of ${terms.length} terms`;
      return [bp.html("code", {}, called), k ? ` = ${start}${added} = ` : " = ", sum, whole, ...this.comparison(product, terms)];
    }

    comparison(product, terms) {
      if (product.isRight || !product.sameShape || this.at.k < terms.length) return [];
      const { net, view } = this.app;
      const right = bp.product(net, view.run, product.layer, product.kind, 0);
      const wanted = bp.productTerms(net, right, this.at.row, this.at.column).at(-1)?.partial ?? 0;
      return [`. The right one, ${right.label}, has `, bp.html("b", {}, bp.long(wanted)), " there."];
    }
  }

  bp.Product = Product;
})(globalThis.pybackprop ??= {});
