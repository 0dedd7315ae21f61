"""Building: what a stranger's compiler and pip make of it."""

import importlib
import os
import shutil
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from helpers.compile_c import ROOT
from helpers.processes import ended
from pybackprop.core import short_calls

pytestmark = pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="not in a source tree")
SUFFIX = ".so" if os.name == "posix" else ".pyd"
SOURCES = ["csrc", "pybackprop", "build.py", "setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"]


@pytest.fixture
def tree(tmp_path):
    """A copy of the sources without anything built."""
    for name in SOURCES:
        source = ROOT / name
        ignore = shutil.ignore_patterns("*.so", "_core.c", "__pycache__")
        shutil.copytree(source, tmp_path / name, ignore=ignore) if source.is_dir() else shutil.copy(source, tmp_path)
    return tmp_path


def build_ext(tree, **environment):
    pytest.importorskip("setuptools", minversion="77")
    pytest.importorskip("cffi")
    command = [sys.executable, "setup.py", "build_ext", "--inplace"]
    return ended(command, cwd=tree, env={**os.environ, "CFLAGS": "-O0", **environment})


def said_in(tree, code, **environment):
    done = ended([sys.executable, "-c", code], cwd=tree, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.builds
def test_an_edited_header_or_template_rebuilds(tree):
    first = build_ext(tree)
    assert first.returncode == 0, first.stderr
    (extension,) = (tree / "pybackprop").glob("_core*.so")
    assert extension.name == "_core.abi3.so"
    stamp = extension.stat().st_mtime_ns
    build_ext(tree)
    assert extension.stat().st_mtime_ns == stamp
    for name in ("pybackprop.h", "template/for_each_kernel.h", "gemm/product.h"):
        header = tree / "csrc" / name
        header.write_text(header.read_text() + "\n/* edited */\n")
        os.utime(header, ns=(stamp + 10**9, stamp + 10**9))
        build_ext(tree)
        assert extension.stat().st_mtime_ns > stamp
        stamp = extension.stat().st_mtime_ns


@pytest.mark.builds
def test_a_serial_build_says_so_and_computes_the_same_bits(tree):
    done = build_ext(tree, PYBACKPROP_SERIAL="1")
    assert done.returncode == 0, done.stderr
    assert "no threads, a serial build" in done.stdout
    code = "import pybackprop as bp, numpy as np, hashlib; a = np.random.default_rng(0).standard_normal((700, 300)); " \
        "print(hashlib.sha256(bp.matmul(a, a.T).data).hexdigest())"  # fmt: skip
    where = "import pybackprop as bp; print(bp.__file__, bp.info()['pool'], bp.threads())"
    assert said_in(tree, where).split() == [str(tree / "pybackprop" / "__init__.py"), "None", "1"]
    assert said_in(tree, code) == said_in(ROOT, code, PYBACKPROP_THREADS="3")


def test_without_a_compiler_it_says_what_to_install(tree):
    done = build_ext(tree, CC="no-such-compiler")
    assert done.returncode != 0
    for words in ("no working C compiler", "no-such-compiler", "apt-get install build-essential", "xcode-select"):
        assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.builds
def test_threads_that_are_asked_for_and_missing_are_an_error(tree, tmp_path):
    fake = tmp_path / "cc-without-threads"
    fake.write_text('#!/bin/sh\ncase "$*" in *-pthread*) exit 1;; esac\nexec cc "$@"\n')
    fake.chmod(0o755)
    done = build_ext(tree, CC=str(fake), PYBACKPROP_SERIAL="0")
    assert done.returncode != 0
    assert "PYBACKPROP_SERIAL=0 asks for threads" in done.stderr
    done = build_ext(tree, CC=str(fake))
    assert done.returncode == 0, done.stderr
    assert "no threads, a serial build" in done.stdout


def test_the_extension_uses_the_limited_api_only():
    import pybackprop._core

    assert Path(pybackprop._core.__file__).name == f"_core.abi3{SUFFIX}"
    if short_calls.Prepared is not None:
        assert Path(sys.modules["pybackprop._call"].__file__).name == f"_call.abi3{SUFFIX}"


@pytest.mark.builds
def test_what_shortens_calls_may_fail_to_build(tree):
    (tree / "csrc" / "call.c").write_text("#error not here\n")
    done = build_ext(tree)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tree / "pybackprop").glob("*.abi3.*")] == [f"_core.abi3{SUFFIX}"]


@pytest.mark.parametrize(("name", "gil", "built"), [("cpython", 0, 1), ("cpython", 1, 0), ("pypy", 0, 0)])
def test_what_shortens_calls_is_built_where_python_has_what_it_needs(build, monkeypatch, name, gil, built):
    monkeypatch.setattr(sys.implementation, "name", name)
    monkeypatch.setattr(build.sysconfig, "get_config_var", {"Py_GIL_DISABLED": gil}.get)
    assert len(build.short_calls()) == built


@pytest.fixture
def build(monkeypatch):
    """build.py as a module."""
    pytest.importorskip("setuptools", minversion="77")
    pytest.importorskip("cffi")
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("build")


@pytest.mark.parametrize(
    ("variables", "wish"),
    [
        ({}, ("", False)),
        ({"PYBACKPROP_SERIAL": "1"}, ("PYBACKPROP_SERIAL=1", True)),
        ({"PYBACKPROP_SERIAL": "0"}, ("PYBACKPROP_SERIAL=0", False)),
        ({"PYBACKPROP_OPENMP": "0"}, ("PYBACKPROP_OPENMP=0", True)),
        ({"PYBACKPROP_OPENMP": "1"}, ("PYBACKPROP_OPENMP=1", False)),
        ({"PYBACKPROP_SERIAL": "0", "PYBACKPROP_OPENMP": "0"}, ("PYBACKPROP_SERIAL=0", False)),
    ],
    ids=str,
)
def test_a_serial_build_is_asked_for_by_either_name(build, monkeypatch, variables, wish):
    for name in ("PYBACKPROP_SERIAL", "PYBACKPROP_OPENMP"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert build.serial_wish() == wish


def test_flags_never_include_fast_math(build):
    assert '"-O3", "-ffp-contract=off"' in (ROOT / "build.py").read_text()
    ours = [*build.FLAGS, build.THREADS, build.SERIAL]
    assert build.unsafe(ours) is None
    for forbidden in ("fast-math", "-Ofast", "-march=native"):
        assert forbidden not in " ".join(ours)
    assert "fast-math" not in (sysconfig.get_config_var("CFLAGS") or "")


UNSAFE = ["-Ofast", "-ffast-math", "-funsafe-math-optimizations", "-fassociative-math", "-freciprocal-math",
          "-ffinite-math-only", "-fno-signed-zeros", "-mdaz-ftz", "-ffp-contract=fast", "-mrecip=all"]  # fmt: skip


@pytest.mark.parametrize("flag", UNSAFE)
@pytest.mark.parametrize("variable", ["PYBACKPROP_CFLAGS", "CFLAGS", "CPPFLAGS", "LDFLAGS", "CC"])
def test_flags_that_change_bits_are_refused_wherever_they_come_from(build, monkeypatch, variable, flag):
    monkeypatch.setenv(variable, f"cc -g {flag}" if variable == "CC" else f"-g {flag} -Wall")
    with pytest.raises(SystemExit) as refused:
        build.refuse_unsafe(build.given_flags(None))
    assert flag in str(refused.value)
    assert variable in str(refused.value)
    assert "\n" not in str(refused.value)


def test_flags_that_change_no_bits_are_taken(build, monkeypatch):
    usual = "-O2 -g -fno-fast-math -ffp-contract=off -march=x86-64-v3 -fno-math-errno -Wl,-O1 -fstack-protector-strong"
    for name in ("PYBACKPROP_CFLAGS", "CFLAGS", "CPPFLAGS", "LDFLAGS"):
        monkeypatch.setenv(name, usual)
    build.refuse_unsafe(build.given_flags(None))


@pytest.mark.builds
@pytest.mark.parametrize("variable", ["CFLAGS", "LDFLAGS", "PYBACKPROP_CFLAGS"])
def test_a_build_with_fast_math_ends_with_one_sentence(tree, variable):
    done = build_ext(tree, **{variable: "-O2 -ffast-math"})
    assert done.returncode != 0
    assert "-ffast-math" in done.stderr
    assert variable in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tree / "pybackprop").glob("_core*.so"))


@pytest.mark.skipif(not os.environ.get("PYBACKPROP_WHEEL"), reason="set PYBACKPROP_WHEEL to a wheel to look into it")
def test_the_wheel_holds_what_it_should():
    path = Path(os.environ["PYBACKPROP_WHEEL"])
    assert "-cp310-abi3-" in path.name
    names = zipfile.ZipFile(path).namelist()
    for name in ("pybackprop/py.typed", "pybackprop/_core.pyi", "pybackprop/data/digits.npz", "pybackprop/__main__.py",
                 "pybackprop/teach/page/template.html", "pybackprop/teach/page/app.js", "pybackprop/_call.pyi",
                 "pybackprop/_call.abi3.so", "pybackprop/_core.abi3.so"):  # fmt: skip
        assert name in names
    assert "pybackprop/lab/rungs/naive.c" in names  # which the laboratory compiles
    others = [name for name in names if not name.startswith("pybackprop/lab/")]
    assert not [name for name in others if name.endswith((".c", ".h")) or name.startswith(("tests", "tools", "build"))]
