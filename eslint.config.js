import globals from "globals";

const WIDGET = "pybackprop/teach/page/widget.js"; // a module, as anywidget loads it

const rules = {
  "array-callback-return": "error",
  "consistent-return": "error",
  "dot-notation": "error",
  eqeqeq: ["error", "always", { null: "ignore" }],
  "max-lines": ["error", { max: 300 }],
  "no-cond-assign": ["error", "except-parens"],
  "no-constant-condition": "error",
  "no-dupe-keys": "error",
  "no-eval": "error",
  "no-fallthrough": "error",
  "no-implicit-globals": "error",
  "no-redeclare": "error",
  "no-self-assign": "error",
  "no-shadow": "error",
  "no-undef": "error",
  "no-unreachable": "error",
  "no-unused-vars": "error",
  "no-useless-return": "error",
  "no-var": "error",
  "object-shorthand": "error",
  "prefer-const": "error",
  strict: ["error", "function"],
};

const common = { linterOptions: { reportUnusedDisableDirectives: "error" }, rules };

// The scripts of the page are classic scripts that share one name, pybackprop; html.py joins them in order.
export default [
  {
    ...common,
    files: ["pybackprop/teach/page/*.js"],
    ignores: [WIDGET],
    languageOptions: { ecmaVersion: 2024, sourceType: "script", globals: globals.browser },
  },
  {
    ...common,
    files: [WIDGET],
    languageOptions: { ecmaVersion: 2024, sourceType: "module", globals: globals.browser },
  },
];
