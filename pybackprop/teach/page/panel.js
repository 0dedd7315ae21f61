// The panel beside the network shows one of two things: the chosen element's gradient, or the step of training.
(function (bp) {
  "use strict";

  const NAMES = ["element", "step"];

  class Panel {
    constructor(app) {
      this.app = app;
      this.tabs = NAMES.map((name) => bp.byId(`tab-${name}`));
      this.tabs.forEach((tab, k) => {
        tab.onclick = () => app.set({ panel: NAMES[k] });
        tab.onkeydown = (event) => this.pressed(event, k);
      });
    }

    /** Arrow keys go from tab to tab, as in every list of tabs. */
    pressed(event, at) {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!by) return;
      event.preventDefault();
      const to = (at + by + NAMES.length) % NAMES.length;
      this.app.set({ panel: NAMES[to] });
      this.tabs[to].focus();
    }

    render() {
      NAMES.forEach((name, k) => {
        const isShown = this.app.state.panel === name;
        this.tabs[k].setAttribute("aria-selected", String(isShown));
        this.tabs[k].tabIndex = isShown ? 0 : -1;
        bp.byId(`panel-${name}`).hidden = !isShown;
      });
    }
  }

  bp.Panel = Panel;
})((globalThis.pybackprop ??= {}));
