// The chosen element: what it moves, its value (which can be changed), its gradient as a sum of terms.
(function (bp) {
  "use strict";

  const MOST = 200; // terms in the document at once; a note replaces the rest
  const HEADS = ["moves", "local derivative", "gradient that arrives", "product", "sum so far"];

  const HIDDEN = { unwritten: "not written yet", overwritten: "overwritten" };

  function cells(net, { row, column, local, upstream, product, partial, source }, { op, out }) {
    const from = op === "lin" && source ? bp.html("small", {}, bp.elementName(net, source)) : null;
    return [
      bp.html("th", { scope: "row" }, bp.elementName(net, { name: out, row, column })),
      bp.html("td", { class: "local" }, from, bp.long(local)),
      bp.html("td", { class: "upstream" }, bp.long(upstream)),
      bp.html("td", {}, bp.long(product)),
      bp.html("td", { class: "partial" }, bp.long(partial)),
    ];
  }

  class Element {
    constructor(app) {
      this.app = app;
      this.slope = new bp.Slope(app, bp.byId("plot"));
      this.slider = bp.html("input", { type: "range", oninput: () => app.setValue(this.slider.valueAsNumber) });
      this.number = bp.html("input", {
        type: "number", step: "any", onchange: () => app.setValue(this.number.valueAsNumber),
      });
      this.back = bp.button("reset", () => app.restore());
      bp.byId("value").append(
        bp.labelled("drag", this.slider, { class: "field long" }), bp.labelled("value", this.number), this.back, bp.byId("everything"));
      bp.byId("everything").addEventListener("click", () => app.restoreAll());
    }

    render() {
      const { net, state, view } = this.app;
      const name = bp.elementName(net, state.at);
      bp.say(bp.byId("element-name"), name);
      bp.say(bp.byId("sentence"), bp.sentence(net, view.run.values, state.at));
      this.showValue(name);
      this.showFormula();
      this.showTerms();
      this.showSlope(name);
      bp.byId("effect").replaceChildren(...this.effect(name));
    }

    /** What the reader's change did to the loss, and what the slope said it would. */
    effect(name) {
      const { state, view, before } = this.app;
      const by = this.app.valueAt(state.at) - before.value;
      const moved = view.run.loss - before.run.loss;
      if (![by, moved, before.slope].every(Number.isFinite)) return ["No difference can be taken: not every number is finite."];
      if (!by) return [`Drag the value: the numbers that move show by how much (\u0394).`];
      const b = (value) => bp.html("b", {}, bp.signed(value));
      return [
        `\u0394${name} = `, b(by), ": the slope it had, ", bp.html("b", {}, bp.short(before.slope)), ", predicts \u0394loss = ",
        b(before.slope * by), "; it is ", b(moved), ".",
      ];
    }

    showValue(name) {
      const { app } = this;
      const value = app.valueAt(app.state.at);
      const { low, high, step } = bp.rangeOf(app.originalAt(app.state.at), value);
      Object.assign(this.slider, { min: low, max: high, step });
      this.slider.value = value;
      this.slider.setAttribute("aria-valuetext", `${name} is ${bp.short(value)}, the loss ${bp.long(app.view.run.loss)}`);
      if (document.activeElement !== this.number || this.number.valueAsNumber !== value) this.number.value = bp.plain(value);
      this.back.disabled = !app.isChanged(app.state.at);
      bp.byId("everything").disabled = !app.state.changed.size;
    }

    /** Whether the element's gradient can be read at this step of the backward pass. */
    isWritten() {
      return !HIDDEN[this.app.view.gradients.get(this.app.state.at.name)];
    }

    showFormula() {
      const { net, state, view } = this.app;
      bp.byId("formula").replaceChildren(bp.formula(net, state.at, this.isWritten() ? view.total : null));
    }

    showTerms() {
      const { net, view } = this.app;
      const { reader } = view;
      const terms = this.isWritten() ? view.terms : [];
      const rows = terms.slice(0, MOST).map((term) => bp.html("tr", {}, ...cells(net, term, reader.layer)));
      bp.byId("terms").replaceChildren(
        bp.html("thead", {}, bp.html("tr", {}, ...HEADS.map((head) => bp.html("th", { scope: "col" }, head)))),
        bp.html("tbody", {}, ...rows));
      const rest = terms.length - MOST;
      bp.say(bp.byId("more-terms"), rest > 0 ? `and ${rest} more terms, to ${bp.long(view.total)}` : "");
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
      const now = { name, value, original: app.originalAt(state.at), loss: view.run.loss, slope: view.total };
      this.slope.render(now, lossAt);
      bp.say(bp.byId("gradient"), this.isWritten() ? bp.long(view.total) : HIDDEN[view.gradients.get(state.at.name)]);
      bp.say(bp.byId("measured"), bp.measured(bp.measuredSlope(lossAt, value)));
    }
  }

  bp.Element = Element;
})(globalThis.pybackprop ??= {});
