// What is shown of the chosen element, to take away: as text, as LaTeX, and the drawing of its product as a picture.
(function (bp) {
  "use strict";

  const INLINE = ["fill", "stroke", "stroke-width", "font-family", "font-size", "font-weight", "text-anchor"];
  const SHARP = 2; // pixels of the picture for one of the page

  const name = (text) => `\\mathrm{${text.replace(/([\\_{}#$%&^~])/g, "\\$1")}}`;
  const number = (value) =>
    bp
      .long(value)
      .replaceAll("\u2212", "-")
      .replace(/e(-?\d+)$/, "\\cdot 10^{$1}");

  function indexed(text, ...indices) {
    return indices.length ? `${name(text)}_{${indices.join(",")}}` : name(text);
  }

  /** The gradient of an element as LaTeX: the sum over what it moves, and its value unless it is null. */
  bp.latexOf = function (net, element, total) {
    const { layer, slot } = bp.readerOf(net, element.name);
    const { in: x, w, targ, out } = layer;
    const { row: i, column: j } = element;
    const { shape } = net.tensors.get(element.name);
    const own = indexed(element.name, ...(shape.length === 2 ? [i, j] : [j]));
    const over = (letter, count, body) => `\\sum_{${letter}=0}^{${count - 1}} ${body}`;
    const other = slot === "targ" ? x : targ;
    const bodies = {
      w: () => over("i", net.n, `${indexed(x, "i", i)} \\cdot ${indexed(`${out}.g`, "i", j)}`),
      b: () => over("i", net.n, indexed(`${out}.g`, "i", j)),
      x: () => over("j", net.tensors.get(out).columns, `${indexed(`${out}.g`, i, "j")} \\cdot ${indexed(w, j, "j")}`),
      relu: () => `[${own} > 0] \\cdot ${indexed(`${out}.g`, i, j)}`,
      mse: () => `\\frac{2}{${bp.sizeOf(net.tensors.get(x))}} (${own} - ${indexed(other, i, j)})`,
    };
    const body = bodies[layer.op === "lin" ? (slot === "in" ? "x" : slot) : layer.op]();
    return `\\frac{\\partial\\,${name(net.layers.at(-1).out)}}{\\partial\\,${own}} = ${body}${total === null ? "" : ` = ${number(total)}`}`;
  };

  /** A drawing with its styles written into it, as the address of a picture. */
  function addressOf(drawing) {
    const copy = drawing.cloneNode(true);
    const [from, to] = [drawing, copy].map((root) => [root, ...root.querySelectorAll("*")]);
    from.forEach((node, k) => {
      const styles = getComputedStyle(node);
      for (const property of INLINE) to[k].setAttribute(property, styles.getPropertyValue(property));
      to[k].removeAttribute("style");
    });
    const { width, height } = drawing.viewBox.baseVal;
    copy.setAttribute("width", width * SHARP);
    copy.setAttribute("height", height * SHARP);
    return `data:image/svg+xml,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`;
  }

  /** The drawing of the product as a PNG, in a promise of its address. */
  bp.pictureOf = async function (drawing) {
    const picture = new Image();
    picture.src = addressOf(drawing);
    await picture.decode();
    const canvas = bp.html("canvas", { width: picture.width, height: picture.height });
    const context = canvas.getContext("2d");
    context.fillStyle = getComputedStyle(bp.byId("element")).backgroundColor;
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(picture, 0, 0);
    return canvas.toDataURL("image/png");
  };

  class Copy {
    constructor(app) {
      this.app = app;
      this.said = bp.html("span", { role: "status" });
      const buttons = [
        bp.button("copy as text", () => this.put(this.text())),
        bp.button("copy as LaTeX", () => this.put(this.latex())),
        bp.button("save as PNG", () => this.save()),
      ];
      bp.byId("copy").append(...buttons, this.said);
    }

    render() {
      bp.say(this.said, "");
    }

    latex() {
      const { net, state, view } = this.app;
      return bp.latexOf(net, state.at, this.app.isWritten() ? view.total : null);
    }

    text() {
      const { net, state, view } = this.app;
      const called = bp.elementName(net, state.at, ".g");
      const sum = this.app.isWritten() ? `${called} = ${this.app.views.product.sumOfChosen()}\n` : "";
      return `${bp.sentence(net, view.run.values, state.at)}\n${sum}${location.href}\n`;
    }

    async put(text) {
      const isDone = await navigator.clipboard.writeText(text).then(
        () => true,
        () => false,
      );
      bp.say(this.said, isDone ? "copied" : "the browser did not allow it");
    }

    async save() {
      const { net, state, views } = this.app;
      const href = await bp.pictureOf(views.product.drawing.node);
      const called = views.product.isOfChosen() ? bp.elementName(net, state.at, ".g") : "product";
      bp.html("a", { href, download: `${called}.png` }).click();
      bp.say(this.said, "saved");
    }
  }

  bp.Copy = Copy;
})((globalThis.pybackprop ??= {}));
