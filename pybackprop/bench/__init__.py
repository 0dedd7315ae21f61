"""The benchmark, `pybackprop bench`: the same workloads by us, numpy, PyTorch and JAX, checked and then timed.

workloads.py    what is computed: one line each     validate.py     the expected results, in float64
engines/        what computes it, one module each   worker.py       the process of an engine
processes.py    these processes, from outside       schedule.py     which engine runs when
report.py       the numbers as one object           table.py        the report as tables, plot.py as a picture
memory/         a step's peak memory, measured
"""
