// All operations of one step of training, and which storage each operation of the backward pass writes.
(function (bp) {
  "use strict";

  class Steps {
    constructor(app) {
      this.app = app;
    }

    render() {
      const { net, state, view } = this.app;
      const { step, inplace } = state;
      if (this.shown === `${step} ${inplace}`) return;
      this.shown = `${step} ${inplace}`;
      this.showList(view.steps, step);
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
      const button = bp.button("", () => this.app.views.bar.goTo(count), {
        class: "step",
        "aria-current": count === current ? "step" : null,
      });
      button.append(bp.html("code", {}, step.call));
      const lines = step.equations.map((text) => bp.html("li", {}, bp.html("code", {}, text)));
      return bp.html(
        "li",
        { class: kind },
        bp.html("small", { class: "phase" }, step.phase),
        button,
        bp.html("ul", { class: "equations" }, ...lines),
      );
    }

    // ---- storage ----

    storage(buffers, steps, current) {
      const backward = steps.filter(({ phase }) => phase === "backward");
      const now = current - steps.indexOf(backward[0]);
      const heads = ["buffer", ...backward.map(({ head }) => head)];
      const head = heads.map((text, k) => bp.html("th", { scope: "col", class: k === now && k ? "now" : null }, text));
      return [
        bp.html("thead", {}, bp.html("tr", {}, ...head)),
        bp.html("tbody", {}, ...buffers.map((buffer, k) => this.buffer(buffer, k, now))),
      ];
    }

    buffer({ shape, held }, k, now) {
      const cells = held.slice(1).map((name, at) => {
        const isWritten = name !== null && name !== held[at];
        const kinds = [
          isWritten ? "writes" : name === null ? "free" : "holds",
          at + 1 > now ? "ahead" : "",
          at + 1 === now ? "now" : "",
        ];
        return bp.html("td", { class: kinds.join(" ").trim() }, name ?? "");
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
