// The reader's own formula, as text: a small grammar of names, .g, .T, @ * / + - and sums. Pure functions.
//   sum = product (("+" | "-") product)*     product = signed (("@" | "*" | "/") signed)*     signed = "-"? part
//   part = (number | name | "(" comparison ")") (".g" | ".T" | ".t()" | ".sum(" axis? ")" | ".mean(" axis? ")")*     axis = ("axis=" | "dim=")? number
(function (bp) {
  "use strict";

  const TOKEN = /\s*(?:(\d+\.?\d*(?:e[-+]?\d+)?|\.\d+)|([\p{L}_][\p{L}\p{N}_]*)|(\*\*|[-+*/@().,>=\u2212\u00b7]))/uy;
  const SAME = { "\u2212": "-", "\u00b7": "*" };

  const ASSIGNED = /^\s*[\p{L}_][\p{L}\p{N}_.]*\s*=/u; // what a whole line of code begins with

  class FormulaError extends Error {}

  function tokens(text) {
    const found = [];
    TOKEN.lastIndex = 0;
    while (TOKEN.lastIndex < text.trimEnd().length) {
      const start = TOKEN.lastIndex;
      const match = TOKEN.exec(text);
      if (!match) throw new FormulaError(`\u201c${text.slice(start).trim()[0]}\u201d cannot be read here.`);
      const [, number, name, sign] = match;
      if (sign === "**") throw new FormulaError("Powers are not supported: write x * x.");
      found.push(
        number
          ? { kind: "number", value: Number(number) }
          : name
            ? { kind: "name", name }
            : { kind: SAME[sign] ?? sign },
      );
    }
    return found;
  }

  class Parser {
    constructor(text) {
      this.left = tokens(text);
    }

    take(...kinds) {
      return kinds.includes(this.left[0]?.kind) ? this.left.shift() : null;
    }

    need(kind) {
      const token = this.take(kind);
      if (!token)
        throw new FormulaError(`Here a \u201c${kind}\u201d is missing${this.left.length ? "" : " at the end"}.`);
      return token;
    }

    chain(kinds, next) {
      let node = next();
      for (let sign; (sign = this.take(...kinds)); ) node = { kind: sign.kind, parts: [node, next()] };
      return node;
    }

    comparison = () => this.chain([">"], this.sum);

    sum = () => this.chain(["+", "-"], this.product);

    product = () => this.chain(["@", "*", "/"], this.signed);

    signed = () => (this.take("-") ? { kind: "negative", parts: [this.signed()] } : this.part());

    part = () => {
      const token = this.left.shift();
      if (!token) throw new FormulaError("The formula ends too early.");
      let node = token.kind === "(" ? this.comparison() : token;
      if (token.kind === "(") this.need(")");
      else if (token.kind !== "name" && token.kind !== "number")
        throw new FormulaError(`\u201c${token.kind}\u201d cannot stand here.`);
      while (this.take(".")) node = this.attribute(node);
      return node;
    };

    /** numpy's and PyTorch's word for the axis. */
    keyword() {
      const { name } = this.need("name");
      if (name !== "axis" && name !== "dim") throw new FormulaError(`\u201c${name}\u201d cannot stand here.`);
      this.need("=");
    }

    attribute(node) {
      const { name } = this.need("name");
      if (name === "g" && node.kind === "name") return { kind: "gradient", name: node.name };
      if (name === "T") return { kind: "transpose", parts: [node] };
      if (!["t", "sum", "mean"].includes(name))
        throw new FormulaError(`.${name} is not known here; .g, .T, .t(), .sum(0) and .mean(0) are.`);
      this.need("(");
      if (this.left[0]?.kind === "name") this.keyword();
      const sign = this.take("-") ? -1 : 1;
      const number = this.take("number");
      const axis = number && sign * number.value;
      this.need(")");
      return name === "t" ? { kind: "transpose", parts: [node] } : { kind: name, axis, parts: [node] };
    }
  }

  /** The formula, or the right side of a line of code, with the signs that Python knows. */
  bp.asPython = (text) => text.replace(ASSIGNED, "").replace(/[\u2212\u00b7]/g, (sign) => SAME[sign]);

  /** The formula, or the right side of a line of code, as a tree of {kind, parts, ...}. Raises bp.FormulaError with a sentence for the reader. */
  bp.parseFormula = function (text) {
    const parser = new Parser(text.replace(ASSIGNED, ""));
    const tree = parser.comparison();
    if (parser.left.length)
      throw new FormulaError(
        `After a whole formula, \u201c${parser.left[0].kind === "name" ? parser.left[0].name : parser.left[0].kind}\u201d is too much.`,
      );
    return tree;
  };

  bp.FormulaError = FormulaError;
})((globalThis.pybackprop ??= {}));
