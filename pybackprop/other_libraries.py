"""Hints for names from PyTorch and Keras, shown when an attribute is missing.

Code in backticks is what to write with this library; a test runs all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pybackprop import nn
from pybackprop.autograd.tensor import Tensor
from pybackprop.core.other_names import attach, module_getattr
from pybackprop.engine.model import Model
from pybackprop.engine.plan import Plan
from pybackprop.nn.layers import Lin
from pybackprop.nn.module import Module
from pybackprop.nn.optimizer import Optimizer

LIN = "a linear layer is `bp.Lin(784, 50)`, or `bp.Lin(w, b)` from arrays, w (inputs, outputs)"
RELU = "it is `bp.Relu()` as a layer, `bp.relu(x)` as a function"
MSE = "the loss is `bp.Mse()` as a layer, `bp.mse(out, targ)` as a function"
CROSS_ENTROPY = "the loss is `bp.CrossEntropy()` as a layer, `bp.cross_entropy` as a function; its targets are labels"
BINARY = (
    "the loss is `bp.BinaryCrossEntropy()` as a layer, `bp.binary_cross_entropy_with_logits` as a function; it takes "
    "scores, before a sigmoid"
)
NLL = "the loss is `bp.nll`, of what `bp.log_softmax(x)` gives; `bp.cross_entropy` is both at once"
SOFTMAX = "it is `bp.softmax(x)`, `bp.log_softmax(x)`; the loss `bp.CrossEntropy()` takes what is before it"
MODEL = "layers in a row are `bp.Model([bp.Lin(784, 50), bp.Relu(), bp.Lin(50, 10)])`, or `bp.mlp([784, 50, 10])`"
OPERATION = "there is no such operation here; `bp.define_op` makes one from two functions on numpy arrays"
OPTIMIZER = "the optimizers are `bp.SGD(model, lr=0.1, momentum=0.9)`, `bp.Adam(model)` and `bp.AdamW(model)`"
SCHEDULES = (
    "schedules are `bp.StepLR`, `bp.CosineLR`, `bp.OneCycleLR` and `bp.WarmupLR`: "
    "`sgd.lr = bp.CosineLR(0.1, steps=100)(3)`, or fit(schedule=...)"
)
ARRAY = "make the numbers with numpy: `bp.tensor(np.zeros((2, 3)))`, or `bp.param(np.zeros((2, 3)))` for a parameter"
DTYPE = "dtypes are numpy's: `bp.tensor(array, np.float64)`"
CPU = "everything is computed on the CPU, by `bp.threads()` threads"
SAVE = "`bp.save(model, path)` writes a checkpoint, `bp.load(path)` reads one"
FIT = "compile it first: `bp.compile(model, batch=64, optimizer=sgd).fit(x, targ, epochs=5)`"
STEP = "a step is `loss = model(x, targ)`, `model.backward()`, `sgd.step()`; or, compiled, `plan.step(x, targ)`"
EVALUATE = "the loss of other data is `bp.mse(model.predict(x), targ)`"
NO_MODE = "there is no mode to switch; `model.predict(x)` keeps nothing for backward"
NOTHING_TO_ZERO = "backward overwrites .g, so there is nothing to zero; `model.backward(accumulate=True)` adds to it"
PARAMETERS = "`model.parameters()` lists the tensors to train; each has its `w.name`"
LAYERS = "its layers are the list `model.layers`"
WEIGHTS = "`bp.load_weights` copies arrays of a .safetensors or .npz file, `bp.load(path)` reads a whole model"


def _each(names: str, hint: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), hint)


LAYER_NAMES = {
    **_each("Linear LazyLinear Dense", LIN),
    "ReLU": RELU,
    "LeakyReLU": "it is `bp.LeakyRelu(0.01)` as a layer, `bp.leaky_relu(x, 0.01)` as a function",
    **_each("MSELoss MeanSquaredError L1Loss HuberLoss", MSE),
    **_each("BCELoss BCEWithLogitsLoss BinaryCrossentropy", BINARY),
    **_each("CrossEntropyLoss CategoricalCrossentropy SparseCategoricalCrossentropy", CROSS_ENTROPY),
    "NLLLoss": NLL,
    **_each("Softmax LogSoftmax", SOFTMAX),
    "Sequential": MODEL,
    "Parameter": "a parameter is `bp.param(array)`",
    "functional": "the functions are `bp.lin(x, w, b)`, `bp.relu(x)` and `bp.mse(out, targ)`",
    **_each("GELU SiLU ELU Dropout Flatten Embedding LSTM", OPERATION),
    **_each("Conv1d Conv2d Conv2D MaxPool2d BatchNorm1d BatchNorm2d BatchNormalization LayerNorm", OPERATION),
}
PACKAGE = {
    **LAYER_NAMES,
    **_each("linear addmm", "it is `bp.lin(x, w, b)`; its w is (inputs, outputs)"),
    **_each("mm dot", "it is `x @ w`, or `bp.matmul(x, w)` off the tape"),
    **_each("mse_loss mean_squared_error", MSE),
    "nll_loss": NLL,
    **_each("binary_cross_entropy binary_crossentropy sigmoid_cross_entropy", BINARY),
    **_each("gelu conv2d", OPERATION),
    **_each("layers models losses", "they are in the package itself: `bp.Lin`, `bp.Relu`, `bp.Mse`, `bp.Model`"),
    **_each("optim optimizers RMSprop Adagrad Optimizer Sgd", OPTIMIZER),
    **_each("lr_scheduler schedules CosineAnnealingLR LinearLR LRScheduler", SCHEDULES),
    **_each("clip_grad_norm_ clip_grad_value_", "it is `bp.clip_grad_norm(model, 1.0)`, after backward"),
    **_each("no_grad inference_mode set_grad_enabled", "`model.predict(x)` keeps nothing for backward"),
    **_each("enable_grad is_grad_enabled", "a result is on the tape if an operand has `w.requires_g`"),
    **_each("zeros ones empty full rand randn arange linspace eye", ARRAY),
    **_each("from_numpy asarray from_dlpack", "`bp.as_tensor(array)` shares the memory, `bp.tensor(array)` copies it"),
    "array": "`bp.tensor(array)` copies, `bp.as_tensor(array)` shares the memory",
    **_each("float32 float64 float16 double dtype set_default_dtype", DTYPE),
    **_each("cuda device backends", CPU),
    **_each("set_num_threads get_num_threads", "they are `bp.set_threads(2)` and `bp.threads()`"),
    **_each("manual_seed seed", "a seed is given where it is used: `bp.mlp([784, 50, 10], seed=0)`"),
    **_each(
        "DataLoader utils",
        "fit makes and shuffles the batches, and takes a loader of others: " + FIT.removeprefix("compile it first: "),
    ),
    **_each("datasets torchvision", "the built-in digits are `bp.data.digits()`"),
    "grad": "backward fills .g: `loss.backward()`, then `w.g`",
}
TENSOR = {
    "grad": "the gradient is `t.g`",
    **_each("requires_grad requires_grad_", "make it with `bp.param(array)`, or set `w.requires_g = True`"),
    "zero_grad": "backward overwrites .g, so there is nothing to zero; `loss.backward(accumulate=True)` adds to it",
    **_each("retain_grad", "`loss.backward(keep=True)` leaves the .g of intermediate results readable"),
    "detach": "`bp.tensor(t)` is a copy off the tape, `bp.as_tensor(t.data)` shares the memory",
    "numpy": "`t.data` is a view of the same memory, as is `np.asarray(t)`",
    **_each("cpu cuda to device", "everything is on the CPU; `t.float()` and `t.double()` convert"),
    **_each("astype type", "`t.float()` and `t.double()` convert"),
    "copy": "`bp.tensor(t)` is a copy off the tape, `t.clone()` one on it",
    **_each("mm matmul dot", "it is `x @ w`"),
    "relu": "it is `bp.relu(t)`",
    **_each("add_ sub_ mul_ div_ copy_", "write in place with `t -= 0.1`, `t *= 2` or `t[...] = 0`"),
    **_each("numel dim", "they are `t.size` and `t.ndim`"),
    **_each("transpose permute", "the transpose is `t.T`"),
}
MODULE = {
    **_each("state_dict load_state_dict save load", SAVE),
    **_each("train eval", NO_MODE),
    **_each("to cuda cpu", CPU),
    "zero_grad": NOTHING_TO_ZERO,
    **_each(
        "named_parameters trainable_weights", "`layer.parameters()` lists the tensors to train; each has its `w.name`"
    ),
}
MODEL_NAMES = {
    **_each("fit train_on_batch", FIT),
    "compile": "`bp.compile(model, batch=64, optimizer=sgd)` makes a plan, which has step and fit",
    "evaluate": EVALUATE,
    **_each("save load state_dict save_weights", SAVE),
    **_each("load_state_dict load_weights", WEIGHTS),
    **_each("train eval training", NO_MODE),
    **_each("to cuda cpu half", CPU + "; `model.double()` is a float64 copy"),
    "zero_grad": NOTHING_TO_ZERO,
    **_each("named_parameters weights trainable_weights trainable_variables get_weights set_weights", PARAMETERS),
    **_each("add append children modules", LAYERS),
    "step": STEP,
}
LIN_NAMES = {
    **_each("weight kernel", "it is `layer.w`, of shape (inputs, outputs)"),
    "bias": "it is `layer.b`, of shape (outputs,), or None",
    **_each("in_features out_features units", "the sizes are `layer.w.shape`: (inputs, outputs)"),
}
OPTIMIZER_NAMES = {
    "zero_grad": NOTHING_TO_ZERO,
    **_each("param_groups learning_rate", "the rate is `sgd.lr`, the tensors `sgd.parameters`"),
    **_each("minimize apply_gradients", STEP),
    **_each("state_dict load_state_dict", SAVE),
}
PLAN = {
    "train": "it is `plan.fit(x, targ, epochs=5)`, or `plan.step(x, targ)` for one step",
    **_each("backward", "`plan.grads(x, targ)` fills the gradients, `plan.step(x, targ)` also updates the parameters"),
    "forward": "it is `plan.predict(x)`",
    "evaluate": "the loss of other data is `bp.mse(plan.predict(x), targ)`",
    "parameters": "they are the model's: `plan.model.parameters()`",
    "zero_grad": "`plan.grads(x, targ)` overwrites .g; `plan.grads(x, targ, accumulate=True)` adds to it",
    **_each("save load state_dict load_state_dict", "save the model: `bp.save(plan.model, path)`"),
    "summary": "`print(plan.describe())` shows how a step is computed, `print(plan.memory())` what it takes",
}

CLASSES: dict[type, dict[str, str]] = {
    Tensor: TENSOR,
    Module: MODULE,
    Lin: LIN_NAMES,
    Model: MODEL_NAMES,
    Optimizer: OPTIMIZER_NAMES,
    Plan: PLAN,
}
for _kind, _hints in CLASSES.items():
    attach(_kind, _hints)
vars(nn)["__getattr__"] = module_getattr(nn.__name__, {**LAYER_NAMES, "Module": "it is `bp.Module`"})
missing: Callable[[str], Any] = module_getattr("pybackprop", PACKAGE)
