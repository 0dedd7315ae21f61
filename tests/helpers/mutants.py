"""The package with a core that was changed on purpose: shared objects but for the changed file, linked anew."""

import os
import runpy
import shutil
import sysconfig
from pathlib import Path

from helpers.compile_c import ROOT, SOURCES, compile_one, compilers, link, once
from pybackprop import _core

FLAGS = ["-O2", "-fPIC", "-pthread"]


def binding(builds):
    """The object of the extension's own C file, which cffi writes."""

    def make(path):
        source = path.with_suffix(".c")
        here = os.getcwd()
        os.chdir(ROOT)  # build.py looks for the sources
        try:
            runpy.run_path("build.py")["ffibuilder"].emit_c_code(str(source))
        finally:
            os.chdir(here)
        flags = [*FLAGS, "-w", "-DPy_LIMITED_API", f"-I{sysconfig.get_path('include')}"]
        compile_one(path, source, compilers()[0], flags)

    return once(builds.place("binding.o", compilers()[0], FLAGS), make)


def package(builds, folder, file="", old="", new="", behind=""):
    """A folder for PYTHONPATH: the package, with `old` in csrc/file replaced by `new`.

    behind  the C file that includes the changed one, if that is a header
    """
    compiler = compilers()[0]
    objects = builds.objects("race.c", compiler, FLAGS)
    del objects["race.c"]
    objects["binding.c"] = binding(builds)
    if file:
        sources = folder / "csrc"
        shutil.copytree(SOURCES, sources)
        text = (sources / file).read_text()
        assert old in text, f"{file} no longer holds {old!r}"
        (sources / file).write_text(text.replace(old, new))
        changed = behind or file
        objects[changed] = folder / "mutant.o"
        compile_one(objects[changed], sources / changed, compiler, [*FLAGS, "-Wno-error"], sources)
    shutil.copytree(ROOT / "pybackprop", folder / "pybackprop", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    link(folder / "pybackprop" / Path(_core.__file__).name, objects, compiler, [*FLAGS, "-shared"])
    return folder
