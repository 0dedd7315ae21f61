"""What the tests of checkpoints save, and whether a file holds it."""

import numpy as np

from pybackprop.train import checkpoint

ARRAYS = {"w1": np.arange(6, dtype=np.float32).reshape(2, 3), "b1": np.array([0.5, -0.0]), "s": np.array(np.nan)}
ODD_NAN = np.array([0x7FC01234, 0xFFC00000, 0x7F801234], np.uint32).view(np.float32)  # payload, sign, signalling
META = {"epoch": 3, "words": "é", "list": [1, 2.5, None]}


def check(path, arrays=ARRAYS, meta=META):
    found, told = checkpoint.load(path)
    assert told == meta
    assert sorted(found) == sorted(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype.newbyteorder("=")
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.astype(found[name].dtype).tobytes()  # every bit, those of NaN too
        flags = found[name].flags
        assert (flags.c_contiguous, flags.writeable, flags.owndata, flags.aligned) == (True,) * 4
