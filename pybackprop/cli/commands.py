"""The commands, each with its line of help. A command's module, of the same name, is imported when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

COMMANDS = {
    "train": "train an mlp and report its loss and accuracy",
    "sweep": "train an mlp for each point of a grid of settings, and list them by their validation score",
    "predict": "the predictions of a trained model",
    "export": "a trained model as an ONNX file, for other programs",
    "info": "version, CPU, kernels, threads, compiler",
    "bench": "speed, compared with numpy, PyTorch and JAX, and with the peak of the CPU",
    "lab": "the laboratory: kernels of one's own beside ours",
    "explain": "why every gradient is what it is, element by element",
    "judge": "whether a formula for a gradient is right, and if not, what it computes instead",
    "learn": "exercises: from one element to the whole network",
    "memory": "the memory that a step needs, for every way to compute it, and the largest batch that fits",
    "selftest": "random cases on this machine, compared bit for bit with the definition",
    "completion": "what makes a shell complete this command line: bash, zsh or fish",
}


def module_of(name: str) -> Any:
    """The module of a command, which has add_parser(commands)."""
    return import_module(f"pybackprop.cli.{name}")


class Listed:
    """Argparse's commands, whose line of help is that of the list."""

    def __init__(self, commands: Any) -> None:
        self.commands = commands

    def add_parser(self, name: str, **options: Any) -> Any:
        """The parser of a command in the list."""
        return self.commands.add_parser(name, help=COMMANDS[name], **options)
