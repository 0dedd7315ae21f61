// The loss against the value of one element, with the gradient as its slope. The point can be dragged.
(function (bp) {
  "use strict";

  const SIZE = { width: 480, height: 130, left: 8, right: 8, top: 22, bottom: 26 }; // words stand above the plot and below
  const POINTS = 80;
  const STEPS = [1, 2, 5, 10];
  const FLAT = 64 * 2 ** -24; // of the loss: a few roundings of float32, which are no curve to look at

  function niceAbove(size) {
    const unit = 10 ** Math.floor(Math.log10(size));
    return unit * STEPS.find((factor) => factor * unit >= size * 0.999);
  }

  /** Where an element's value can be dragged: around the exported one; {low, high, step}. */
  bp.rangeOf = function (original, value = original) {
    const centre = Number.isFinite(original) ? original : 0;
    const half = niceAbove(Math.max(1, 1.5 * Math.abs(centre)));
    const step = half / 100;
    const low = Math.min(centre - half, Number.isFinite(value) ? value : centre);
    const high = Math.max(centre + half, Number.isFinite(value) ? value : centre);
    return { low: Math.floor(low / step + 1e-9) * step, high: Math.ceil(high / step - 1e-9) * step, step };
  };

  const inner = { width: SIZE.width - SIZE.left - SIZE.right, height: SIZE.height - SIZE.top - SIZE.bottom };

  function curve(lossAt, { low, high }) {
    return Array.from({ length: POINTS + 1 }, (_, k) => {
      const value = low + ((high - low) * k) / POINTS;
      return [value, lossAt(value)];
    });
  }

  /** From the lowest loss to the highest, in the middle of a span that is never so small that rounding fills it. */
  function heights(points, loss) {
    const losses = points.map(([, y]) => y);
    const [low, high] = [Math.min(...losses, loss), Math.max(...losses, loss)];
    const half = Math.max(high - low, FLAT * Math.abs(high)) * 0.6 || 1;
    const middle = low + (high - low) / 2;
    return { low: middle - half, high: middle + half };
  }

  function scales(range, { low, high }) {
    return {
      x: (value) => ((value - range.low) / (range.high - range.low)) * inner.width,
      y: (loss) => ((high - loss) / (high - low)) * inner.height,
    };
  }

  const pathOf = (points, { x, y }) =>
    points.map(([value, loss], k) => `${k ? "L" : "M"}${x(value).toFixed(1)} ${y(loss).toFixed(1)}`).join("");

  function tangent({ value, loss, slope }, range, { x, y }) {
    const at = (where) => loss + slope * (where - value);
    const [low, high] = [range.low, range.high];
    return bp.svg("line", { class: "tangent", x1: x(low), y1: y(at(low)), x2: x(high), y2: y(at(high)) });
  }

  function drawing(points, now, range) {
    const scale = scales(range, heights(points, now.loss));
    const [x, y] = [scale.x(now.value), scale.y(now.loss)];
    const plot = bp.svg(
      "svg",
      { x: SIZE.left, y: SIZE.top, width: inner.width, height: inner.height },
      bp.svg("line", { class: "drop", x1: x, y1: y, x2: x, y2: inner.height }),
      bp.svg("path", { class: "curve", d: pathOf(points, scale) }),
      ...(now.slope === null ? [] : [tangent(now, range, scale)]),
    );
    const top = bp.svg("text", { x: SIZE.left, y: SIZE.top - 6 }, now.said);
    const point = bp.svg("circle", { class: "point", cx: SIZE.left + x, cy: SIZE.top + y, r: 7 });
    return [plot, top, point];
  }

  function axis(name, { low, high }) {
    const y = SIZE.top + inner.height;
    const text = (x, anchor, words, kind = "tick") =>
      bp.svg("text", { x, y: y + 19, "text-anchor": anchor, class: kind }, words);
    return [
      bp.svg("line", { class: "axis", x1: SIZE.left, x2: SIZE.width - SIZE.right, y1: y, y2: y }),
      text(SIZE.left, "start", bp.short(low)),
      text(SIZE.width / 2, "middle", name, "name"),
      text(SIZE.width - SIZE.right, "end", bp.short(high)),
    ];
  }

  class Slope {
    constructor(app, root) {
      Object.assign(this, { app, range: null });
      this.node = bp.svg("svg", {
        class: "slope",
        viewBox: `0 0 ${SIZE.width} ${SIZE.height}`,
        role: "img",
        onpointerdown: (event) => this.grasp(event),
        onpointermove: (event) => this.drag(event),
      });
      root.append(this.node);
    }

    grasp(event) {
      this.node.setPointerCapture(event.pointerId);
      this.drag(event);
    }

    drag(event) {
      if (!this.node.hasPointerCapture(event.pointerId) || !this.range) return;
      const box = this.node.getBoundingClientRect();
      const across = (((event.clientX - box.left) / box.width) * SIZE.width - SIZE.left) / inner.width;
      const { low, high, step } = this.range;
      this.app.setValue(Math.round((low + bp.clamp(across, 0, 1) * (high - low)) / step) * step);
    }

    /** The curve, which is the same one while a single element is dragged. */
    curve(lossAt) {
      const { low, high } = this.range;
      if (this.drawn?.lossAt !== lossAt || this.drawn.low !== low || this.drawn.high !== high) {
        this.drawn = { lossAt, low, high, points: curve(lossAt, this.range) };
      }
      return this.drawn.points;
    }

    /** The first argument: {name, value, loss, slope (null: not known yet), original, isHidden (the loss)}; lossAt: value -> loss, a new function for each new curve. */
    render({ name, value, loss, slope, original, isHidden }, lossAt) {
      const said = isHidden ? "" : `loss ${bp.long(loss)}`;
      const drawn = slope === null ? said : `${said}, its slope dashed`;
      this.range = bp.rangeOf(original, value);
      const points = this.curve(lossAt);
      const height = lossAt(value); // the curve's, in double: the point lies on it, whatever float32 rounds
      const numbers = [value, loss, slope ?? 0, height, ...points.map(([, y]) => y)];
      const shown = numbers.every(Number.isFinite)
        ? drawing(points, { value, loss: height, slope, said: drawn }, this.range)
        : [
            bp.svg(
              "text",
              { x: SIZE.width / 2, y: SIZE.height / 2, "text-anchor": "middle" },
              "The loss is not a finite number here.",
            ),
          ];
      this.node.replaceChildren(...axis(name, this.range), ...shown);
      this.node.setAttribute(
        "aria-label",
        `The loss against ${name}${said && `: at ${bp.short(value)} it is ${bp.long(loss)}`}${slope === null ? "" : `, and its slope is ${bp.long(slope)}`}.`,
      );
    }
  }

  bp.Slope = Slope;
})((globalThis.pybackprop ??= {}));
