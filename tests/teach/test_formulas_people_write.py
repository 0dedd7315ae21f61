"""judge agrees with numpy and torch about formulas as people write them.

Each formula is evaluated by Python itself, on plain numpy arrays or torch tensors in float64, on two networks, and
compared with a gradient by central differences. judge must say the same.
"""

# ruff: noqa: E501 (a line of the table holds several formulas)

import functools

import numpy as np
import pytest

import pybackprop as bp

H = 1e-5

NUMPY = {
    "w1": """
        np.dot(x.T, dz) | np.matmul(x.T, dz) | x.T.dot(dz) | x.T @ dz | x.transpose() @ dz | np.transpose(x) @ dz
        x.swapaxes(0, 1) @ dz | np.swapaxes(x, 0, 1) @ dz | np.einsum('ik,ij->kj', x, dz) | np.einsum('nm, nh -> mh', x, dz)
        np.einsum('ik,ij->jk', x, dz).T | np.einsum('ik,ij->ik', x, dz) | np.einsum('ki,ij->kj', x.T, dz)
        np.sum(x[:, :, None] * dz[:, None, :], axis=0) | np.sum(x[..., None] * dz[:, None], axis=0)
        np.sum(x[:, :, np.newaxis] * dz[:, np.newaxis, :], 0) | (x[:, :, None] * dz[:, None]).sum(axis=1)
        sum(np.outer(x[i], dz[i]) for i in range(len(x))) | sum(np.outer(xi, di) for xi, di in zip(x, dz))
        sum([np.outer(x[i], dz[i]) for i in range(x.shape[0])]) | sum(np.outer(dz[i], x[i]) for i in range(len(x)))
        sum(x[i][:, None] * dz[i] for i in range(x.shape[0])) | sum(x[i][:, None] * dz[0] for i in range(x.shape[0]))
        np.array([[sum(x[i, k] * dz[i, j] for i in range(n)) for j in range(h)] for k in range(m)])
        np.array([[(x[:, k] * dz[:, j]).sum() for j in range(h)] for k in range(m)])
        np.stack([np.outer(a, b) for a, b in zip(x, dz)]).sum(0) | np.array([x[:, k] @ dz for k in range(x.shape[1])])
        np.array([x[:, k] @ dz for k in range(m)]).T | np.tensordot(x, dz, axes=(0, 0)) | np.tensordot(x, dz, axes=([0], [0]))
        np.tensordot(x.T, dz, axes=1) | np.tensordot(dz, x, axes=(0, 0)) | (dz.T @ x).T | np.dot(dz.T, x).T | np.dot(dz.T, x)
        np.inner(x.T, dz.T) | np.inner(x, dz) | np.dot(x, dz) | np.multiply(x.T, dz) | np.outer(x[0], dz[0])
        np.dot(x.T, dz) / n | np.dot(x.T, dz) / len(x) | np.matmul(x.T, dz) * 2 | -np.dot(x.T, dz) | np.negative(x.T @ dz)
        np.dot(x.T, np.where(l1 > 0, l2.g, 0)) | np.dot(x.T, np.where(l1 > 0, 0, l2.g)) | np.dot(x.T, (l1 > 0) * l2.g)
        x.T @ ((l1 > 0) * (out.g @ w2.T)) | x.T @ (l1 > 0) * (out.g @ w2.T) | x.T @ (out.g @ w2.T) | x.T @ ((l1 > 0) * np.dot(out.g, w2.T))
        np.dot(x.T, np.heaviside(l1, 0) * np.dot(2 * (out - targ) / out.size, w2.T))
        np.dot(x.T, (np.sign(np.maximum(l1, 0))) * (2 * (out - targ) / np.size(out)) @ w2.T)
        np.dot(x.T, np.sign(np.maximum(l1, 0)) * ((2 * (out - targ) / np.size(out)) @ w2.T))
        x.T @ ((2 / np.prod(out.shape) * (out - targ)) @ w2.T * (l2 > 0)) | x.T @ (((out - targ) * 2 / len(out)) @ w2.T * (l2 > 0))
        x.T @ (dz * np.ones_like(dz)) | x.T @ np.square(dz) | x.T @ np.abs(dz) | x.T @ np.maximum(dz, 0) | np.add(x.T @ dz, 0 * w1)
        x.T.reshape(m, n) @ dz | x.reshape(m, n) @ dz | np.subtract(0, -(x.T @ dz)) | x.T @ l1.g | x.T @ out.g | x.T @ l2.g
    """,
    "b1": """
        np.sum(dz, axis=0) | np.sum(dz, 0) | dz.sum(0) | dz.sum(axis=0) | sum(dz) | dz.sum(-2) | np.sum(dz, axis=1) | np.sum(dz)
        np.ones(len(dz)) @ dz | np.ones(n) @ dz | np.ones((1, n)) @ dz | np.dot(np.ones(n), dz) | np.ones_like(x[:, 0]) @ dz
        np.einsum('ij->j', dz) | np.einsum('ij->i', dz) | [dz[:, j].sum() for j in range(h)] | [row.sum() for row in dz.T]
        np.array([np.sum(dz[:, j]) for j in range(dz.shape[1])]) | sum(dz[i] for i in range(len(dz))) | np.mean(dz, axis=0)
        np.mean(dz, axis=0) * n | np.mean(dz, 0) * dz.shape[0] | np.sum(dz, axis=0, keepdims=True) | np.sum(dz, axis=0, keepdims=True)[0]
        np.sum(dz, axis=0, keepdims=True).squeeze(0) | np.sum(dz, axis=0).reshape(-1) | dz.T.sum(axis=1) | dz.T.sum(-1) | dz.T @ np.ones(n)
        np.sum(np.where(z > 0, da, 0), axis=0) | np.where(z > 0, da, 0).sum(0) | ((z > 0) * da).sum(0) | da.sum(0) | (z > 0).astype(int).sum(0)
        out.g.sum(0) | l2.g.sum(0) | l1.g.sum(0) | dz.sum(0) * b1 | np.diag(dz.T @ np.ones((n, h))) | np.eye(h) @ dz.sum(0)
    """,
    "x": """
        np.dot(dz, w1.T) | dz @ w1.T | dz.dot(w1.T) | np.matmul(dz, w1.transpose()) | np.einsum('ij,kj->ik', dz, w1) | np.inner(dz, w1)
        np.tensordot(dz, w1, axes=(1, 1)) | (w1 @ dz.T).T | np.dot(dz, w1) | w1 @ dz.T | np.sum(dz[:, None, :] * w1, axis=2)
        np.sum(dz[:, None, :] * w1[None], axis=-1) | np.array([w1 @ d for d in dz]) | np.array([d @ w1.T for d in dz]) | [w1 @ d for d in dz]
        sum(np.outer(dz[:, j], w1[:, j]) for j in range(h)) | da @ w1.T | dz * w1.sum(1) | np.dot(dz, w1.T) / n | np.dot(z, w1.T)
        ((l1 > 0) * (out.g @ w2.T)) @ w1.T | (l1 > 0) * (out.g @ w2.T) @ w1.T | (out.g @ w2.T) @ w1.T | l1.g @ w1.T
    """,
    "l1": """
        np.where(z > 0, da, 0) | np.where(l1 > 0, l2.g, 0) | np.where(z <= 0, 0, da) | np.where(z > 0, 0, da) | np.where(z > 0, 1, 0) * da
        (z > 0).astype(float) * da | (z > 0).astype(int) * da | (z > 0).astype(np.float64) * da | da * (z > 0) | np.multiply(z > 0, da)
        ~(z <= 0) * da | np.logical_not(z <= 0) * da | (z > 0) * 1.0 * da | np.heaviside(z, 0) * da | np.heaviside(z, 0.) * da
        np.sign(np.maximum(z, 0)) * da | np.sign(np.maximum(0, z)) * da | np.maximum(z, 0) * da | np.maximum(da, 0) | np.sign(z) * da
        np.greater(z, 0) * da | (da > 0) * da | (a > 0) * da | (np.maximum(z, 0) > 0) * da | (z < 0) * da | da | da * z | (0 < z) * da
        da - (z <= 0) * da | np.minimum(np.sign(z) + 1, 1) * da | (np.sign(z) + 1) / 2 * da | np.clip(np.sign(z), 0, 1) * da
        np.clip(np.sign(z), 0, None) * da | ((z > 0) & (z == z)) * da | np.logical_or(z > 0, z > 1) * da | (l1 > 0) * (out.g @ w2.T)
        (l1 > 0) * np.dot(out.g, w2.T) | (l1 > 0) * np.einsum('ij,kj->ik', out.g, w2) | out.g @ w2.T | (l1 > 0) * out.g @ w2.T
        np.array([[da[i, j] * (z[i, j] > 0) for j in range(h)] for i in range(n)]) | [[da[i, j] * (z[i, j] < 0) for j in range(h)] for i in range(n)]
        da @ (z > 0).T | (z > 0) @ da.T | np.abs(da) * (z > 0) | np.zeros_like(z) | np.full_like(z, 2) * (z > 0) * da / 2
    """,
    "out": """
        2 * (out - targ) / out.size | 2 * (out - y) / np.size(out) | (out - targ) * 2 / np.prod(out.shape) | 2 * np.subtract(out, targ) / size
        2 * (out - targ) / (out.shape[0] * out.shape[1]) | 2 * (out - targ) / len(out) | 2 * (out - targ) | (out - targ) / out.size
        2. * (out - targ) / out.size | -2 * (targ - out) / out.size | 2 * (targ - out) / out.size | np.divide(2 * (out - targ), out.size)
        2 * np.abs(out - targ) / out.size | 2 * (out - targ) ** 2 / out.size | np.square(out - targ) / out.size | 2 / out.size * (out - targ)
        2 * np.mean(out - targ) | np.mean(2 * (out - targ)) | (out - targ) / (out.size / 2) | 2 * out / out.size | np.sign(out - targ) / out.size
    """,
}
TORCH = {
    "w1": """
        x.t() @ dz | x.t().mm(dz) | x.T.mm(dz) | torch.mm(x.t(), dz) | torch.matmul(x.T, dz) | x.t().matmul(dz) | x.mT @ dz | x.transpose(0, 1) @ dz
        x.transpose(1, 0) @ dz | x.permute(1, 0) @ dz | x.permute(0, 1) @ dz | torch.transpose(x, 0, 1) @ dz | torch.einsum('ik,ij->kj', x, dz)
        torch.einsum('bi,bj->ij', x, dz) | torch.einsum('bi,bj->ji', x, dz) | (x.unsqueeze(-1) * dz.unsqueeze(1)).sum(0) | (x[:, :, None] * dz[:, None, :]).sum(dim=0)
        torch.bmm(x.unsqueeze(2), dz.unsqueeze(1)).sum(0) | torch.bmm(x[:, :, None], dz[:, None, :]).sum(dim=0) | torch.bmm(x[:, :, None], dz[:, None, :]).mean(0)
        torch.stack([torch.outer(a, b) for a, b in zip(x, dz)]).sum(0) | sum(torch.outer(x[i], dz[i]) for i in range(x.size(0))) | sum(torch.ger(a, b) for a, b in zip(x, dz))
        x.t() @ dz / x.size(0) | x.t().mm(dz) / x.shape[0] | x.t() @ dz.clone() | x.t() @ dz.detach() | x.t() @ dz.contiguous() | x.t() @ dz.abs()
        x.t() @ dz.clamp(min=0) | x.t() @ dz.pow(2) | x.t() @ torch.where(l1 > 0, l2.g, torch.zeros_like(l2.g)) | x.t() @ (l1.gt(0) * l2.g)
        x.t() @ ((l1 > 0).to(torch.float64) * out.g.mm(w2.t())) | x.t() @ ((l1 > 0) * (2 * (out - targ) / out.numel()) @ w2.t())
        x.t() @ ((l1 > 0) * ((2 * (out - targ) / out.numel()) @ w2.t())) | x.t().mm(dz).mul(2) | x.t().mm(dz).neg() | x.t().mm(dz).mul(2).div(2) | torch.tensordot(x, dz, dims=([0], [0]))
    """,
    "b1": """
        dz.sum(0) | dz.sum(dim=0) | torch.sum(dz, 0) | torch.sum(dz, dim=0) | dz.sum(dim=1) | dz.sum(0, keepdim=True) | dz.sum(0, True).squeeze(0)
        dz.mean(0) * dz.size(0) | dz.mean(dim=0) | torch.ones(n, dtype=torch.float64) @ dz | torch.einsum('ij->j', dz) | dz.t().sum(1) | dz.T.sum(-1) | dz.sum()
        dz.t() @ torch.ones_like(dz[:, 0]) | (z.gt(0) * da).sum(0) | da.masked_fill(z <= 0, 0).sum(0) | dz.sum(0).view(-1) | dz.sum(0).unsqueeze(0)
    """,
    "l1": """
        (z > 0).float() * da | (z > 0).double() * da | (z > 0).int() * da | z.gt(0) * da | z.gt(0).type(torch.float64) * da | (z > 0).long() * da
        torch.where(z > 0, da, torch.zeros_like(da)) | torch.where(z > 0, torch.zeros_like(da), da) | da.masked_fill(z <= 0, 0) | da.masked_fill(z > 0, 0)
        da.mul(z > 0) | torch.mul(z > 0, da) | z.sign().clamp(min=0) * da | z.clamp(min=0).sign() * da | z.clamp_min(0.).sign() * da | torch.relu(z) * da | z.clamp(0, 1) * da
        ~(z <= 0) * da | (a != 0) * da | (a > 0).to(da.dtype) * da | z.ge(0).float() * da | torch.sign(torch.relu(z)) * da | (z > 0).type_as(da) * da if False else da
    """,
    "out": """
        2 * (out - targ) / out.numel() | 2 * (out - targ) / out.size(0) | 2. * (out - targ) / (out.shape[0] * out.shape[1]) | (out - targ).mul(2).div(out.numel())
        (out - targ).mul(2.) / out.nelement() | 2 * out.sub(targ) / out.numel() | 2 * (out - targ).pow(2) / out.numel() | (out - targ).sign() / out.numel() | 2 * (out - targ) / torch.numel(out)
    """,
}
REFUSED = {"(z > 0).type_as(da) * da if False else da"}


def formulas(table):
    return [
        (kind, text.strip())
        for kind, rows in table.items()
        for row in rows.strip().splitlines()
        for text in row.split(" | ")
    ]


def numbers(shape, seed):
    n, m, h = shape
    rng = np.random.default_rng([seed, *shape])
    sizes = {"x": (n, m), "w1": (m, h), "b1": (h,), "w2": (h, 2), "b2": (2,), "targ": (n, 2)}
    return {name: rng.uniform(0.3, 1.2, size) * rng.choice([-1.0, 1.0], size) for name, size in sizes.items()}


def forward(v, l1=None, l2=None, out=None):
    l1 = v["x"] @ v["w1"] + v["b1"] if l1 is None else l1
    l2 = np.where(l1 > 0, l1, 0) if l2 is None else l2
    out = l2 @ v["w2"] + v["b2"] if out is None else out
    return {"l1": l1, "l2": l2, "out": out, "loss": np.mean((out - v["targ"]) ** 2)}


def slope(f, array):
    """Central differences of f along each element of an array."""
    gradient = np.zeros_like(array)
    for at in np.ndindex(array.shape):
        up, down = array.copy(), array.copy()
        up[at] += H
        down[at] -= H
        gradient[at] = (f(up) - f(down)) / (2 * H)
    return gradient


@functools.cache
def network(shape, seed):
    """The values and gradients of every tensor, by numpy alone."""
    v = numbers(shape, seed)
    values = forward(v)
    grads = {
        name: slope(lambda a, name=name: forward({**v, name: a})["loss"], v[name]) for name in ("x", "w1", "b1", "w2")
    }
    for name in ("l1", "l2", "out"):
        grads[name] = slope(lambda a, name=name: forward(v, **{name: a})["loss"], values[name])
    return {**v, **values}, grads


class WithGradient(np.ndarray):
    g = None


def namespace(shape, seed, convert):
    values, grads = network(shape, seed)
    names = {}
    for name, array in values.items():
        names[name] = convert(array)
        if name in grads:
            names[name].g = convert(grads[name])
    names |= {"z": names["l1"], "a": names["l2"], "y": names["targ"], "dz": names["l1"].g, "da": names["l2"].g}
    return {**names, "n": shape[0], "m": shape[1], "h": shape[2], "size": values["out"].size}


def is_right(kind, text, libraries, convert):
    """Whether Python's own result is the gradient, on two networks."""
    for shape in ((4, 3, 5), (3, 3, 3)):
        for seed in (0, 1):
            right = network(shape, seed)[1][kind]
            names = namespace(shape, seed, convert)
            if not agrees(text, {**libraries, **names}, right):
                return False
            if kind == "l1" and not agrees(text, {**libraries, **at_the_kink(names, convert)}, right):
                return False
    return True


def agrees(text, names, right):
    try:
        with np.errstate(all="ignore"):
            found = np.asarray(eval(text, names), float)
    except (ValueError, RuntimeError, IndexError, TypeError):
        return False
    right = right * np.asarray(names["l1"] != 0) if right.shape == names["l1"].shape else right
    return found.shape == right.shape and np.allclose(found, right, rtol=1e-5, atol=1e-7)


def at_the_kink(names, convert):
    """The same names where one element of z is exactly 0, where the slope of relu is 0 by definition."""
    l1, l2 = (np.asarray(names[name]).copy() for name in ("l1", "l2"))
    l1[0, 0] = l2[0, 0] = 0
    changed = {"l1": convert(l1), "l2": convert(l2)}
    changed["l1"].g, changed["l2"].g = names["l1"].g, names["l2"].g
    return {**names, **changed, "z": changed["l1"], "a": changed["l2"]}


@functools.cache
def tensors(seed=0):
    v = numbers((4, 3, 5), seed)
    x, w1, b1, w2, b2 = (bp.param(v[name], np.float64) for name in ("x", "w1", "b1", "w2", "b2"))
    l1 = bp.lin(x, w1, b1)
    l2 = bp.relu(l1)
    out = bp.lin(l2, w2, b2)
    loss = bp.mse(out, bp.tensor(v["targ"], np.float64))
    loss.backward(keep=True)
    return {"x": x, "w1": w1, "b1": b1, "l1": l1, "out": out, "loss": loss, "others": (l2, w2, b2)}


def check(kind, text, right):
    if text in REFUSED:
        with pytest.raises(ValueError, match="a condition is not allowed"):
            bp.judge(tensors()[kind], text)
        return
    verdict = bp.judge(tensors()[kind], text)
    assert verdict.ok == right, str(verdict)
    assert not verdict.undecided


@pytest.mark.parametrize(("kind", "text"), formulas(NUMPY))
def test_numpy(kind, text):
    check(kind, text, is_right(kind, text, {"np": np}, lambda array: np.array(array).view(WithGradient)))


@pytest.mark.parametrize(("kind", "text"), formulas(TORCH))
def test_torch(kind, text):
    torch = pytest.importorskip("torch")
    check(kind, text, is_right(kind, text, {"torch": torch}, lambda array: torch.tensor(array)))


def test_the_table_is_large_and_has_both_verdicts():
    texts = formulas(NUMPY) + formulas(TORCH)
    assert len(set(texts)) >= 200
    right = [
        is_right(kind, text, {"np": np}, lambda array: np.array(array).view(WithGradient))
        for kind, text in formulas(NUMPY)
    ]
    assert 0.3 < np.mean(right) < 0.8
    assert len(REFUSED) < len(texts) / 50
