"""Wheels: how they are built on each system, what is in one, and that it works where there is no compiler."""

import importlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import pybackprop as bp
from helpers.compile_c import PROGRAMS, ROOT, SOURCES, compile_one, compilers, link
from helpers.digests import TWO_EPOCHS
from helpers.processes import ended

pytestmark = pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="not in a source tree")
WHEEL = os.environ.get("PYBACKPROP_WHEEL", "")
with_wheel = pytest.mark.skipif(not WHEEL, reason="set PYBACKPROP_WHEEL to a wheel to try it")
SYSTEM = {"libc.so.6", "libpthread.so.0", "libm.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
OLDEST_GLIBC = (2, 17)  # for which the core can be built: clock_gettime and aligned_alloc are there
POSIX_THREADS = {"pthread_create", "pthread_detach", "pthread_sigmask", "pthread_attr_setstacksize"}


@pytest.fixture
def build(monkeypatch):
    """build.py as a module."""
    pytest.importorskip("setuptools", minversion="77")
    pytest.importorskip("cffi")
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("build")


# ---- how they are built ----


@pytest.mark.parametrize(
    ("gil_disabled", "options"), [(0, {"py_limited_api": "cp310"}), (None, {"py_limited_api": "cp310"}), (1, {})]
)
def test_only_pythons_with_a_gil_share_a_wheel(build, monkeypatch, gil_disabled, options):
    monkeypatch.setattr(build.sysconfig, "get_config_var", {"Py_GIL_DISABLED": gil_disabled}.get)
    assert build.wheel_options() == options


class Compiler:
    """What setuptools' compiler for Visual Studio has, as far as it is used."""

    compiler_type = "msvc"
    initialized = False

    def __init__(self, reason=None):
        self.reason = reason

    def initialize(self):
        if self.reason:
            raise self.reason
        self.cc, self.compile_options, self.initialized = (
            "cl.exe",
            ["/nologo", "/O2", "/W3", "/GL", "/DNDEBUG", "/MD"],
            True,
        )

    def compile(self, sources, output_dir, extra_postargs):
        self.compiled = [self.cc, *self.compile_options, *extra_postargs]
        return ["probe.obj"]

    def link_executable(self, *_, **__):
        pass


def built_on_windows(build, monkeypatch, compiler):
    """The flags of an extension that is built with this compiler."""
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    command = build.BuildExt(Distribution())
    command.compiler, command.inplace = compiler, False
    monkeypatch.setattr(build, "ON_WINDOWS", True)
    monkeypatch.setattr(build_ext, "build_extension", lambda self, extension: None)
    extension = Extension("pybackprop._core", [])
    command.build_extension(extension)
    return extension


@pytest.fixture
def clang_cl(tmp_path, monkeypatch):
    """A program of this name on PATH."""
    program = tmp_path / "clang-cl"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    return str(program)


@pytest.mark.skipif(os.name == "nt", reason="tells how it goes on Windows")
def test_on_windows_clang_cl_compiles_with_the_flags_of_gnu_c(build, monkeypatch, capsys, clang_cl):
    monkeypatch.setenv("PYBACKPROP_CFLAGS", "-DSOME")
    compiler = Compiler()
    extension = built_on_windows(build, monkeypatch, compiler)
    assert compiler.cc == clang_cl
    assert "/GL" not in compiler.compile_options
    assert extension.extra_compile_args == [
        *(f"/clang:{flag}" for flag in build.FLAGS),
        "/clang:-fno-math-errno",
        "-DSOME",
    ]
    assert extension.extra_link_args == []
    assert "Windows threads" in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="tells how it goes on Windows")
def test_on_windows_a_serial_build_is_asked_for_as_elsewhere(build, monkeypatch, capsys, clang_cl):
    monkeypatch.setenv("PYBACKPROP_SERIAL", "1")
    assert build.SERIAL in built_on_windows(build, monkeypatch, Compiler()).extra_compile_args
    assert "a serial build" in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="tells how it goes on Windows")
def test_without_clang_cl_it_says_what_to_install(build, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(SystemExit, match=r"clang-cl.*install LLVM.*C\+\+ Clang tools"):
        built_on_windows(build, monkeypatch, Compiler())


@pytest.mark.skipif(os.name == "nt", reason="tells how it goes on Windows")
def test_without_visual_studio_it_says_what_to_install(build, monkeypatch, clang_cl):
    with pytest.raises(SystemExit, match=r"(?s)Unable to find.*Windows +LLVM \(clang-cl\), and Visual Studio"):
        built_on_windows(build, monkeypatch, Compiler(build.PlatformError("Unable to find a Visual Studio")))


@pytest.mark.parametrize(("flag", "named"), [("/fp:fast", "/fp:fast"), ("/clang:-Ofast", "-Ofast")])
@pytest.mark.parametrize("variable", ["CL", "_CL_", "PYBACKPROP_CFLAGS"])
def test_flags_of_clang_cl_that_change_bits_are_refused(build, monkeypatch, variable, flag, named):
    monkeypatch.setenv(variable, f"/W3 {flag}")
    with pytest.raises(SystemExit, match=f"flag {named} "):
        build.refuse_unsafe(build.given_flags(None))


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_a_compiler_without_vector_types_is_told_which_one_has_them():
    """As Microsoft's, which says so by this macro."""
    program = '#include "internal.h"\n'
    done = ended(["gcc", "-D_MSC_VER=1940", "-Icsrc", "-fsyntax-only", "-x", "c", "-"], input=program, cwd=ROOT)
    assert done.returncode != 0
    assert "On Windows please use clang-cl." in done.stderr


@pytest.mark.parametrize("inplace", [True, False])
def test_only_a_build_in_place_keeps_debugging_information_and_folders(build, inplace):
    from setuptools import Distribution

    command = build.BuildExt(Distribution())
    folders = {"linker_so": ["cc", "-shared", "-Wl,-rpath,/here", "-Wl,-O1"]}
    command.inplace, command.compiler = inplace, type("Unix", (), {"compiler_type": "unix", **folders})
    command._forget_folders()
    assert (build.NO_DEBUGGING in command._flags()) == (not inplace)
    assert ("-Wl,-rpath,/here" in command.compiler.linker_so) == inplace
    assert "-Wl,-O1" in command.compiler.linker_so


# ---- the core on other systems ----


def built(folder, *sources):
    """A program of these files alone."""
    for source in sources:
        compile_one(folder / f"{source.stem}.o", source, compilers()[0], ["-O2"])
    objects = {source.name: folder / f"{source.stem}.o" for source in sources}
    link(folder / "program", objects, compilers()[0], [])
    return folder / "program"


@pytest.mark.skipif(not compilers() or platform.libc_ver()[0] != "glibc", reason="needs glibc, which is right")
def test_the_cores_own_fma_rounds_once(tmp_path):
    done = ended([built(tmp_path, PROGRAMS / "test_fma.c")])
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(not compilers(), reason="no C compiler here")
def test_both_ways_to_ask_an_x86_processor_agree(tmp_path):
    program = tmp_path / "cpu.c"
    program.write_text(
        '#include "internal.h"\n#include "isa/cpuid.h"\n'
        "int main(void) {\n"
        "#ifdef BP_X86\n"
        "    if (bp_has_avx2() != bp_kernel_available(BP_KERNEL_SIMD)) return 1;\n"
        "    if (bp_has_avx512() != bp_kernel_available(BP_KERNEL_SIMD_WIDE)) return 2;\n"
        "#endif\n"
        "    return 0;\n}\n"
    )
    assert ended([built(tmp_path, program, SOURCES / "runtime" / "dispatch.c")]).returncode == 0


@pytest.mark.skipif(shutil.which("cc") is None or sys.platform != "linux", reason="needs a C compiler for Linux")
def test_no_header_beyond_the_c_librarys_is_needed():
    """Alpine's compiler comes without those of the kernel."""
    sources = [*ROOT.glob("csrc/*/*.c"), *ROOT.glob("csrc/*/*.h")]
    assert not [source.name for source in sources if "<linux/" in source.read_text().replace("of <linux/", "")]


# ---- a wheel ----


@pytest.fixture(scope="module")
def libraries():
    """The wheel's extension modules, as pyelftools reads them."""
    elftools = pytest.importorskip("elftools.elf.elffile")
    with zipfile.ZipFile(WHEEL) as wheel:
        names = [name for name in wheel.namelist() if name.endswith(".so")]
        return {name: elftools.ELFFile(io.BytesIO(wheel.read(name))) for name in names}


def tags(found, name):
    """The values of this kind in an ELF file's dynamic section."""
    return {getattr(tag, name) for tag in found.get_section_by_name(".dynamic").iter_tags() if hasattr(tag, name)}


def newest_glibc(library):
    """(the newest version of glibc that a library asks for, the names it asks it for)."""
    section, symbols = library.get_section_by_name(".gnu.version_r"), library.get_section_by_name(".dynsym")
    places = library.get_section_by_name(".gnu.version")
    wanted = {}
    for k, symbol in enumerate(symbols.iter_symbols()):
        index = places.get_symbol(k)["ndx"]
        if isinstance(index, int) and symbol["st_shndx"] == "SHN_UNDEF":
            version = section.get_version(index)[1].name
            wanted[symbol.name] = tuple(map(int, version.removeprefix("GLIBC_").split(".")))
    return wanted


@with_wheel
def test_the_wheel_needs_the_c_library_and_nothing_else(libraries):
    assert sorted(Path(name).name for name in libraries) == ["_call.abi3.so", "_core.abi3.so"]
    for name, library in libraries.items():
        assert tags(library, "needed") <= SYSTEM, name
        assert not tags(library, "rpath") | tags(library, "runpath"), name


@with_wheel
def test_the_wheel_holds_no_debugging_information(libraries):
    for name, library in libraries.items():
        assert not [s.name for s in library.iter_sections() if s.name.startswith((".debug", ".zdebug"))], name
    assert Path(WHEEL).stat().st_size < 2_500_000


@with_wheel
def test_threads_alone_decide_which_linux_is_too_old(libraries):
    """Since glibc 2.34 they are in libc itself, under new versions; everything else is older."""
    for name, library in libraries.items():
        newer = {symbol for symbol, version in newest_glibc(library).items() if version > OLDEST_GLIBC}
        assert newer <= POSIX_THREADS, name


@pytest.fixture(scope="module")
def without_compiler(tmp_path_factory):
    """An environment that has the wheel and what it depends on, and programs of its own alone: no compiler."""
    folder = tmp_path_factory.mktemp("without compiler")
    subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True)
    programs = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYBACKPROP", "CC"))}
    environment = {**kept, "PATH": str(programs)}
    assert not [name for name in ("cc", "gcc", "clang", "ld") if shutil.which(name, path=str(programs))]

    def run(*command):
        done = ended([programs / command[0], *command[1:]], cwd=folder, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("pip", "install", "-q", "--only-binary", ":all:", WHEEL)
    return run


@with_wheel
def test_the_wheel_trains_where_there_is_no_compiler(without_compiler):
    assert "/env/" in without_compiler("python", "-c", "import pybackprop; print(pybackprop.__file__)").replace(
        "\\", "/"
    )
    trained = [
        json.loads(line) for line in without_compiler("pybackprop", "train", "--epochs", "2", "--json").splitlines()
    ]
    assert trained[-1]["digest"] == TWO_EPOCHS
    assert "97" in without_compiler("pybackprop", "train")


@with_wheel
def test_the_wheels_own_check_passes(without_compiler):
    assert json.loads(without_compiler("pybackprop", "info", "--json"))["pool"]
    without_compiler("pybackprop", "selftest", "--only", "bits", "--cases", "200")


# ---- the configuration ----


@pytest.mark.parametrize(
    ("system", "identifier"),
    [
        ("linux", "cp310-manylinux_x86_64"),
        ("linux", "cp310-musllinux_aarch64"),
        ("macos", "cp310-macosx_arm64"),
        ("windows", "cp310-win_amd64"),
    ],
)
def test_cibuildwheel_takes_the_configuration(monkeypatch, system, identifier):
    options = pytest.importorskip("cibuildwheel.options")
    monkeypatch.chdir(ROOT)
    found = options.compute_options(system, options.CommandLineArguments.defaults(), {})
    assert found.globals.build_selector(identifier)
    assert not found.globals.build_selector(identifier.replace("cp310", "cp314t"))
    command = found.build_options(identifier).test_command
    named = [word for word in command.split() if word.startswith("tests/")]
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_conda_recipe_has_the_packages_version_and_requirements():
    recipe = (ROOT / "conda-recipe" / "recipe.yaml").read_text("utf-8")
    pyproject = (ROOT / "pyproject.toml").read_text("utf-8")
    assert f'version: "{bp.__version__}"' in recipe
    wanted = re.findall(r'"([\w.>=-]+)"', re.search(r"^dependencies = (.*)$", pyproject, re.MULTILINE)[1])
    wanted += re.findall(r'"([\w.>=-]+)"', re.search(r"^requires = (.*)$", pyproject, re.MULTILINE)[1])
    assert len(wanted) >= 5
    assert [name for name in wanted if f"- {name.replace('>=', ' >=')}\n" not in recipe] == []
