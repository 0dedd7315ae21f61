"""Fixtures of the tests of training."""

import pytest


@pytest.fixture(params=["npz", "safetensors"])
def path(request, tmp_path):
    """Where a checkpoint may be saved, in each format."""
    if request.param == "safetensors":
        pytest.importorskip("safetensors")
    return tmp_path / f"model.{request.param}"
