"""Random cases with a known answer: `pybackprop selftest`, and the engine of the project's own long runs.

A *case* is one number. It determines everything that happens in it: the kind, the shapes, values and memory layouts,
the kernel, the threads and the blocks. A kind of the family `bits` compares with the definition bit for bit; one of
the family `inputs` gives damaged files, formulas or arguments to what reads them, and expects success or the error
that the documentation promises.
"""

FAILURES = 20  # after which a campaign stops
