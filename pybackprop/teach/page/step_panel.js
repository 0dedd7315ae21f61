// Beside the network: what the current operation computes from what, what is held, and what may be forgotten.
(function (bp) {
  "use strict";

  const MOST = 400; // parameters that the address of the page has room for

  /** A number in as few digits as give it back in its type. */
  function shortest(net, value) {
    for (let digits = 6; digits < 17; digits++) {
      const text = Number(value.toPrecision(digits));
      if (net.Numbers.of(text)[0] === value) return text;
    }
    return value;
  }

  class StepPanel {
    constructor(app) {
      this.app = app;
      const inplace = bp.checkbox(bp.html("code", {}, "relu_grad(\u2026, inplace=True)"), {
        id: "inplace",
        onchange: () => app.set({ inplace: inplace.box.checked }),
      });
      this.inplace = inplace.box;
      this.rate = bp.html("input", {
        type: "number",
        class: "small",
        min: 0,
        step: "any",
        onchange: () => this.setRate(this.rate.valueAsNumber),
      });
      this.take = bp.button("go on with the new weights", () => this.takeWeights());
      bp.byId("step-controls").append(inplace.field, bp.labelled("learning rate", this.rate));
      bp.byId("update").append(
        bp.html("p", { id: "update-words" }),
        bp.html("p", { id: "losses" }),
        bp.html("p", { class: "controls" }, this.take),
      );
    }

    setRate(rate) {
      if (Number.isFinite(rate) && rate >= 0) this.app.set({ rate });
      else {
        this.rate.reportValidity();
        this.rate.value = this.app.state.rate;
      }
    }

    render() {
      const { net, state, view } = this.app;
      this.inplace.checked = state.inplace;
      if (document.activeElement !== this.rate) this.rate.value = state.rate;
      this.showUpdate();
      const key = `${state.step} ${state.inplace}`;
      if (this.shown === key) return;
      this.shown = key;
      for (const id of ["step-sentence", "sheet-step"]) bp.say(bp.byId(id), bp.stepWords(view.steps, state.step));
      bp.say(bp.byId("step-ends"), this.ends());
      const lines = view.updated ? [] : (view.steps[state.step - 1]?.equations ?? []);
      bp.byId("step-equations").replaceChildren(...lines.map((text) => bp.html("li", {}, bp.html("code", {}, text))));
      const { nodes, said } = bp.livesTable(net, state.step, state.inplace);
      bp.byId("lives").replaceChildren(...nodes);
      bp.say(bp.byId("lives-most"), said);
    }

    /** What may be forgotten after the current operation. */
    ends() {
      const { net, state } = this.app;
      const { step } = state;
      if (!step || step > bp.stepCount(net)) return "";
      if (step === bp.stepCount(net)) return "After it nothing needs the gradients.";
      const names = bp.endingWith(bp.lives(net, state.inplace), step, net.layers.at(-1).out);
      return names.length ? `After it nothing needs ${bp.listOf(names)}.` : "Everything that it reads is still needed.";
    }

    // ---- the update ----

    showUpdate() {
      const { view } = this.app;
      bp.byId("update").hidden = !view.updated;
      if (!view.updated) return;
      bp.byId("update-words").replaceChildren(...this.updateWords());
      this.take.hidden = !this.canTake();
      const { losses } = this.app;
      const before = losses.map(bp.short).join(" \u2192 ");
      bp.say(bp.byId("losses"), losses.length ? `The losses of the steps before this one: ${before}.` : "");
    }

    canTake() {
      return [...this.app.view.updated.values()].reduce((sum, { length }) => sum + length, 0) <= MOST;
    }

    updateWords() {
      const { net, state, view } = this.app;
      const b = (text) => bp.html("b", {}, text);
      const loss = bp.lossWith(net, state.changed, view.updated);
      const words = [
        "With the new weights the loss of the same rows is ",
        b(bp.long(loss)),
        ", \u0394 ",
        b(bp.signed(loss - view.run.loss)),
        "; the slopes predict ",
        b(bp.signed(bp.predictedChange(net, view.run, state.rate))),
        ".",
      ];
      return view.updated.has(state.at.name) ? [...this.elementWords(), ...words] : words;
    }

    elementWords() {
      const { app } = this;
      const { net, state, view } = app;
      const [old, made] = [app.valueAt(state.at), view.updated.get(state.at.name)[app.flat(state.at)]];
      const called = bp.elementName(net, state.at);
      const isExact = [old, state.rate, view.total].every(bp.isShort);
      return [
        `${called} = ${bp.short(old)} \u2212 ${bp.short(state.rate)} \u00b7 ${bp.factor(view.total)} ${isExact ? "=" : "\u2248"} `,
        bp.html("b", {}, bp.long(made)),
        ". ",
      ];
    }

    /** The next step of training begins, with the parameters that this one made. */
    takeWeights() {
      const { app } = this;
      const { net, view } = app;
      const { updated } = view;
      app.losses.push(view.run.loss);
      const take = (changed) => {
        for (const [name, numbers] of updated)
          changed.set(name, new Map([...numbers].map((value, at) => [at, shortest(net, value)])));
      };
      app.changeTo(take, "push", { step: 0 });
      app.remember();
      app.render();
    }
  }

  bp.StepPanel = StepPanel;
})((globalThis.pybackprop ??= {}));
