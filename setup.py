"""What pyproject.toml cannot say: the C extensions, and which Pythons a wheel serves."""

import runpy

from setuptools import setup

build = runpy.run_path("build.py")
setup(
    cffi_modules=["build.py:ffibuilder"],
    ext_modules=build["short_calls"](),
    cmdclass={"build_ext": build["BuildExt"]},
    options={"bdist_wheel": build["wheel_options"]()},
)
