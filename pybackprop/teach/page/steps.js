// The backward pass, operation by operation, and which storage each step writes.
(function (bp) {
  "use strict";

  function listOf(names) {
    return names.length < 2 ? names.join() : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
  }

  function words(step, count, total) {
    if (count > total) return "The backward pass is complete: every gradient is written.";
    if (!step) return `Nothing is written yet. The backward pass takes ${total} steps, from the loss to the data.`;
    const reads = step.reads === null ? "starts from the loss" : `reads ${step.reads}.g`;
    const writes = listOf(step.writes.map((name) => `${name}.g`));
    const over = step.over === null ? "" : ` over ${step.over}.g, in the same storage`;
    return `Step ${count} of ${total}: ${step.call} ${reads} and writes ${writes}${over}.`;
  }

  class Steps {
    constructor(app) {
      this.app = app;
      this.inplace = bp.html("input", { type: "checkbox", onchange: () => app.set({ inplace: this.inplace.checked }) });
      this.back = bp.button("back", () => app.set({ step: app.state.step - 1 }));
      this.next = bp.button("next step", () => app.set({ step: app.state.step + 1 }), { class: "main" });
      this.restart = bp.button("from the start", () => app.set({ step: 0 }));
      bp.byId("step-controls").append(
        this.restart,
        this.back,
        this.next,
        bp.html("span", { class: "field" }, this.inplace, this.labelOf(this.inplace)),
      );
    }

    labelOf(control) {
      control.id = "inplace";
      return bp.html("label", { for: control.id }, bp.html("code", {}, "relu_grad(\u2026, inplace=True)"));
    }

    render() {
      const { net, state, view } = this.app;
      const { step, inplace } = state;
      const total = view.steps.length;
      if (this.shown === `${step} ${inplace}`) return;
      this.shown = `${step} ${inplace}`;
      Object.assign(this.back, { disabled: step === 0 });
      Object.assign(this.restart, { disabled: step === 0 });
      Object.assign(this.next, { disabled: step > total });
      this.inplace.checked = inplace;
      bp.say(bp.byId("step-sentence"), words(view.steps[step - 1], step, total));
      this.showList(view.steps, step);
      const { nodes, said } = bp.livesTable(net, step, inplace, net.dtype);
      bp.byId("lives").replaceChildren(...nodes);
      bp.say(bp.byId("lives-most"), said);
      bp.byId("storage").replaceChildren(...this.storage(bp.storage(net, inplace), view.steps, step));
    }

    showList(steps, current) {
      const list = bp.byId("step-list");
      const hadFocus = list.contains(document.activeElement);
      list.replaceChildren(...steps.map((step, k) => this.item(step, k + 1, current)));
      if (hadFocus) list.querySelector("[aria-current]")?.focus();
    }

    item(step, count, current) {
      const kind = count < current ? "done" : count === current ? "now" : "ahead";
      const button = bp.button("", () => this.app.set({ step: count }), {
        class: "step",
        "aria-current": count === current ? "step" : null,
      });
      button.append(bp.html("code", {}, step.call));
      const lines = step.equations.map((text) => bp.html("li", {}, bp.html("code", {}, text)));
      return bp.html("li", { class: kind }, button, bp.html("ul", { class: "equations" }, ...lines));
    }

    // ---- storage ----

    storage(buffers, steps, current) {
      const heads = ["buffer", ...steps.map(({ op }) => op)];
      const head = heads.map((text, k) =>
        bp.html("th", { scope: "col", class: k === current && k ? "now" : null }, text),
      );
      return [
        bp.html("thead", {}, bp.html("tr", {}, ...head)),
        bp.html("tbody", {}, ...buffers.map((buffer, k) => this.buffer(buffer, k, current))),
      ];
    }

    buffer({ shape, held }, k, current) {
      const cells = held.slice(1).map((name, at) => {
        const isWritten = name !== null && name !== held[at];
        const kinds = [
          isWritten ? "writes" : name === null ? "free" : "holds",
          at + 1 > current ? "ahead" : "",
          at + 1 === current ? "now" : "",
        ];
        return bp.html("td", { class: kinds.join(" ").trim() }, name === null ? "" : `${name}.g`);
      });
      return bp.html(
        "tr",
        {},
        bp.html("th", { scope: "row" }, `${k + 1} `, bp.html("small", {}, shape.join(" \u00d7 "))),
        ...cells,
      );
    }
  }

  bp.Steps = Steps;
})((globalThis.pybackprop ??= {}));
