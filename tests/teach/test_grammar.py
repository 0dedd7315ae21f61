"""The grammar of formulas: it agrees with numpy, refuses everything else, and executes nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pybackprop as bp
from helpers.processes import python
from pybackprop.teach.formula import grammar
from pybackprop.teach.formula.canonical import canonical
from pybackprop.teach.formula.errors import FormulaError, MisfitError
from pybackprop.teach.formula.evaluate import LARGEST, evaluate
from pybackprop.teach.formula.grammar import DEEPEST, LONGEST, parse

RNG = np.random.default_rng(5)
ARRAYS = {
    "x": RNG.standard_normal((4, 3)),
    "w": RNG.standard_normal((3, 2)),
    "b": RNG.standard_normal(2),
    "z": RNG.standard_normal((4, 2)),
    "z.g": RNG.standard_normal((4, 2)),
    "n": np.asarray(4.0),
}
ARRAYS["dz"] = ARRAYS["z.g"]
LETTERS = {"x": "ik", "w": "kj", "b": "j", "z": "ij", "z.g": "ij", "dz": "ij"}


def value(text, arrays=ARRAYS):
    return evaluate(parse(text), arrays, LETTERS).array


# ---- what may be written ----

RIGHT = {
    "x.T @ dz": lambda x, w, b, z, dz: x.T @ dz,
    "x.t() @ z.g": lambda x, w, b, z, dz: x.T @ dz,
    "x.T\n  @ dz": lambda x, w, b, z, dz: x.T @ dz,
    "x.T.dot(dz)": lambda x, w, b, z, dz: x.T @ dz,
    "(x.T).matmul(dz)": lambda x, w, b, z, dz: x.T @ dz,
    "dz.sum(0)": lambda x, w, b, z, dz: dz.sum(0),
    "dz.sum(axis=0)": lambda x, w, b, z, dz: dz.sum(0),
    "dz.sum(dim=-1)": lambda x, w, b, z, dz: dz.sum(-1),
    "dz.sum()": lambda x, w, b, z, dz: dz.sum(),
    "dz.sum(0, keepdims=True)": lambda x, w, b, z, dz: dz.sum(0, keepdims=True),
    "dz.sum(1, True)": lambda x, w, b, z, dz: dz.sum(1, keepdims=True),
    "dz.mean(0)": lambda x, w, b, z, dz: dz.mean(0),
    "(z > 0) * dz": lambda x, w, b, z, dz: (z > 0) * dz,
    "(z > 0).float() * dz": lambda x, w, b, z, dz: (z > 0) * dz,
    "dz * (0 < z)": lambda x, w, b, z, dz: (z > 0) * dz,
    "(z >= 0) - (z <= 0)": lambda x, w, b, z, dz: (z >= 0) * 1.0 - (z <= 0),
    "(z == z) + (z != z)": lambda x, w, b, z, dz: np.ones_like(z),
    "-2 * (z - dz) / n": lambda x, w, b, z, dz: -2 * (z - dz) / 4,
    "+x - -x": lambda x, w, b, z, dz: 2 * x,
    "x ** 2 + x.pow(2)": lambda x, w, b, z, dz: 2 * x**2,
    "x ** -1.0": lambda x, w, b, z, dz: 1 / x,
    "(x[:,:,None] * dz[:,None,:]).sum(0)": lambda x, w, b, z, dz: x.T @ dz,
    "(x.unsqueeze(-1) * dz.unsqueeze(1)).sum(0)": lambda x, w, b, z, dz: x.T @ dz,
    "b.unsqueeze(0).squeeze(0)": lambda x, w, b, z, dz: b,
    "b[None].squeeze()": lambda x, w, b, z, dz: b,
    "x[1,0]": lambda x, w, b, z, dz: x[1, 0],
    "x[-1]": lambda x, w, b, z, dz: x[-1],
    "x[0:2, ::2]": lambda x, w, b, z, dz: x[0:2, ::2],
    "x[:,0] @ dz[:,0]": lambda x, w, b, z, dz: x[:, 0] @ dz[:, 0],
    "x.shape[0] + len(x) + x.size + x.numel()": lambda x, w, b, z, dz: 4 + 4 + 12 + 12,
    "relu(z) + z.clamp_min(0.) + z.clamp(min=0)": lambda x, w, b, z, dz: 3 * np.maximum(z, 0),
    "abs(z) + z.abs()": lambda x, w, b, z, dz: 2 * abs(z),
    "(x @ w + b).clone().double()": lambda x, w, b, z, dz: x @ w + b,
    "3": lambda x, w, b, z, dz: 3,
    "  x.T \n": lambda x, w, b, z, dz: x.T,
}


@pytest.mark.parametrize("text", RIGHT)
def test_a_formula_is_what_numpy_computes(text):
    expected = RIGHT[text](*(ARRAYS[name] for name in ("x", "w", "b", "z", "dz")))
    found = value(text)
    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    assert found.dtype == np.float64


def test_numbers_do_not_change_the_dtype():
    single = {name: array.astype(np.float32) for name, array in ARRAYS.items()}
    for text in ("2 * x", "x / n", "(z > 0) * dz", "x ** 2", "x.mean(0)", "relu(x) * 1e-3", "len(x) * x", "z > 0"):
        assert value(text, single).dtype == np.float32, text


def test_division_by_zero_and_overflow_follow_ieee():
    assert np.isinf(value("x / 0")).all()
    assert np.isinf(value("1e999"))
    assert np.isnan(value("1e999 - 1e999"))


# ---- what is refused, and that the message points at the place ----

REFUSED = [
    ("", "found an empty text", None),
    ("   ", "found an empty text", None),
    ("x.T @ dq", r"'dq' is not a name you can use here; available are x \(4,3\), w \(3,2\), b \(2\)", "dq"),
    ("x.g", r"the gradient 'x\.g' is not available", "x.g"),
    ("x.T.g", "only a name has a .g", "x.T.g"),
    ("x.__class__", r"'\.__class__' is not known here", "x.__class__"),
    ("().__class__.__bases__[0].__subclasses__()", "is not known here", None),
    ("x.T.__reduce__()", r"'\.__reduce__\(\)' is not known", "x.T.__reduce__()"),
    ("__import__('os').system('true')", r"not known here", None),
    ("__builtins__", "is not a name you can use here", "__builtins__"),
    ("_", "is not a name you can use here", "_"),
    ("eval('x')", r"'eval\(\.\.\.\)' cannot be called here", "eval('x')"),
    ("open('f')", "cannot be called here", "open('f')"),
    ("x.tofile('f')", r"'\.tofile\(\)' is not known", None),
    ("x.data", r"'\.data' is not known here", "x.data"),
    ("np", "'np' is a library", "np"),
    ("np.pi * x", r"'np\.pi' is not known here", "np.pi"),
    ("np.linalg.inv(x)", r"'\.inv\(\)' is not known here|cannot be called|not known", None),
    ("np.max(z, 0)", r"write np\.maximum\(a, b\)", "np.max(z, 0)"),
    ("np.save('f', x)", "not known here|cannot be called", None),
    ("np.sum(x, out=z)", "no argument 'out'", None),
    ("x.astype('S1')", r"'\.astype\(\)' takes other arguments", None),
    ("np.einsum(x, 'ij')", "a text here", None),
    ("np.einsum('ij->ji', *x)", "a starred is not allowed", None),
    ("[]", "this list is empty", "[]"),
    ("[x, z] * 2", r"write np\.array\(\[\.\.\.\]\)", "[x, z]"),
    ("[x for x in z for w in x]", "over one index and without 'if'", None),
    ("[i for i in range(n) if i]", "over one index and without 'if'", None),
    ("[i for i.real in range(n)]", "expected a name", "i.real"),
    ("[__import__ for __import__ in x]", "expected a name", None),
    ("{i for i in x}", "a setcomp is not allowed", None),
    ("range(3)", "cannot be called here", None),
    ("sum(i for i in range(999999999))", "more than 50,000 steps", None),
    ("sum(sum(sum(1.0 for k in range(999)) for j in range(999)) for i in range(999))", "more than 50,000 steps", None),
    ("x.sum", "needs brackets", "x.sum"),
    ("x.shape", r"write \.shape\[0\]", "x.shape"),
    ("(lambda: x)()", "only functions", None),
    ("lambda: x", "a lambda is not allowed", "lambda: x"),
    ("x if z else w", "a condition is not allowed", None),
    ("x and z", "is not allowed", None),
    ("(y := x)", "is not allowed", None),
    ("*x", "starred|cannot be read", None),
    ("x, z", "a tuple is not allowed", "x, z"),
    ("{x}", "a set is not allowed", "{x}"),
    ("f'{x}'", "is not allowed", None),
    ("'text'", "found str, expected a number", "'text'"),
    ("b'x'", "found bytes", None),
    ("True * x", "found bool", "True"),
    ("None", "found NoneType", "None"),
    ("1j * x", "found complex", "1j"),
    ("...", "found ellipsis", "..."),
    ("await x", "is not allowed|cannot be read", None),
    ("x // 2", "this operator is not known", "x // 2"),
    ("x % 2", "this operator is not known", "x % 2"),
    ("x << 2", "this operator is not known", None),
    ("not z", r"only - \+ and ~", None),
    ("0 < z < 1", "expected one comparison", "0 < z < 1"),
    ("z is x", "expected one comparison", None),
    ("z in x", "expected one comparison", None),
    ("x^2", r"a power is \*\*", "^"),
    ("x × w", r"\* multiplies element by element", "×"),  # noqa: RUF001
    ("xᵀ @ dz", r"a transpose is \.T", "ᵀ"),
    ("w = x", "only what is to the right of '='", "="),
    ("w += x", "cannot be read|right of '='", None),
    ("x @", "cannot be read", None),
    ("x.T @@ dz", "cannot be read", None),
    ("(x", "cannot be read", None),
    ("x)", "cannot be read", None),
    ("x; z", "cannot be read", None),
    ("x\nz", "cannot be read", None),
    ("import os", "cannot be read", None),
    ("x # comment\n@ dz", "cannot be read", None),
    ("x\x00", "cannot be read", None),
    ("\ud800", "cannot be read", None),
    ("x ** n", "an exponent must be a number", "n"),
    ("x ** 9", "from -8 to 8", "9"),
    ("9 ** 9 ** 9", "an exponent must be a number", None),
    ("x.pow(1000)", "from -8 to 8", "1000"),
    ("x.pow('a')", "an exponent must be a number", "'a'"),
    ("9" * 400, "too large", None),
    ("x[dz]", "an index is made of whole numbers", None),
    ("x[0.5]", "an index is made of whole numbers", None),
    ("x[99999999999]", "an index is made of whole numbers", None),
    ("x.sum('a')", r"\.sum\(\) takes a number here", "'a'"),
    ("x.sum(1e5)", r"\.sum\(\) takes a number here", "1e5"),
    ("x.sum(n)", r"\.sum\(\) takes a number here", "n"),
    ("x.sum(0, 1, 2)", "takes 0 to 2 arguments", None),
    ("x.sum(out=z)", "no argument 'out'", None),
    ("x.sum(**z)", "has no argument", None),
    ("x.unsqueeze()", "takes 1 arguments", None),
    ("relu(x, z)", "takes one operand", None),
    ("(" * 1000, "brackets are open|cannot be read", None),
    ("(" * 490 + "x" + ")" * 490, f"more than {DEEPEST} brackets are open here", "("),
    ("[" * 999, f"more than {DEEPEST} brackets", "["),
    ("-" * 900 + "x", f"more than {DEEPEST} operations|nested too deep", None),
    ("x" + ".T" * 400, f"more than {DEEPEST} operations", None),
    ("+".join("x" * 400), f"more than {DEEPEST} operations", None),
    ("x" * (LONGEST + 1), f"found {LONGEST + 1} characters, expected at most {LONGEST}", None),
]


@pytest.mark.parametrize(("text", "words", "marked"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_formula_is_refused(text, words, marked):
    with pytest.raises(FormulaError, match=words) as caught:
        value(text)
    lines = str(caught.value).splitlines()
    assert all(len(line) < 400 for line in lines)
    if marked is not None:
        start = lines[-1].index("^")
        assert lines[-2][start : start + lines[-1].count("^")] == marked


def test_the_error_is_a_value_error():
    assert issubclass(FormulaError, ValueError)
    assert issubclass(MisfitError, bp.ShapeError)
    with pytest.raises(FormulaError, match="found int, expected text"):
        parse(3)


def test_an_unknown_name_is_said_before_a_shape_that_does_not_fit():
    with pytest.raises(FormulaError, match="'dq'"):
        value("x @ x + dq")


# ---- shapes that do not fit: the operands, the letters ----

MISFITS = [
    ("x @ dz", r"x \(4,3\) \[i,k\] @ dz \(4,2\) \[i,j\].*inner dimensions, 3 and 4.*counts k, the other i", "x @ dz"),
    ("x.T @ w", r"x\.T \(3,4\) \[k,i\] @ w \(3,2\) \[k,j\].*counts i, the other k", "x.T @ w"),
    ("(x * 2) @ z.T.T", r"counts k, the other i", None),
    ("n @ x", "write \\*", "n @ x"),
    ("x * dz", r"\* works element by element, and x \(4,3\) \[i,k\] does not fit dz \(4,2\) \[i,j\]", "x * dz"),
    ("x + b", r"\+ works element by element", "x + b"),
    ("x > z", "a comparison works element by element", "x > z"),
    ("x.sum(5)", "out of bounds", "x.sum(5)"),
    ("b.sum(1)", "out of bounds", None),
    ("x[9,0]", "no such element", "x[9,0]"),
    ("x[0,0,0]", "no such element", None),
    ("x.shape[7]", "has no axis 7", None),
    ("n.shape[0]", "has no axis 0", None),
    ("x.squeeze(0)", "squeeze", None),
    ("~z", r"~ works on masks such as \(z > 0\), and z is none", "~z"),
    ("~(z > 0).float()", r"~ works on masks", None),
    ("(z > 0) & dz", r"& works on masks such as \(z > 0\), and dz is none", None),
    ("np.where(z > 0, x, 0)", "where", None),
    ("np.einsum('ik,kj', x, dz)", "'k' counts 3 and 4", None),
    ("np.einsum('ik,ij', x)", "for 2 operands, found 1", None),
    ("np.einsum('i,ij->j', x, dz)", "for 1 axes, the operand has shape", None),
    ("x.reshape(5, -1)", "cannot reshape", "x.reshape(5, -1)"),
    ("x.permute(0, 0)", "repeated axis", None),
    ("x.permute(0, 5)", "out of bounds", None),
    ("np.dot(x.T, dz[:,:,None])", "dot is not the matrix product", None),
    ("b.mT", "fewer than two axes", "b.mT"),
    ("[x[i] for i in range(9)]", "no such element", None),
    ("[dz[:i,0] for i in range(1, 3)]", "different shapes", None),
    ("sum(r for r in n)", "is a single number", "n"),
]


@pytest.mark.parametrize(("text", "words", "marked"), MISFITS, ids=range(len(MISFITS)))
def test_operands_that_do_not_fit(text, words, marked):
    with pytest.raises(MisfitError, match=words) as caught:
        value(text)
    if marked is not None:
        first, second = str(caught.value).splitlines()[-2:]
        assert first[second.index("^") :][: second.count("^")] == marked


def test_letters_follow_the_axes():
    letters = {
        "x.T": "ki",
        "x.T @ dz": "kj",
        "dz @ w.T": "ik",
        "dz.sum(0)": "j",
        "dz.sum(1, keepdims=True)": "i1",
        "x[:,:,None] * dz[:,None,:]": "ikj",
        "(x[:,:,None] * dz[:,None,:]).sum(0)": "kj",
        "x.unsqueeze(0)": "1ik",
        "x[0]": "k",
        "x * x": "ik",
        "x.T[:,0]": "k",
        "x[:2] * 3": "ik",
        "x @ w + b": "ij",
        "w[:,0] @ w": "j",
        "dz.sum()": "",
    }
    for text, expected in letters.items():
        found = evaluate(parse(text), ARRAYS, LETTERS)
        assert found.letters == expected, text
        assert len(found.letters) == found.array.ndim


# ---- sizes ----


def test_large_results_are_refused_before_they_are_made():
    arrays = {"x": np.ones((4000, 1)), "y": np.ones((1, 4000))}
    for text in ("x * y", "x @ y", "x[:,:,None] * y[None]", "x > y"):
        with pytest.raises(FormulaError, match=rf"4000 x .*4000.* numbers; at most {LARGEST:,}"):
            evaluate(parse(text), arrays)


def test_long_products_are_refused():
    arrays = {"x": np.ones((2000, 2000), np.float32)}
    with pytest.raises(FormulaError, match="multiplications"):
        evaluate(parse("x @ x @ (x+1) @ (x+2) @ (x+3)"), arrays)


# ---- hypothesis ----

NAMES = ["x", "w", "b", "z", "dz", "z.g", "n", "q", "__class__", "os", "print"]
PIECES = [
    *NAMES,
    *"()[]{}+-*/@.,:='\"^~<>!0129 ",
    ".T",
    ".sum(0)",
    "**",
    "==",
    ":=",
    "lambda",
    "if",
    "for",
    "None",
    "é",
]


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=14).map("".join)))
def test_any_text_is_a_formula_or_a_formula_error(text):
    try:
        found = value(text)
    except FormulaError:
        return
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.float64


def test_no_evaluation_by_python():
    """Neither eval nor compile runs: an audit hook sees every code object that would be executed."""
    code = (
        "import sys\n"
        "from pybackprop.teach.formula.evaluate import evaluate\n"
        "from pybackprop.teach.formula.grammar import parse\n"
        "import numpy as np\n"
        "formula = '(x > 0) * x.T.T + x.sum(0) @ x.T[:,:1] / 2'\n"
        "refused = ('__import__(\"os\").system(\"true\")', 'x.__class__', 'open(1)')\n"
        "def run():\n"
        "    evaluate(parse(formula), {'x': np.ones((2, 2))})\n"
        "    for text in refused:\n"
        "        try: parse(text)\n"
        "        except ValueError: pass\n"
        "run()  # imports what is imported on first use, and may write it to __pycache__\n"
        "seen = []\n"
        "sys.addaudithook(lambda event, args: seen.append(event) if event in ('exec', 'os.system', 'open') else None)\n"
        "run()\n"
        "sys.exit(f'{seen}' if seen else 0)\n"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr


def _binary(pair):
    (left, f), sign, (right, g) = pair
    signs = {"+": np.add, "-": np.subtract, "*": np.multiply, "@": lambda a, b: a @ b}
    return f"({left} {sign} {right})", lambda: signs[sign](f(), g())


SQUARE = {name: RNG.standard_normal((3, 3)) for name in ("x", "w", "z")}
LEAVES = st.sampled_from([(name, lambda name=name: SQUARE[name]) for name in SQUARE])
UNARY = {
    "{}.T": lambda a: a.T,
    "-{}": lambda a: -a,
    "({} > 0)": lambda a: (a > 0) * 1.0,
    "relu({})": lambda a: np.maximum(a, 0),
    "({}.sum(0) + {}.sum(1, keepdims=True))": lambda a: a.sum(0) + a.sum(1, keepdims=True),
    "({}[:,None,:] * {}[:,:,None]).mean(1)": lambda a: (a[:, None, :] * a[:, :, None]).mean(1),
    "({} ** 2)": lambda a: a**2,
    "(0.5 * {} + 3)": lambda a: 0.5 * a + 3,
}


def _unary(pair):
    (text, f), pattern = pair
    return pattern.format(f"({text})", f"({text})"), lambda: UNARY[pattern](f())


TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*@"), inner).map(_binary),
        st.tuples(inner, st.sampled_from(list(UNARY))).map(_unary),
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(TREES)
def test_random_formulas_agree_with_numpy(tree):
    text, compute = tree
    if len(text) > LONGEST:
        return
    with np.errstate(all="ignore"):
        expected = compute()
    found = evaluate(parse(text), SQUARE).array
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * max(1, np.abs(expected).max()))


# ---- the canonical spelling ----


def test_spellings_of_the_same_formula():
    meaning = {"dz": "G", "z.g": "G", "x": "X", "inp": "X"}.get
    same = [
        ("x.T @ dz", "inp.t() @ z.g"),
        ("x * dz", "dz * x"),
        ("(x > 0).float() * dz", "dz * (0 < inp)"),
        ("x.t().dot(dz)", "x.T @ dz"),
        ("relu(dz)", "dz.clamp_min(0.)"),
        ("dz.sum(axis=0)", "dz.sum(0)"),
        ("2 * x + dz", "dz + x * 2.0"),
    ]
    for one, other in same:
        assert canonical(parse(one), meaning) == canonical(parse(other), meaning)
    different = [("x @ dz", "dz @ x"), ("x - dz", "dz - x"), ("x.T @ dz", "x @ dz.T"), ("x > 0", "x >= 0"), ("-x", "x")]
    for one, other in different:
        assert canonical(parse(one), meaning) != canonical(parse(other), meaning)


def test_the_formula_lists_its_names():
    assert parse("(z > 0) * z.g @ w.T + relu(z) * len(x) * x.shape[0]").names == ["z", "z.g", "w", "x"]
    assert grammar.parse("relu(z)").names == ["z"]
