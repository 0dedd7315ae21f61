// Asks judge, on the machine that serves the page, what it says of the reader's formula. Only the served page has this.
(function (bp) {
  "use strict";

  const PAUSE = 500; // milliseconds without typing before a question is asked

  let asked = "";
  let timer = null;

  function told({ ok, summary, hints, error }) {
    if (error) return `judge cannot tell: ${error}`;
    const first = ok ? "" : (hints[0] ?? "");
    return `judge, on the network that is served: ${summary}${first && !summary.includes(first) ? `\n${first}` : ""}`;
  }

  async function ask(address, node) {
    const answer = await (await fetch(address)).json();
    if (address === asked) bp.say(node, told(answer));
  }

  /** Shows in a node what judge says of a formula for the gradient of a tensor. */
  bp.askJudge = function (name, formula, node) {
    const address = formula.trim() ? `judge?${new URLSearchParams({ tensor: name, formula })}` : "";
    if (address === asked) return;
    asked = address;
    clearTimeout(timer);
    bp.say(node, "");
    if (address)
      timer = setTimeout(() => ask(address, node).catch(() => bp.say(node, "judge does not answer any more.")), PAUSE);
  };
})((globalThis.pybackprop ??= {}));
