// The learner's questions, each one click away from the element that answers it.
(function (bp) {
  "use strict";

  /** [question, element, formula of the reader's own or null] about the first layer with weights. */
  function questions(net) {
    const [{ in: x, w, b, out }] = bp.linLayers(net);
    const middle = (name) => {
      const { rows, columns } = net.tensors.get(name);
      return { name, row: Math.floor((rows - 1) / 2), column: columns - 1 };
    };
    const weight = net.selected[0] === w ? bp.element(net, ...net.selected) : middle(w);
    return [
      [`${x}.T @ ${out}.g`, weight, null],
      ...(b === null ? [] : [[`${out}.g.sum(0)`, { ...middle(b), column: weight.column }, null]]),
      [`${out}.g @ ${w}.T`, middle(x), null],
      [`not ${x} * ${out}.g`, weight, `${x} * ${out}.g`],
    ];
  }

  class Questions {
    constructor(app) {
      this.app = app;
      const buttons = questions(app.net).map(([text, at, own]) => {
        const button = bp.button("", () => this.ask(at, own));
        button.append(bp.html("code", {}, text));
        return button;
      });
      bp.byId("questions").replaceChildren(bp.html("span", {}, "Why"), ...buttons);
    }

    ask(at, own) {
      const { app } = this;
      app.set({ step: bp.stepCount(app.net) + 1, panel: "element", own: own ?? app.state.own }, { history: "replace" });
      app.choose(app.state.equal ? bp.inEqualSizes(app.net, at) : at);
      app.showSheet(own === null); // the answer is in it, or in the page behind it
      if (own === null) return;
      bp.byId("own").scrollIntoView({ block: "center" });
      bp.byId("own").focus({ preventScroll: true });
    }
  }

  bp.Questions = Questions;
})((globalThis.pybackprop ??= {}));
