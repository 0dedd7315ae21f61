"""What pyproject.toml cannot say: the C extensions, and that one wheel serves CPython 3.10 and later."""

import runpy

from setuptools import setup

build = runpy.run_path("build.py")
setup(
    cffi_modules=["build.py:ffibuilder"],
    ext_modules=build["short_calls"](),
    cmdclass={"build_ext": build["BuildExt"]},
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
