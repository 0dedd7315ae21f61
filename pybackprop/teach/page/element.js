// The chosen element: what it moves, its value (which can be changed), its gradient as a sum of terms.
(function (bp) {
  "use strict";

  const MOST = 200; // terms in the document at once; a note replaces the rest
  const PAUSE = 100; // milliseconds between two updates of what is out of sight while a value is dragged
  const HEADS = ["moves", "local derivative", "gradient that arrives", "product", "sum so far"];

  const HIDDEN = { unwritten: "not written yet", overwritten: "overwritten" };

  const KINDS = ["upstream", null, "partial"]; // of the columns after the local derivative

  /** The numbers of a term, as they are written. */
  const numbersOf = ({ local, upstream, product, partial }) => [local, upstream, product, partial].map(bp.long);

  class Element {
    constructor(app) {
      this.app = app;
      this.slope = new bp.Slope(app, bp.byId("plot"));
      this.slider = bp.html("input", { type: "range", oninput: () => app.setValue(this.slider.valueAsNumber) });
      this.number = bp.html("input", {
        type: "number",
        step: "any",
        onchange: () => this.typed(),
      });
      this.back = bp.button("reset", () => app.restore());
      this.written = { key: "", at: 0, later: null, isSeen: false };
      const seen = new IntersectionObserver(([{ isIntersecting }]) => this.seen(isIntersecting));
      bp.observe(seen, bp.byId("written-out"), app.signal);
      bp.byId("value").append(
        bp.labelled("drag", this.slider, { class: "field long" }),
        bp.labelled("value", this.number),
        this.back,
      );
      bp.byId("everything").addEventListener("click", () => app.restoreAll());
    }

    /** What is no number, or none that the tensor can hold, is taken back. */
    typed() {
      this.app.setValue(this.number.valueAsNumber);
      this.number.value = bp.plain(this.app.valueAt(this.app.state.at));
    }

    render() {
      const { net, state, view } = this.app;
      const name = bp.elementName(net, state.at);
      bp.say(bp.byId("element-name"), name);
      bp.say(bp.byId("sentence"), bp.sentence(net, view.run.values, state.at));
      this.showValue(name);
      this.showWritten();
      this.showSlope(name);
      for (const id of ["effect", "sheet-effect"]) bp.byId(id).replaceChildren(...this.effect(name));
      bp.byId("sheet-effect").classList.toggle("moved", this.change() !== 0);
    }

    /** By how much the reader moved the element. */
    change() {
      return this.app.valueAt(this.app.state.at) - this.app.before.value;
    }

    /** What the reader's change did to the loss, and what the slope said it would. */
    effect(name) {
      const { view, before } = this.app;
      const by = this.change();
      const moved = view.run.loss - before.run.loss;
      if (![by, moved, before.slope].every(Number.isFinite))
        return ["No difference can be taken: not every number is finite."];
      if (!this.app.isWritten() || !this.app.hasLoss())
        return ["The slope is not known at this step of training, so it predicts nothing."];
      if (!by) return ["Drag the value: every value that moves shows by how much (\u0394)."];
      const b = (value) => bp.html("b", {}, bp.signed(value));
      return [
        `\u0394${name} = `,
        b(by),
        ": the slope it had, ",
        bp.html("b", {}, bp.short(before.slope)),
        ", predicts \u0394loss = ",
        b(before.slope * by),
        "; the true \u0394 is ",
        b(moved),
        ".",
      ];
    }

    showValue(name) {
      const { app } = this;
      const value = app.valueAt(app.state.at);
      const { low, high, step } = bp.rangeOf(app.originalAt(app.state.at), value);
      Object.assign(this.slider, { min: low, max: high, step });
      this.slider.value = value;
      this.slider.setAttribute("aria-valuetext", `${name} is ${bp.short(value)}, the loss ${app.lossText()}`);
      if (document.activeElement !== this.number || this.number.valueAsNumber !== value)
        this.number.value = bp.plain(value);
      this.back.disabled = !app.isChanged(app.state.at);
      bp.byId("everything").disabled = !app.isAnythingChanged();
    }

    /** The formula and the terms: at once where they are seen or another element is chosen, else a few times a second. */
    showWritten() {
      const { written } = this;
      const { at, step, inplace } = this.app.state;
      const key = JSON.stringify([at, step, inplace]);
      const isDue = written.isSeen || key !== written.key || performance.now() - written.at > PAUSE;
      written.key = key;
      clearTimeout(written.later);
      if (isDue) this.writeOut();
      else written.later = setTimeout(() => this.writeOut(), PAUSE);
    }

    seen(isSeen) {
      this.written.isSeen = isSeen;
      if (isSeen) this.writeOut();
    }

    writeOut() {
      if (this.app.signal.aborted) return; // another network took its place
      this.written.at = performance.now();
      this.showFormula();
      this.showTerms();
    }

    showFormula() {
      const { net, state, view } = this.app;
      bp.byId("formula").replaceChildren(bp.formula(net, state.at, this.app.isWritten() ? view.total : null));
    }

    showTerms() {
      const { net, state, view } = this.app;
      const isWritten = this.app.isWritten();
      const terms = isWritten ? view.terms : [];
      const key = [JSON.stringify(state.at), terms.length].join();
      const texts = terms.slice(0, MOST).map((term) => numbersOf(term));
      if (key === this.shown) this.updateTerms(texts);
      else this.buildTerms(net, terms, texts, view.reader.layer);
      this.shown = key;
      const rest = terms.length - MOST;
      const more = rest > 0 ? `and ${rest} more terms, to ${bp.long(view.total)}` : "";
      bp.say(
        bp.byId("more-terms"),
        isWritten ? more : "The gradient is not there at this step of training, so it has no terms.",
      );
    }

    buildTerms(net, terms, texts, { op }) {
      const rows = texts.map(([local, ...others], k) => {
        const { source } = terms[k];
        const from = op === "lin" && source ? bp.html("small", {}, bp.elementName(net, source)) : null;
        return bp.html(
          "tr",
          {},
          bp.html("th", { scope: "row" }, this.movedName(net, terms[k])),
          bp.html("td", { class: "local" }, from, bp.html("span", {}, local)),
          ...others.map((text, at) => bp.html("td", { class: KINDS[at] }, bp.html("span", {}, text))),
        );
      });
      bp.byId("terms").replaceChildren(
        bp.html("thead", {}, bp.html("tr", {}, ...HEADS.map((head) => bp.html("th", { scope: "col" }, head)))),
        bp.html("tbody", {}, ...rows),
      );
      this.numbers = rows.map((row) => [...row.querySelectorAll("span")]);
    }

    movedName(net, { row, column }) {
      return bp.elementName(net, { name: this.app.view.reader.layer.out, row, column });
    }

    updateTerms(texts) {
      texts.forEach((row, k) => row.forEach((text, at) => bp.say(this.numbers[k][at], text)));
    }

    /** The same function as long as only the chosen element changes. */
    lossAlong(net, { at, changed }) {
      const others = new Map([...changed].map(([name, changes]) => [name, new Map(changes)]));
      others.get(at.name)?.delete(this.app.flat(at));
      const key = JSON.stringify([at, [...others].map(([name, changes]) => [name, [...changes]])]);
      if (this.along?.key !== key) this.along = { key, lossAt: bp.lossAlong(net, others, at) };
      return this.along.lossAt;
    }

    showSlope(name) {
      const { app } = this;
      const { net, state, view } = app;
      const lossAt = this.lossAlong(net, state);
      const value = app.valueAt(state.at);
      const isWritten = app.isWritten();
      const slope = isWritten ? view.total : null;
      const original = app.originalAt(state.at);
      this.slope.render({ name, value, original, loss: view.run.loss, slope, isHidden: !app.hasLoss() }, lossAt);
      const missing = HIDDEN[view.held.get(`${state.at.name}.g`)] ?? HIDDEN.unwritten;
      bp.say(bp.byId("gradient"), isWritten ? bp.long(view.total) : missing);
      bp.say(bp.byId("measured"), isWritten ? bp.measured(bp.measuredSlope(lossAt, value)) : "\u2013");
    }
  }

  bp.Element = Element;
})((globalThis.pybackprop ??= {}));
