// Asks judge, on the machine that serves the page, what it says of the reader's formula. Only the served page has this.
(function (bp) {
  "use strict";

  const PAUSE = 500; // milliseconds without typing before a question is asked
  const NAME = /(?<![\p{L}\p{N}_.])[\p{L}_][\p{L}\p{N}_]*/gu; // but no attribute

  let asked = "";
  let known = ""; // the address that has an answer
  let answer = null;
  let timer = null;

  function told({ ok, summary, hints, error }, isChanged) {
    if (error) return `judge cannot tell: ${error}`;
    const first = ok ? "" : (hints[0] ?? "");
    const where = `on the network that is served${isChanged ? ", without your changes" : ""}`;
    return `judge, ${where}: ${summary}${first && !summary.includes(first) ? `\n${first}` : ""}`;
  }

  /** The names that the page reads as the lesson's, and their tensors: [name, tensor] pairs. */
  function lessonsNames({ net, state, view }, formula) {
    const names = [...new Set(formula.match(NAME) ?? [])];
    const isLessons = bp.isLessons(net, view.reader.layer, { parts: names.map((name) => ({ name })) });
    return names
      .map((name) => [name, bp.tensorCalled({ net, at: state.at, isLessons }, name)[0]])
      .filter(([name, called]) => called !== null && called !== name);
  }

  /** Empty where there is nothing to ask: judge has the served numbers only, and none of equal sizes. */
  function addressOf(app) {
    const { own, at, equal } = app.state;
    if (!own.trim() || equal || !app.isWritten()) return "";
    const formula = bp.asPython(own);
    const names = lessonsNames(app, formula);
    return `judge?${new URLSearchParams([["tensor", at.name], ["formula", formula], ...names])}`;
  }

  async function ask(address, say) {
    const found = await (await fetch(address)).json();
    if (address !== asked) return;
    [known, answer] = [address, found];
    say();
  }

  /** Shows in a node what judge says of the reader's formula for the gradient of the chosen element's tensor. */
  bp.askJudge = function (app, node) {
    const address = addressOf(app);
    const say = () => bp.say(node, told(answer, app.state.changed.size > 0));
    if (address && address === known) say();
    if (address === asked) return;
    asked = address;
    clearTimeout(timer);
    if (address === known) return;
    bp.say(node, "");
    if (address)
      timer = setTimeout(() => ask(address, say).catch(() => bp.say(node, "judge does not answer any more.")), PAUSE);
  };
})((globalThis.pybackprop ??= {}));
