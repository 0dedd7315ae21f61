"""What a process does that is asked by lines of JSON: each request calls a method, each answer is a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import IO, Any


def serve(worker: Any, names: Sequence[str], requests: Iterable[str], answers: IO[str]) -> None:
    """Answers {"do": NAME, ...}, for the worker's methods of these names, until there are no more.

    If a request raises, the answer is {"error": "..."}, with "errno" where the system refused something.
    """
    for line in requests:
        request = json.loads(line)
        try:
            answer = {name: getattr(worker, name) for name in names}[request.pop("do")](**request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
            if isinstance(error, OSError):
                answer["errno"] = error.errno
        say(answers, answer)


def say(answers: IO[str], answer: dict[str, Any]) -> None:
    """Writes a line that the other process reads at once."""
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
