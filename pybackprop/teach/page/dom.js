// Making and changing elements of the document. Text goes in as text, never as markup.
(function (bp) {
  "use strict";

  const SVG = "http://www.w3.org/2000/svg";
  const MATHML = "http://www.w3.org/1998/Math/MathML";

  function fill(node, properties, children) {
    for (const [key, value] of Object.entries(properties)) {
      if (value === null || value === undefined) continue;
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else node.setAttribute(key, value);
    }
    node.append(...children.flat().filter((child) => child !== null));
    return node;
  }

  const maker =
    (namespace) =>
    (tag, properties = {}, ...children) =>
      fill(document.createElementNS(namespace, tag), properties, children);

  bp.html = (tag, properties = {}, ...children) => fill(document.createElement(tag), properties, children);
  bp.svg = maker(SVG);
  bp.math = maker(MATHML);

  bp.byId = (id) => document.getElementById(id);

  /** Sets text only where it differs, so that nothing is announced or painted again. */
  bp.say = function (node, text) {
    if (node.textContent !== text) node.textContent = text;
  };

  bp.place = function (node, styles) {
    for (const [name, value] of Object.entries(styles)) node.style.setProperty(name, value);
  };

  /** Until the signal: what is observed would else call into a page that another has taken the place of. */
  bp.observe = function (observer, node, signal) {
    observer.observe(node);
    signal.addEventListener("abort", () => observer.disconnect());
  };

  let count = 0;
  bp.freshId = (prefix) => `${prefix}-${(count += 1)}`;

  /** A labelled form control. */
  bp.labelled = function (text, control, properties = {}) {
    control.id ||= bp.freshId("control");
    return bp.html("span", { class: "field", ...properties }, bp.html("label", { for: control.id }, text), control);
  };

  /** A checkbox before its label, which may hold nodes. */
  bp.checkbox = function (label, properties) {
    const box = bp.html("input", { type: "checkbox", ...properties });
    box.id ||= bp.freshId("control");
    return { box, field: bp.html("span", { class: "field" }, box, bp.html("label", { for: box.id }, label)) };
  };

  bp.button = (text, onclick, properties = {}) => bp.html("button", { type: "button", onclick, ...properties }, text);

  const UNUSABLE = ":disabled, [hidden], [hidden] *";

  /**
   * Where the control that had the focus can be used no more, the group around it has the focus: Tab goes on from there,
   * and Enter held down presses nothing else.
   */
  bp.keepFocus = function (focused) {
    if (!focused?.matches(UNUSABLE)) return;
    focused.closest('[tabindex="-1"]:not([hidden], [hidden] *)')?.focus({ preventScroll: true });
  };

  bp.isStill = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
})((globalThis.pybackprop ??= {}));
