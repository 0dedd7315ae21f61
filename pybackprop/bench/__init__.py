"""The benchmark, `pybackprop bench`: the same workloads with this library, numpy, PyTorch and JAX, checked and timed.

workloads.py    what is computed: one line each     validate.py     the expected results, in float64
engines/        one module for each engine          worker.py       the process of an engine
processes.py    starts and asks these processes     requests.py     how they answer
schedule.py     which engine runs when              report.py       the numbers as one object
table.py        the report as tables                plot.py         and as a figure
memory/         a step's peak memory, measured
"""
