"""model.summary() and repr: shapes and numbers of parameters."""

import numpy as np

import pybackprop as bp


def test_layers_shapes_and_counts():
    found = bp.mlp([784, 50, 10]).summary()
    assert [(row.layer, row.output, row.count) for row in found.rows] == [
        ("Lin(784, 50)", "(n, 50)", 784 * 50 + 50),
        ("Relu()", "(n, 50)", 0),
        ("Lin(50, 10)", "(n, 10)", 510),
    ]
    assert found.rows[0].parameters == "w1 (784, 50) b1 (50,)"
    assert (found.count, found.trained, found.nbytes) == (39760, 39760, 39760 * 4)
    lines = str(found).splitlines()
    assert len(lines) == 5
    assert lines[0].split() == ["layer", "output", "parameters", "count"]
    assert lines[1].endswith("39,250")
    assert lines[-1].startswith("39,760 parameters, ")
    assert lines[-1].endswith("loss Mse()")
    assert repr(found) == str(found)
    assert found._repr_html_().count("<tr>") == 4


def test_a_tensor_used_twice_counts_once_and_frozen_ones_are_told():
    w = bp.param(np.ones((3, 3), "f"))
    first, second = bp.Lin(w), bp.Lin(w, bp.param(np.ones(3, "f")))
    second.b.requires_g = False
    found = bp.Model([first, bp.relu, second]).summary()
    assert (found.count, found.trained) == (12, 9)
    assert [row.count for row in found.rows] == [9, 0, 12]
    assert "12 parameters, 9 of them with requires_g, " in str(found)
    assert found.rows[0].parameters == "w (3, 3)"


def test_layers_of_ones_own():
    class Scale(bp.Module):
        def __init__(self):
            self.by = bp.param(np.ones(1, "f"))

        def forward(self, inp):
            return inp * self.by

    class Page:
        def __call__(self, inp):
            return inp

    found = bp.Model([bp.Lin(2, 3), Scale(), bp.Model([bp.Lin(3, 1)]), Page()]).summary()
    assert [row.output for row in found.rows] == ["(n, 3)", "", "", ""]  # only a forward would tell
    assert [row.layer for row in found.rows][1::2] == ["Scale()", "Page()"]
    assert [row.count for row in found.rows] == [9, 1, 4, 0]
    assert "&lt;" in bp.Model([bp.Lin(2, 3), lambda x: x]).summary()._repr_html_()


def test_repr_counts_parameters():
    assert repr(bp.Model([bp.Lin(1, 1, bias=False)])) == "Model([Lin(1, 1, no bias)], loss=Mse(), 1 parameter)"
