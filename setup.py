"""What pyproject.toml cannot say: the C extension, and that one wheel serves CPython 3.10 and later."""

import runpy

from setuptools import setup

setup(
    cffi_modules=["build.py:ffibuilder"],
    cmdclass={"build_ext": runpy.run_path("build.py")["BuildExt"]},
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
