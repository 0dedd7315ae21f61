"""The laboratory, `pybackprop lab` and `bp.lab`: kernels of one's own, checked and timed beside the library's.

operations.py   what a kernel may compute           operation.py    the record of one of them
cases.py        the inputs it is tried on           diagnosis.py    why last bits differ
compiler.py     the system's compiler               memory.py       arrays with guards around them
worker.py       the process in which kernels run    process.py      the same process from outside
checker.py      calls, and what they show           compare.py      results against the definition
timing.py       times in turns                      peers.py        what else is timed
trial.py        all of it, for one file             result.py       what a trial found
ladders.py      the rungs, climb.py runs them       show.py         reports for people, plot.py a figure

What measures the machine and settings:

clock.py        times in turns, with their spread   statistics.py   what a few noisy samples say
fitness.py      whether the machine is quiet        loops.py        the C core's measuring loops
pinned.py       threads on a processor each         measuring.py    the process that measures, from outside
machine/, roofline/, sweep/ and counters/ stand on these
"""

from pybackprop.lab.findings import Finding
from pybackprop.lab.result import Trial
from pybackprop.lab.trial import try_kernel

__all__ = ["Finding", "Trial", "try_kernel"]
