// The reader's own formula for the chosen gradient: what it would add up, beside what should be added.
(function (bp) {
  "use strict";

  const MOST = 40; // terms in the table
  const NOTHING = { said: "", kind: "", rows: [] };
  const NOT_THERE = {
    said: "The gradient is not there to compare with: it is not written yet, or overwritten in place.",
    kind: "",
    rows: [],
  };

  /** Answers that are given often, right or wrong. */
  bp.popular = function ({ layer, slot }) {
    const { op, in: x, w, targ, out } = layer;
    if (op === "relu") return [`${out}.g`, `(${x} > 0)`, `${x} * ${out}.g`];
    if (op === "mse")
      return slot === "targ" ? [`${targ} - ${x}`, `2 * (${targ} - ${x})`] : [`${x} - ${targ}`, `2 * (${x} - ${targ})`];
    return {
      w: [`${out}.g @ ${x}.T`, `${x} * ${out}.g`, `${x} @ ${out}.g`, `${x}.T @ ${out}`],
      b: [`${out}.g`, `${out}.g.sum(1)`, `${out}.g.mean(0)`],
      in: [`${w} @ ${out}.g`, `${out}.g @ ${w}`, `${out}.g * ${w}`],
    }[slot];
  };

  /** The names of a term's factors, sorted; null where one has none. */
  bp.namesOfTerm = ({ factors }) =>
    factors.some(({ name }) => name === null)
      ? null
      : factors
          .map(({ name }) => name)
          .sort()
          .join();

  /** How the lesson's names were read. */
  function asInTheLesson(net, layer, tree) {
    const pairs = bp.lessonsNames(net, layer, tree).map(([name, called]) => `${name} is ${called}`);
    return pairs.length ? `As in the lesson, ${bp.listOf(pairs)} here. ` : "";
  }

  /** That a network's own out is not the lesson's. */
  function otherOut({ op, out }, tree) {
    const isOther = op === "lin" && out !== "out" && bp.namesIn(tree).includes("out");
    return isOther ? ` Here out is the output of the whole network: what the lesson calls out is ${out}.` : "";
  }

  const sizes = (shape) => (shape.length ? shape.join(" \u00d7 ") : "one number");

  const agrees = (count) =>
    `On these numbers it gives the gradient, in ${count === 1 ? "its only element" : `all ${count} elements`}.`;

  function turned(name, result, shape, isSame) {
    const but = `${name}.g ${bp.TURNED}`;
    return isSame
      ? `The shape is right by accident: this is ${but}.`
      : `It gives ${sizes(result.shape)}: that is ${but}. ${name}.g is ${sizes(shape)}.`;
  }

  class OwnFormula {
    constructor(app) {
      this.app = app;
      this.input = bp.html("input", {
        type: "text",
        spellcheck: "false",
        autocomplete: "off",
        class: "own",
        oninput: () => app.set({ own: this.input.value }, { history: "replace", only: "own" }),
      });
      this.label = bp.html("code");
      this.input.id = "own-formula";
      this.popular = bp.html("span", { class: "popular" });
      const equal = bp.checkbox("make all sizes equal", {
        id: "equal",
        onchange: () => app.makeSizesEqual(equal.box.checked),
      });
      equal.box.checked = app.state.equal;
      bp.byId("own-controls").append(
        bp.html("span", { class: "field long" }, bp.html("label", { for: "own-formula" }, this.label), this.input),
        this.popular,
        equal.field,
      );
    }

    render() {
      const { state, view, net } = this.app;
      bp.say(this.label, `${state.at.name}.g =`);
      if (this.input.value !== state.own) this.input.value = state.own;
      this.showPopular(view.reader);
      const asked = { net, run: view.run, at: state.at };
      const isAsked = state.own.trim() !== "";
      const isWritten = this.app.isWritten();
      const { said, kind, rows } = !isAsked ? NOTHING : isWritten ? this.judged(asked, state.own) : NOT_THERE;
      const verdict = bp.byId("own-verdict");
      verdict.className = kind ? `verdict ${kind}` : "";
      bp.say(verdict, said);
      bp.byId("own-terms").replaceChildren(...rows);
      bp.askJudge?.(this.app, bp.byId("own-judge"));
    }

    showPopular(reader) {
      const answers = bp.popular(reader);
      if (this.shown === answers.join()) return;
      this.shown = answers.join();
      this.popular.replaceChildren(
        "common guesses: ",
        ...answers.map((text) => {
          const button = bp.button("", () => this.app.set({ own: text }, { only: "own" }));
          button.append(bp.html("code", {}, text));
          return button;
        }),
      );
    }

    judged(asked, text) {
      const { layer } = this.app.view.reader;
      let [before, after] = ["", ""];
      try {
        const tree = bp.parseFormula(text);
        const isLessons = bp.isLessons(asked.net, layer, tree);
        before = isLessons ? asInTheLesson(asked.net, layer, tree) : "";
        after = isLessons ? "" : otherOut(layer, tree);
        bp.evaluateFormula({ ...asked, isLessons }, tree);
        const { said, kind, rows } = this.compared(asked, tree);
        return { said: before + said + (kind === "wrong" ? after : ""), kind, rows };
      } catch (error) {
        if (!(error instanceof bp.FormulaError)) throw error;
        const why = error.isMisfit ? this.whyNot(asked, error) : "";
        return { said: before + error.message + after + why, kind: "wrong", rows: [] };
      }
    }

    /** That the sizes do not fit is no reason: this is. */
    whyNot({ net, run, at }, { isElementwise }) {
      const { layer } = this.app.view.reader;
      const count = this.app.view.terms.length;
      if (layer.op !== "lin") return "";
      const adds = isElementwise ? " * pairs each place with one other place, and adds nothing up." : "";
      const next = this.app.state.equal ? "" : " Make all sizes equal, and the formula runs: is it right then?";
      const products = count === 1 ? "one product is the gradient" : `${count} products are to be added up`;
      return ` And the sizes are not the reason: ${bp.sentence(net, run.values, at).slice(0, -1)}, so ${products}.${adds}${next}`;
    }

    compared({ net, run, at }, tree) {
      const { rows, columns, shape } = net.tensors.get(at.name);
      const { result } = tree;
      const wanted = run.grads.get(at.name) ?? this.gradientOf(net, run, at.name);
      const isSame = result.shape.length === shape.length && result.rows === rows && result.columns === columns;
      const isRight = isSame && bp.countWrong(result.data, wanted) === 0;
      const isTurned = !isRight && bp.isTurned(result, { rows, columns, data: wanted });
      const [row, column] = isTurned
        ? [at.column, at.row]
        : [Math.min(at.row, result.rows - 1), Math.min(at.column, result.columns - 1)];
      const own = bp.formulaTerms(tree, row, column);
      const table = this.table(net, own, bp.terms(net, run, at), at, { row, column, shape: result.shape });
      const answer = (said) => ({ said, kind: isRight ? "right" : "wrong", rows: table });
      if (isRight) return answer(agrees(wanted.length));
      if (isTurned) return answer(turned(at.name, result, shape, isSame));
      if (isSame) return answer(this.verdict(net, run, at, tree, wanted, own));
      const misses = `It gives ${sizes(result.shape)}, but ${at.name}.g is ${sizes(shape)}.`;
      return answer(`${misses} ${bp.sentence(net, run.values, at)}`);
    }

    gradientOf(net, run, name) {
      const { rows, columns } = net.tensors.get(name);
      return Float64Array.from({ length: rows * columns }, (_, k) =>
        bp.total(bp.terms(net, run, { name, row: Math.floor(k / columns), column: k % columns })),
      );
    }

    /** Why numbers of the right shape are wrong. */
    verdict(net, run, at, tree, wanted, own) {
      const times = bp.factorOf(tree.result.data, wanted);
      if (times !== null) {
        const why = tree.kind === "mean" ? " .mean divides what it adds up by how many they are." : "";
        return `Every element is ${bp.short(times)} times what it should be.${why}`;
      }
      const wrong = bp.countWrong(tree.result.data, wanted);
      const said = `The shape is right, and ${wrong} of ${wanted.length} elements ${wrong === 1 ? "is" : "are"} wrong. ${bp.sentence(net, run.values, at)}`;
      if (this.app.view.reader.layer.op !== "lin") return said;
      const right = this.rightNames(net, bp.terms(net, run, at));
      const mine = new Set(own.map(bp.namesOfTerm));
      if (mine.has(null)) return said;
      const shared = [...right].filter((names) => mine.has(names)).length;
      const adds = right.size === 1 ? "One product is" : `${right.size} products are`;
      const alike = shared ? 0 : this.alike(own, bp.terms(net, run, at));
      const though = alike
        ? `, though ${alike} of its products ${alike === 1 ? "is the same number" : "are the same numbers"} here`
        : "";
      return `${said} ${adds} to be added up; your formula has ${shared || "none"} of them${though}.`;
    }

    /** How many products at the same place are the same number, and not 0. */
    alike(own, right) {
      return own.filter(({ product }, k) => product !== 0 && bp.isClose(product, right[k]?.product, product)).length;
    }

    /** The names of the factors of each term of the gradient, as bp.namesOfTerm has them. */
    rightNames(net, terms) {
      const { layer } = this.app.view.reader;
      return new Set(
        terms.map(({ row, column, source }) => {
          const arriving = bp.elementName(net, { name: layer.out, row, column }, ".g");
          return (source ? [arriving, bp.elementName(net, source)] : [arriving]).sort().join();
        }),
      );
    }

    /** A term of the gradient, written with the names of its factors. */
    termText(net, { row, column, source }, at) {
      const { layer, slot } = this.app.view.reader;
      const arriving = bp.elementName(net, { name: layer.out, row, column }, ".g");
      if (layer.op === "relu") return `(${bp.elementName(net, at)} > 0) \u00b7 ${arriving}`;
      if (layer.op === "lin") return source ? `${bp.elementName(net, source)} \u00b7 ${arriving}` : arriving;
      const other = bp.elementName(net, { ...at, name: slot === "targ" ? layer.in : layer.targ });
      return `2 (${bp.elementName(net, at)} \u2212 ${other}) / size`;
    }

    table(net, own, right, at, { row, column, shape }) {
      const index = shape.length === 2 ? `[${row},${column}]` : shape.length === 1 ? `[${column}]` : "";
      const heads = [
        `your formula adds for ${index || "its number"}`,
        `to be added for ${bp.elementName(net, at, ".g")}`,
      ];
      const known = this.app.view.reader.layer.op === "lin" ? this.rightNames(net, right) : new Set();
      const mine = own.map((term) => [
        term.factors.map(({ name, value }) => name ?? bp.factor(value)).join(" \u00b7 ") +
          (known.has(bp.namesOfTerm(term)) ? " \u2713" : ""),
        term.product,
      ]);
      const wanted = right.map((term) => [this.termText(net, term, at), term.product]);
      const cell = (term) =>
        term
          ? [bp.html("td", {}, bp.html("code", {}, term[0])), bp.html("td", {}, bp.long(term[1]))]
          : [bp.html("td"), bp.html("td")];
      const lines = Array.from({ length: Math.min(MOST, Math.max(mine.length, wanted.length)) }, (_, k) =>
        bp.html("tr", {}, ...cell(mine[k]), ...cell(wanted[k])),
      );
      const total = own.reduce((all, { product }) => all + product, 0);
      const foot = [
        [mine, total],
        [wanted, bp.total(right)],
      ].flatMap(([terms, sum]) => [
        bp.html("th", { scope: "row" }, terms.length > MOST ? `sum of all ${terms.length}` : "sum"),
        bp.html("td", {}, bp.html("b", {}, bp.long(sum))),
      ]);
      return [
        bp.html(
          "thead",
          {},
          bp.html("tr", {}, ...heads.map((head) => bp.html("th", { scope: "colgroup", colspan: 2 }, head))),
        ),
        bp.html("tbody", {}, ...lines),
        bp.html("tfoot", {}, bp.html("tr", {}, ...foot)),
      ];
    }
  }

  bp.OwnFormula = OwnFormula;
})((globalThis.pybackprop ??= {}));
