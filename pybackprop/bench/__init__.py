"""The benchmark, `pybackprop bench`: the same works by us, numpy, PyTorch and JAX, checked and then timed.

works.py    what is computed: one line each         check.py    what must come out, in float64
engine.py   who computes it; with_*.py one each     worker.py   an engine's process
crew.py     the processes, from outside             run.py      whose turn it is
report.py   numbers for machines, tables for people (screen.py) and a picture (picture.py)
"""
