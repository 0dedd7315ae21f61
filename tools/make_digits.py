"""Makes pybackprop/data/digits.npz from scikit-learn's copy of the UCI optical digits, the same bytes each time."""

import io
import zipfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

TARGET = Path(__file__).resolve().parent.parent / "pybackprop" / "data" / "digits.npz"


def member(array):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def main():
    digits = load_digits()
    arrays = {"images": digits.data.astype(np.uint8), "labels": digits.target.astype(np.uint8)}
    assert (arrays["images"] == digits.data).all()
    with zipfile.ZipFile(TARGET, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), member(array), zipfile.ZIP_DEFLATED)
    print(f"{TARGET.name}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
