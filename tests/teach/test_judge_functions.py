"""judge: functions may use all of numpy, torch and this library on what they get; one that fails is not judged."""

import re

import numpy as np
import pytest

import pybackprop as bp
from helpers.judging import hidden_layer

RIGHT = {
    "w": [
        lambda x, dz: np.dot(x.T, dz),
        lambda x, dz: np.matmul(np.transpose(x), dz),
        lambda x, dz: x.transpose() @ dz,
        lambda x, dz: x.transpose(0, 1) @ dz,
        lambda x, dz: x.t().matmul(dz),
        lambda x, dz: x.t().mm(dz),
        lambda x, dz: x.mT @ dz,
        lambda x, dz: x.permute(1, 0) @ dz,
        lambda x, dz: np.einsum("ik,ij->kj", x, dz),
        lambda x, dz: np.tensordot(x, dz, axes=(0, 0)),
        lambda x, dz: sum(np.outer(a, b) for a, b in zip(x, dz, strict=True)),
        lambda x, dz: np.stack([np.outer(a, b) for a, b in zip(x, dz, strict=True)]).sum(axis=0),
        lambda x, dz: (x[..., None] * dz[:, None]).sum(0),
        lambda x, dz: (x.unsqueeze(-1) * dz.unsqueeze(1)).sum(dim=0),
        lambda x, dz: np.asarray(x).T @ np.asarray(dz),
        lambda x, dz: x.data.T @ dz.data,
        lambda inp, out: inp.T @ out.g,
        lambda x, z: x.T @ z.grad,
        lambda x, dz: [[(x[:, k] * dz[:, j]).sum() for j in range(dz.shape[1])] for k in range(x.shape[1])],
        lambda x, dz: bp.matmul(x, dz, transpose_a=True),
        lambda x, dz: bp.tensor(x).t() @ bp.tensor(dz),
    ],
    "b": [
        lambda dz: np.sum(dz, axis=0),
        lambda dz: np.add.reduce(dz),
        lambda dz: dz.sum(dim=0),
        lambda dz: dz.mean(0) * dz.size(0),
        lambda dz: np.ones(len(dz)) @ dz,
        lambda dz: np.mean(dz, axis=0) * dz.shape[0],
        lambda dz: np.apply_along_axis(sum, 0, dz),
        lambda dz: dz.cumsum(0)[-1],
        lambda dz: [column.sum() for column in dz.T],
    ],
    "relu": [
        lambda z, da: (z > 0).astype(float) * da,
        lambda z, da: (z > 0).float() * da,
        lambda z, da: (z > 0).astype(z.dtype) * da,
        lambda z, da: np.where(z > 0, da, 0),
        lambda z, da: ~(z <= 0) * da,
        lambda z, da: np.heaviside(z, 0) * da,
        lambda z, da: np.sign(np.maximum(z, 0)) * da,
        lambda z, da: z.gt(0).int() * da,
        lambda z, da: da.masked_fill(z <= 0, 0),
        lambda z, da: np.nan_to_num(da) * z.clamp(min=0).sign(),
    ],
    "mse": [
        lambda out, targ: 2 * (out - targ) / out.size,
        lambda out, targ: 2 * (out - targ) / out.numel(),
        lambda out, targ: 2 * np.subtract(out, targ) / np.prod(out.shape),
    ],
}


def fills_in_place(x, dz):
    gradient = np.zeros((x.shape[1], dz.shape[1]), np.float32)
    for i in range(len(x)):
        gradient += np.outer(x[i], dz[i])
    return gradient


def boolean_index(z, da):
    gradient = da.copy()
    gradient[z <= 0] = 0
    return gradient


def the_lessons_own(inp, out, w, b):
    bp.lin_grad(inp, out, w, b)


CASES = [(kind, k) for kind, functions in RIGHT.items() for k in range(len(functions))]


@pytest.mark.parametrize(("kind", "k"), CASES)
def test_right_functions_are_right(kind, k):
    layer = hidden_layer((4, 3, 2))
    verdict = bp.judge(layer[kind], RIGHT[kind][k])
    assert verdict, str(verdict)
    assert "4 other networks" in verdict.summary


def test_right_functions_of_several_lines():
    layer = hidden_layer((4, 3, 2))
    assert bp.judge(layer["w"], fills_in_place)
    assert bp.judge(layer["relu"], boolean_index)
    for kind in ("x", "w", "b"):
        assert bp.judge(layer[kind], the_lessons_own), kind


def test_functions_of_torch():
    torch = pytest.importorskip("torch")
    layer = hidden_layer((4, 3, 2))

    def torch_zeros(x, dz):
        total = torch.zeros(x.shape[1], dz.shape[1])
        for a, b in zip(x, dz, strict=True):
            total += torch.outer(a, b)
        return total

    right = {
        "w": [
            lambda x, dz: torch.matmul(x.t(), dz),
            lambda x, dz: torch.mm(x.T, dz),
            lambda x, dz: torch.einsum("ik,ij->kj", x, dz),
            lambda x, dz: torch.tensor(x).T @ torch.tensor(dz),
            lambda x, dz: torch.from_numpy(x).t() @ torch.from_numpy(dz),
            lambda x, dz: x.T @ torch.as_tensor(dz),
            lambda x, dz: torch.bmm(x.unsqueeze(2), dz.unsqueeze(1)).sum(0),
            lambda x, dz: torch.stack([torch.outer(a, b) for a, b in zip(x, dz, strict=True)]).sum(0),
            torch_zeros,
        ],
        "b": [lambda dz: torch.sum(dz, dim=0), lambda dz: torch.sum(dz, 0)],
        "relu": [
            lambda z, da: torch.where(z > 0, da, torch.zeros_like(da)),
            lambda z, da: (z > 0).to(torch.float32) * da,
            lambda z, da: torch.sign(torch.relu(z)) * da,
        ],
    }
    for kind, functions in right.items():
        for k, function in enumerate(functions):
            verdict = bp.judge(layer[kind], function)
            assert verdict, (kind, k, str(verdict))


def test_wrong_functions_are_wrong():
    layer = hidden_layer((4, 3, 2))
    assert bp.judge(layer["w"], lambda x, dz: np.dot(x.T, dz) / len(x)).mistake == "mean-over-rows"
    assert bp.judge(layer["b"], lambda dz: np.sum(dz, axis=1)).mistake == "summed-over-columns"
    assert bp.judge(layer["relu"], lambda z, da: np.where(z > 0, 0, da)).ok is False
    for wrong in (
        lambda x, dz: x.T @ dz * 1.001,
        lambda x, dz: x.T @ dz + 1e-3,
    ):
        verdict = bp.judge(layer["w"], wrong)
        assert not verdict
        assert not verdict.undecided


def fails_elsewhere(x, dz):
    if len(x) != 4:
        raise RuntimeError("four rows, please")
    return x.T @ dz


FAILING = [
    (lambda x, dz: x.no_such_method(dz), "AttributeError: .*no_such_method"),
    (lambda x, dz: 1 / 0, "ZeroDivisionError: division by zero"),
    (lambda x, dz: undefined_name @ dz, "NameError: .*undefined_name"),  # noqa: F821
    (lambda x, dz: np.linalg.cholesky(np.zeros((2, 2))), "LinAlgError"),
    (lambda x, dz: "text", "TypeError: it gives str, expected numbers"),
    (lambda x, dz: None, "the function returned None"),
    (lambda x, dz: [[1], [2, 3]], "ValueError"),
]


@pytest.mark.parametrize(("function", "error"), FAILING)
def test_what_cannot_be_run_is_neither_right_nor_wrong(function, error):
    layer = hidden_layer((4, 3, 2))
    verdict = bp.judge(layer["w"], function)
    assert (verdict.ok, verdict.undecided, verdict.mistake, verdict.by_accident) == (False, True, None, False)
    assert verdict.hints == ()
    assert "It could not be run: " in verdict.summary
    assert "neither right nor wrong" in verdict.summary
    assert "Wrong" not in str(verdict)
    assert re.search(error, verdict.summary), verdict.summary
    assert re.search(error, verdict.error)
    assert "#757575" in verdict._repr_html_()
    assert verdict.to_dict()["undecided"] is True


def test_right_here_but_not_run_elsewhere():
    layer = hidden_layer((4, 3, 2))
    verdict = bp.judge(layer["w"], fails_elsewhere)
    assert (verdict.ok, verdict.undecided, verdict.by_accident, verdict.runs) == (False, True, False, True)
    assert verdict.summary.startswith("Right here, but not known to be right in general: it could not be run on ")
    assert "RuntimeError: four rows, please" in verdict.summary


def test_wrong_elsewhere_is_wrong_although_it_could_not_be_run_here():
    def wrong_elsewhere(x, dz):
        if len(x) == 4 and x.shape[1] == 3:
            raise RuntimeError("not here")
        return 2 * x.T @ dz

    layer = hidden_layer((4, 3, 2))
    verdict = bp.judge(layer["w"], wrong_elsewhere)
    assert (verdict.ok, verdict.undecided) == (False, False)
    assert "could not be run here" in verdict.summary
