"""Without PyTorch and onnx: nothing imports them, and what needs one of them names its command."""

import json
import subprocess
import sys

import numpy as np
import pytest

import pybackprop as bp
from pybackprop.cli.main import main

CALLS = {
    "to_torch": (lambda: bp.to_torch(bp.mlp([3, 2])), "torch", "PyTorch"),
    "from_torch": (lambda: bp.from_torch(None), "torch", "PyTorch"),
    "to_onnx": (lambda: bp.to_onnx(bp.mlp([3, 2])), "onnx", "the library onnx"),
    "from_onnx": (lambda: bp.from_onnx("model.onnx"), "onnx", "the library onnx"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_missing_extra_names_its_command(monkeypatch, name):
    call, extra, library = CALLS[name]
    for module in (extra, f"{extra}.checker", f"{extra}.helper"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError) as error:
        call()
    assert str(error.value) == f"{name}: needs {library}; pip install 'pybackprop[{extra}]'"


def test_the_command_says_it_too(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setitem(sys.modules, "onnx.checker", None)
    bp.save(bp.mlp([3, 2]), tmp_path / "model.npz")
    assert main(["export", "--model", str(tmp_path / "model.npz"), "--save", str(tmp_path / "model.onnx")]) == 1
    assert "needs the library onnx; pip install 'pybackprop[onnx]'" in capsys.readouterr().err


def test_naming_the_functions_imports_neither():
    code = "import pybackprop as bp, sys, json; bp.to_torch, bp.from_torch, bp.to_onnx, bp.from_onnx, bp.Relu"
    code += "; print(json.dumps([m for m in ('torch', 'onnx') if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert json.loads(done.stdout) == []


def test_every_activation_and_loss_names_its_counterparts():
    from pybackprop.nn.layers import ACTIVATIONS, LOSSES

    assert all(kind.op.torch and kind.op.onnx for kind in ACTIVATIONS.values())
    assert all(kind.op.torch for kind in LOSSES.values())
    assert np.float32(bp.LeakyRelu().negative_slope) == np.float32(0.01)  # PyTorch's and ONNX's default, too
