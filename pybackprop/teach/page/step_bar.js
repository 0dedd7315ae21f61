// One step of training, operation by operation: the buttons above the network, and what happens now.
(function (bp) {
  "use strict";

  const PHASES = { forward: "forward", loss: "the loss", backward: "backward", update: "the update" };

  /** "a, b and c". */
  bp.listOf = (names) => (names.length < 2 ? names.join() : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`);

  function updateWords(step) {
    const [name] = step.reads;
    return `every weight and bias moves against its gradient, ${name} \u2212= rate * ${name}.g`;
  }

  function stepWords(step) {
    if (step.phase === "update") return updateWords(step);
    const over = step.over === null ? "" : ` over ${step.over}, in the same storage`;
    return `${step.call} reads ${bp.listOf(step.reads)} and writes ${bp.listOf(step.writes)}${over}`;
  }

  /** What happens at a step; count 0 is before the first, one more than there are steps shows everything. */
  bp.stepWords = function (steps, count) {
    if (count > steps.length) return "The whole step is in sight: every value and every gradient.";
    if (!count)
      return `Nothing is computed yet: there are the data, the weights and the targets. A step of training takes ${steps.length} operations.`;
    const step = steps[count - 1];
    return `Step ${count} of ${steps.length}, ${PHASES[step.phase]}: ${stepWords(step)}.`;
  };

  /** The same in a few words. */
  function inShort(steps, count) {
    if (count > steps.length) return "";
    return count ? `${count} of ${steps.length}: ${steps[count - 1].call}` : "nothing is computed yet";
  }

  class StepBar {
    constructor(app) {
      this.app = app;
      this.restart = bp.button("from the start", () => this.goTo(0));
      this.back = bp.button("step back", () => this.goTo(app.state.step - 1), { class: "back" });
      this.next = bp.button("next step", () => this.goOn(), { class: "main" });
      this.all = bp.button("show all", () => this.goTo(bp.stepCount(app.net) + 1), { class: "all" });
      this.said = bp.html("code", { class: "step-said", "aria-live": "polite" });
      bp.byId("step-bar").append(
        bp.html("span", {}, "step of training"),
        this.restart,
        this.back,
        this.next,
        this.all,
        this.said,
      );
    }

    /** Whoever leaves the whole picture sees the step explained; whoever comes back, the element. */
    goTo(step) {
      const { state } = this.app;
      const whole = bp.stepCount(this.app.net) + 1;
      const panel = step === whole ? "element" : state.step === whole ? "step" : state.panel;
      this.app.set({ step, panel });
      this.app.strip.showCurrent();
    }

    /** After the update the next step of training begins, where there is room for the new weights. */
    goOn() {
      const { state, views } = this.app;
      if (this.beginsAnew()) views.step.takeWeights();
      else this.goTo(state.step + 1);
    }

    /** Whether the new weights are there, and the page's address has room for them. */
    beginsAnew() {
      const { view, views } = this.app;
      return view.updated !== null && views.step.canTake();
    }

    render() {
      const { state, view } = this.app;
      const isWhole = state.step > view.steps.length;
      this.restart.disabled = this.back.disabled = state.step === 0;
      this.next.disabled = this.all.disabled = isWhole;
      bp.say(this.next, this.beginsAnew() ? "new weights" : "next step");
      const said = inShort(view.steps, state.step);
      bp.say(this.said, said);
      this.said.title = said;
    }
  }

  bp.StepBar = StepBar;
})((globalThis.pybackprop ??= {}));
